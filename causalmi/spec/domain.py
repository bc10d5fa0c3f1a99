"""Which values may a variable take? One of finitely many, one drawn at random, or any."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from causalmi.errors import DataError
from causalmi.spec.columns import Column, column, groups, plain

LARGEST = 1_000_000  # values in a finite domain
_SHOWN = 10

Draw = Callable[[np.random.Generator], Any]


@dataclass(frozen=True, eq=False)
class Finite:
    """The domain of a variable that takes one of finitely many values; its values are the members themselves."""

    name: str
    values: tuple[Any, ...]
    members: Mapping[Any, Any] = field(init=False, repr=False)
    column: Column = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", {v: v for v in self.values})
        object.__setattr__(self, "column", column(self.values))

    def admit(self, value: Any) -> Any:
        """The member that equals ``value`` (2 for 2.0 or numpy's 2); DataError when there is none."""
        try:
            return self.members[_plain(self.name, value)]
        except KeyError:
            raise DataError(f"{self.name} is {value!r}, which is not one of {show(self.values)}.") from None

    def admit_column(self, values: Column) -> Column:
        """`admit` for every row."""
        listed = values.tolist()
        found = {v: self.admit(v) for v in set(listed)}
        if values.dtype != object and all(type(v) is type(m) for v, m in found.items()):
            return values
        return column([found[v] for v in listed])

    def sample(self, n: int, rng: np.random.Generator) -> Column:
        picks: Column = self.column[rng.integers(len(self.values), size=n)]
        return picks

    def probe(self, n: int, rng: np.random.Generator) -> Column:
        """Both ends, ends at random, then any values: ``n`` of them."""
        last = len(self.values) - 1
        ends = last * rng.integers(2, size=max(n // 4 - 2, 0))
        order = sorted(range(last + 1), key=self.values.__getitem__) if self.column.dtype != object else range(last + 1)
        picks = np.concatenate([[0, last], ends, rng.integers(last + 1, size=n)])[:n]
        probed: Column = self.column[np.array(order)[picks]]
        return probed


@dataclass(frozen=True, eq=False)
class Open:
    """The domain of a variable that may take any value; ``draw`` gives one, where the variable is an input."""

    name: str
    draw: Draw | None = None

    def admit(self, value: Any) -> Any:
        return _plain(self.name, value)

    def admit_column(self, values: Column) -> Column:
        return values

    def sample(self, n: int, rng: np.random.Generator) -> Column:
        if self.draw is None:
            raise DataError(f"{self.name} has no values to draw from.")
        return column([self.admit(self.draw(rng)) for _ in range(n)])

    probe = sample


Domain = Finite | Open


def count(domains: Iterable[Domain]) -> float:
    """The number of combinations of the domains' values; infinite when one is drawn."""
    sizes = [len(d.values) if isinstance(d, Finite) else math.inf for d in domains]
    return math.inf if math.inf in sizes else math.prod(sizes)


def grid(domains: Sequence[Finite]) -> dict[str, Column]:
    """All combinations of the domains' values, one row each, the last domain's value changing fastest."""
    sizes = [len(d.values) for d in domains]
    picks = np.indices(sizes).reshape(len(sizes), math.prod(sizes))
    return {d.name: d.column[i] for d, i in zip(domains, picks, strict=True)}


def read(name: str, given: object, problems: list[str]) -> Domain | None:
    """The domain that a user gave: a finite iterable of values, or a callable that draws one."""
    problem = None
    if callable(given) and not isinstance(given, type):
        return Open(name, given)
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        problem = f"the domain of {name!r} is {given!r}; give a list or range of values, or a function (rng) -> value"
    else:
        values, problem = _values(name, given)
        if problem is None:
            return Finite(name, values)
    problems.append(problem)
    return None


def _plain(name: str, value: Any) -> Any:
    try:
        return plain(value)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _values(name: str, given: Iterable[Any]) -> tuple[tuple[Any, ...], str | None]:
    found = list(islice(given, LARGEST + 1))
    if len(found) > LARGEST:
        return (
            (),
            f"the domain of {name!r} has more than {LARGEST:,} values; give a function (rng) -> value that draws one",
        )
    try:
        values = _ordered(given, [plain(v) for v in found])
    except DataError as error:
        return (), f"the domain of {name!r}: {error}"
    if not values:
        return (), f"the domain of {name!r} is empty; give at least one value"
    twice = [rows for rows in groups(values).values() if len(rows) > 1]
    if twice:
        return (
            (),
            f"the domain of {name!r} has equal values: {', '.join(repr(values[i]) for i in twice[0])}; give each once",
        )
    return tuple(values), None


def _ordered(given: Iterable[Any], values: list[Any]) -> list[Any]:
    """A set has no order of its own that is the same in every process, so it gets one."""
    if not isinstance(given, set | frozenset):
        return values
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda v: (type(v).__name__, repr(v)))


def show(values: Sequence[Any]) -> str:
    """The values for a message, the middle left out when there are many."""
    if len(values) <= _SHOWN:
        return ", ".join(map(repr, values))
    return ", ".join(map(repr, values[: _SHOWN - 2])) + f", ..., {values[-1]!r} ({len(values):,} values)"
