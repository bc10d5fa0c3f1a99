"""What value does every variable have, and which were set by hand? In one example, or in every row of a table.

`One` and `Many` let the same definition of an intervention serve both: a value is a Python value, or a column of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from causalmi.errors import DataError
from causalmi.spec.columns import Column, as_column, frame
from causalmi.spec.domain import Domain
from causalmi.spec.mechanism import Mechanism

_FIXED = "fixed"  # the entry of DataFrame.attrs that names the variables that an intervention set


class Setting(Mapping[str, Any]):
    """The values of all variables of a causal model; ``fixed`` names those that an intervention set.

    Equal to any mapping with the same values; its ``repr`` marks the fixed variables with ``:=``.
    """

    __slots__ = ("_values", "fixed")
    _values: Mapping[str, Any]
    fixed: frozenset[str]

    def __init__(self, values: Mapping[str, Any], fixed: frozenset[str] = frozenset()):
        object.__setattr__(self, "_values", MappingProxyType(dict(values)))
        object.__setattr__(self, "fixed", fixed)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Setting cannot be changed; use CausalModel.intervene to make another")

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        marks = {name: ":=" if name in self.fixed else "=" for name in self}
        return f"Setting({', '.join(f'{name}{marks[name]}{value!r}' for name, value in self.items())})"


class One:
    """One example: a mapping goes in, a `Setting` comes out."""

    takes = Mapping

    def fixed(self, given: Mapping[str, Any]) -> frozenset[str]:
        return given.fixed if isinstance(given, Setting) else frozenset()

    def admit(self, domain: Domain, value: Any) -> Any:
        return domain.admit(value)

    def compute(self, mechanism: Mechanism, args: Sequence[Any]) -> Any:
        return mechanism.one(*args)

    def equal(self, a: Any, b: Any) -> bool:
        return bool(a == b)

    def pack(self, values: Mapping[str, Any], fixed: frozenset[str]) -> Setting:
        return Setting(values, fixed)


@dataclass(frozen=True)
class Many:
    """A row per example: tables go in, a table with this index comes out."""

    index: pd.Index
    takes = pd.DataFrame

    def fixed(self, given: pd.DataFrame) -> frozenset[str]:
        return frozenset(given.attrs.get(_FIXED, ()))

    def admit(self, domain: Domain, value: Any) -> Column:
        try:
            values = as_column(value)
        except DataError as error:
            raise DataError(f"{domain.name}: {error}") from None
        if len(values) != len(self.index):
            raise DataError(f"{domain.name} has {len(values)} values for {len(self.index)} rows; give one per row.")
        return domain.admit_column(values)

    def compute(self, mechanism: Mechanism, args: Sequence[Column]) -> Column:
        return mechanism.many(args, len(self.index))

    def equal(self, a: Column, b: Column) -> bool:
        return bool(a.tolist() == b.tolist())

    def pack(self, values: Mapping[str, Column], fixed: frozenset[str]) -> pd.DataFrame:
        table = frame(values, self.index)
        if fixed:
            table.attrs[_FIXED] = tuple(name for name in values if name in fixed)
        return table


Form = One | Many
