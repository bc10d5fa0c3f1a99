"""What follows from the inputs and from what was set by hand? The definitions, for one example and for tables alike.

Geiger et al. 2021, "Causal Abstractions of Neural Networks".
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from causalmi.errors import DataError, SpecError
from causalmi.spec.setting import Form

if TYPE_CHECKING:
    from causalmi.spec.causal_model import CausalModel


def intervene(model: "CausalModel", given: Any, values: Mapping[str, Any], form: Form) -> Any:
    """All values, when the variables of ``values`` have those and every other one follows from its parents."""
    known(model, values)
    kept, fixed = _read(model, given, form)
    done = {name: form.admit(model.admits[name], value) for name, value in values.items()}
    return form.pack(_complete(model, kept | done, form), fixed.union(values))


def interchange(model: "CausalModel", base: Any, sources: Mapping[str, Any], form: Form) -> Any:
    """`intervene` with, for each variable, the value that it has in its source."""
    known(model, sources)
    return intervene(model, base, {name: _value_in(model, sources[name], name, form) for name in sources}, form)


def known(model: "CausalModel", names: Iterable[str]) -> None:
    """SpecError unless all of these are variables."""
    if wrong := [name for name in names if name not in model.parents]:
        there = ", ".join(model.variables)
        raise SpecError("CausalModel", [f"{', '.join(map(repr, wrong))}: no such variable; there are {there}"])


def _value_in(model: "CausalModel", source: Any, name: str, form: Form) -> Any:
    _check(model, source, form)
    if name in source:
        return source[name]
    kept, _ = _read(model, source, form)
    return _complete(model, kept, form)[name]


def _read(model: "CausalModel", given: Any, form: Form) -> tuple[dict[str, Any], frozenset[str]]:
    """What determines a setting: the values of its inputs and of the variables that an intervention fixed."""
    _check(model, given, form)
    fixed = frozenset(name for name in form.fixed(given) if name in given)
    kept = {
        name: form.admit(model.admits[name], given[name])
        for name in {**dict.fromkeys(model.inputs), **dict.fromkeys(fixed)}
    }
    if computed := [name for name in given if name not in kept]:
        follows = _complete(model, kept, form)
        for name in computed:
            if not form.equal(form.admit(model.admits[name], given[name]), follows[name]):
                raise DataError(
                    f"{name} is not what its mechanism gives; use intervene or intervene_columns to set it."
                )
    return kept, fixed


def _complete(model: "CausalModel", given: Mapping[str, Any], form: Form) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in model.variables:
        if name in given:
            values[name] = given[name]
        else:
            mechanism = model.mechanisms[name]
            values[name] = form.compute(mechanism, [values[parent] for parent in mechanism.parents])
    return values


def _check(model: "CausalModel", given: Any, form: Form) -> None:
    if not isinstance(given, form.takes):
        raise DataError(
            f"{given!r} is not a setting; give a {form.takes.__name__} that holds {', '.join(model.inputs)}."
        )
    names = list(given)
    if missing := [name for name in model.inputs if name not in names]:
        raise DataError(f"a setting without {', '.join(missing)}; give every input: {', '.join(model.inputs)}.")
    unknown = [name for name in names if name not in model.parents]
    if unknown or len(set(names)) < len(names):
        said = f"the unknown names {', '.join(map(repr, unknown))}" if unknown else "a name twice"
        raise DataError(f"a setting with {said}; the variables are {', '.join(model.variables)}.")
