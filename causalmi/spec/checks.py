"""Is a causal model well formed, and what is everything that is wrong with it?"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from keyword import iskeyword
from typing import Any

import networkx as nx

from causalmi.errors import CausalmiError, SpecError
from causalmi.rng import stream
from causalmi.spec import domain, elementwise
from causalmi.spec.columns import Column, same
from causalmi.spec.domain import Domain, Finite, Open, count, grid
from causalmi.spec.mechanism import Mechanism, read_parents

EXHAUSTIVE = 1024  # settings up to which all of them are tried at construction
SAMPLE = 256


@dataclass
class Draft:
    """What could be read of a model, and the problems that were found on the way."""

    problems: list[str] = field(default_factory=list)
    inputs: dict[str, Domain] = field(default_factory=dict)
    mechanisms: dict[str, Mechanism] = field(default_factory=dict)  # in an order in which they can be computed


def draft(inputs: Any, mechanisms: Any, output: Any, domains: Any) -> Draft:
    """The parts of a model; SpecError with all problems when there are any."""
    found = Draft()
    given = {"inputs": inputs, "mechanisms": mechanisms, "domains": domains}
    found.problems += [
        f"{k} is {v!r}; give a mapping from names" for k, v in given.items() if not isinstance(v, Mapping)
    ]
    if not found.problems:
        _read(found, inputs, mechanisms, domains)
        parents = {name: read_parents(name, f)[0] for name, f in mechanisms.items()}
        found.problems += [*_name_problems(inputs, mechanisms, output), *_graph_problems(inputs, parents, output)]
        _try_out(found)
    if found.problems:
        raise SpecError("CausalModel", found.problems)
    return found


def _read(found: Draft, inputs: Mapping[str, Any], mechanisms: Mapping[str, Any], domains: Mapping[str, Any]) -> None:
    for name, given in inputs.items():
        if (read := domain.read(name, given, found.problems)) is not None:
            found.inputs[name] = read
    allowed = _read_allowed(found, inputs, mechanisms, domains)
    for name, function in mechanisms.items():
        parents, problems = read_parents(name, function)
        found.problems += problems
        if not problems and name not in inputs:
            found.mechanisms[name] = Mechanism(name, function, parents, allowed.get(name, Open(name)))


def _read_allowed(
    found: Draft, inputs: Mapping[str, Any], mechanisms: Mapping[str, Any], domains: Mapping[str, Any]
) -> dict[str, Domain]:
    allowed: dict[str, Domain] = {}
    for name, given in domains.items():
        if name in inputs:
            found.problems.append(f"domains names the input {name!r}, whose domain is the one in inputs; leave it out")
        elif name not in mechanisms:
            found.problems.append(f"domains names {name!r}, which is no variable; there are {_list(mechanisms)}")
        elif callable(given):
            found.problems.append(f"the domain of {name!r} is a function; give a finite collection of allowed values")
        elif (read := domain.read(name, given, found.problems)) is not None:
            allowed[name] = read
    return allowed


def _name_problems(inputs: Mapping[str, Any], mechanisms: Mapping[str, Any], output: Any) -> list[str]:
    problems = [
        f"{name!r} is no name for a variable; give a Python identifier"
        for name in dict.fromkeys([*inputs, *mechanisms])
        if not isinstance(name, str) or not name.isidentifier() or iskeyword(name)
    ]
    problems += [f"{name!r} is both an input and a mechanism; keep one" for name in inputs if name in mechanisms]
    if not inputs:
        problems.append("there are no inputs; give at least one")
    if not isinstance(output, str) or output not in {**inputs, **mechanisms}:
        problems.append(f"the output {output!r} is no variable; there are {_list({**inputs, **mechanisms})}")
    return problems


def _graph_problems(inputs: Mapping[str, Any], parents: Mapping[str, tuple[str, ...]], output: Any) -> list[str]:
    names = dict.fromkeys([*inputs, *parents])
    problems = [
        f"mechanism {child!r} has the unknown parent {parent!r}; there are {_list(names)}"
        for child in parents
        for parent in parents[child]
        if parent not in names
    ]
    read = {p for child in parents.values() for p in child}
    problems += [
        f"input {name!r} is unused; name it as an argument of a mechanism or leave it out"
        for name in inputs
        if name not in read and name != output
    ]
    return problems + _cycles(parents)


def _cycles(parents: Mapping[str, tuple[str, ...]]) -> list[str]:
    edges = [(parent, child) for child in parents for parent in parents[child]]
    problems = []
    for members in nx.strongly_connected_components(nx.DiGraph(edges)):
        inner = nx.DiGraph([(a, b) for a, b in edges if a in members and b in members])
        if inner:
            first = next(name for name in parents if name in members)
            around = [a for a, _ in nx.find_cycle(inner, first)]
            problems.append(
                f"the mechanisms form a cycle: {' -> '.join([*around, around[0]])}; a variable cannot cause itself"
            )
    return sorted(problems)


def _try_out(found: Draft) -> None:
    """Compute what can be computed on a sample, put the mechanisms in order, and see which may run on whole columns."""
    values = _sample(found)
    left, found.mechanisms = found.mechanisms, {}
    while ready := [m for m in left.values() if all(p in values for p in m.parents)]:
        for mechanism in ready:
            del left[mechanism.name]
            try:
                values[mechanism.name], fast = _try_one(mechanism, [values[p] for p in mechanism.parents], values)
                found.mechanisms[mechanism.name] = replace(mechanism, vectorised=fast)
            except SpecError as error:
                found.problems += error.problems


def _sample(found: Draft) -> dict[str, Column]:
    if count(found.inputs.values()) <= EXHAUSTIVE:
        return grid([d for d in found.inputs.values() if isinstance(d, Finite)])
    values = {}
    for name, one in found.inputs.items():
        try:
            values[name] = one.probe(SAMPLE, stream(0, "try out", str(name)))
        except Exception as error:  # a user's function may raise anything  # noqa: BLE001
            said = str(error) if isinstance(error, CausalmiError) else f"{type(error).__name__} ({error})"
            found.problems.append(f"drawing a value of the input {name!r} fails: {said}")
    return values


def _try_one(mechanism: Mechanism, columns: list[Column], values: Mapping[str, Column]) -> tuple[Column, bool]:
    n = len(next(iter(values.values()), [None]))
    rows = mechanism.rows(columns, n)
    if not same(rows, mechanism.rows(columns, n)):
        said = f"mechanism {mechanism.name!r} gives different values for the same parents; make chance an input instead"
        raise SpecError("CausalModel", [said])
    try:
        raw = elementwise.evaluate(mechanism.function, columns)
        return rows, same(mechanism.domain.admit_column(raw), rows)
    except Exception:  # whatever it raises on columns, rows are right  # noqa: BLE001
        return rows, False


def _list(names: Any) -> str:
    return ", ".join(map(repr, names)) or "none"
