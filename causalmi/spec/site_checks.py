"""Is what a site names of a place well formed? Indices, positions, directions, features; and how they print."""

from collections.abc import Sequence
from typing import Any

from causalmi.spec.basis import Basis

PARTS = ("width", "size", "linear", "encode", "decode")  # of what writes vectors in features


def bad_indices(name: str, values: Sequence[Any] | None) -> str | None:
    """What is wrong with indices, if anything is."""
    if values is None or values == (None,):
        return None
    if not isinstance(values, tuple) or not values or not all(type(x) is int and x >= 0 for x in values):
        return f"{name} is {values!r}, it must be one or more whole numbers from 0"
    return f"{name} names the same index twice: {values}" if len(set(values)) < len(values) else None


def is_position(at: Any) -> bool:
    """Whether ``at`` is what positions are said with."""
    if isinstance(at, tuple):
        return bool(at) and all(is_position(p) and p is not None for p in at)
    return at is None or type(at) is int or (isinstance(at, str) and bool(at)) or callable(at)


def bad_basis(kind: str, neurons: Sequence[int] | None, basis: Any) -> str | None:
    """What is wrong with directions at a place of this kind, if anything is."""
    if not isinstance(basis, Basis):
        return f"its basis is a {type(basis).__name__}; use .along(directions)"
    if kind == "pattern":
        return "attention weights are no vector with directions; take .along of z or head_out"
    if neurons is not None and len(neurons) != basis.width:
        return f"its directions have {basis.width} numbers, and {len(neurons)} neurons are chosen"
    return None


def bad_features(kind: str, neurons: Sequence[int] | None, featurizer: Any, chosen: Any) -> str | None:
    """What is wrong with features at a place of this kind, if anything is."""
    if kind == "pattern":
        return "attention weights are no vector with features; take .features of z or head_out"
    if problem := _bad_featurizer(featurizer):
        return problem
    if neurons is not None and len(neurons) != featurizer.width:
        return f"{named(featurizer)} takes {featurizer.width} numbers, and {len(neurons)} neurons are chosen"
    if problem := bad_indices("which", chosen):
        return problem
    if chosen is not None and max(chosen) >= featurizer.size:
        last = featurizer.size - 1
        return f"there is no feature {max(chosen)}; {named(featurizer)} has {featurizer.size}, 0 to {last}"
    return None


def _bad_featurizer(featurizer: Any) -> str | None:
    name = type(featurizer).__name__
    if missing := [part for part in PARTS if not hasattr(featurizer, part)]:
        return f"a {name} is no featurizer, it has no {' and no '.join(missing)}; one has {', '.join(PARTS)}"
    for part in ("width", "size"):
        if type(getattr(featurizer, part)) is not int or getattr(featurizer, part) < 1:
            return f"the {part} of a {name} is {getattr(featurizer, part)!r}, it must be a whole number from 1"
    if type(featurizer.linear) is not bool:
        return f"linear of a {name} is {featurizer.linear!r}; it must be True or False: whether encode is a linear map"
    if bad := [part for part in ("encode", "decode") if not callable(getattr(featurizer, part))]:
        return f"{bad[0]} of a {name} is no function"
    if type(featurizer).__hash__ is None:
        return (
            f"a {name} cannot be hashed, so sites that hold it have no equals; leave out its __eq__, or give a __hash__"
        )
    return None


def named(featurizer: Any) -> str:
    """A featurizer in one short line: as it prints, where that is one and says no address in memory."""
    text = str(featurizer)
    if len(text) <= 60 and "\n" not in text and " at 0x" not in text:
        return text
    return f"{type(featurizer).__name__}({featurizer.width} -> {featurizer.size})"


def show_indices(indices: tuple[int, ...]) -> str:
    """Indices in brackets, or as a range."""
    span = range(indices[0], indices[-1] + 1)
    return repr(span) if len(indices) > 1 and indices == tuple(span) else repr(list(indices))


def show_position(at: Any) -> str:
    """Positions as they are given."""
    if isinstance(at, tuple):
        return "[" + ", ".join(map(show_position, at)) + "]"
    return getattr(at, "__name__", repr(at)) if callable(at) else repr(at)
