"""How are the values of a variable held for many examples at once? As plain Python values, in one numpy array.

A column is bool, int64 or float64 when all of its values are of that one Python type, else an array of objects: an int
beyond 64 bits, a string or a tuple is kept as it is, and ``column(values).tolist()`` gives the same values back.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causalmi.errors import DataError

Column = NDArray[Any]
Columns = Mapping[str, Column]

TYPED: dict[type, type[np.generic]] = {bool: np.bool_, int: np.int64, float: np.float64}
_DTYPES = tuple(np.dtype(t) for t in TYPED.values())


def plain(value: Any) -> Any:
    """The Python value of ``value``: numpy scalars are unpacked. DataError when it cannot be a value of a variable."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if type(value) is tuple:
        return tuple(plain(v) for v in value)
    if not isinstance(value, Hashable) or (value == value) is not True:  # nan differs from itself
        raise DataError(
            f"{value!r} cannot be a value; give a number other than nan, a bool, a string or a tuple of these."
        )
    return value


def column(values: Sequence[Any]) -> Column:
    """The column of these values; DataError when one of them cannot be a value.

    >>> column([1, 2]).dtype, column([1, 2.0]).dtype, column([2**63]).tolist()
    (dtype('int64'), dtype('O'), [9223372036854775808])
    """
    kinds = set(map(type, values))
    if not (kinds <= {bool, int, str} or kinds == {float}):
        values = [plain(v) for v in values]
        kinds = set(map(type, values))
    dtype = TYPED.get(kinds.pop()) if len(kinds) == 1 else None
    if dtype is not None:
        try:
            return _without_nan(np.array(values, dtype))
        except OverflowError:  # whole numbers beyond 64 bits stay Python's
            pass
    return np.fromiter(values, dtype=object, count=len(values))


def as_column(values: Any) -> Column:
    """The column of any one-dimensional array, series or iterable; DataError as in `column`."""
    if isinstance(values, np.ndarray | pd.Series):
        return _without_nan(np.asarray(values)) if values.dtype in _DTYPES else column(values.tolist())
    return column(list(values))


def same(a: Column, b: Column) -> bool:
    """Whether two columns hold the same Python values, of the same types."""
    if a.dtype != b.dtype or len(a) != len(b):
        return False
    if a.dtype != object:
        return a.tobytes() == b.tobytes()
    return all(type(x) is type(y) and x == y for x, y in zip(a, b, strict=True))


def frame(columns: Columns, index: pd.Index | None = None) -> pd.DataFrame:
    """The columns as a table, one row per example; objects stay objects."""
    return pd.DataFrame({name: pd.Series(values, index, values.dtype) for name, values in columns.items()})


def groups(values: Iterable[Any]) -> dict[Any, list[int]]:
    """The indices at which each value stands, the values in the order in which they come first."""
    found: dict[Any, list[int]] = {}
    for i, value in enumerate(values):
        found.setdefault(value, []).append(i)
    return found


def is_typed(column: Any) -> TypeGuard[Column]:
    return isinstance(column, np.ndarray) and column.dtype in _DTYPES


def _without_nan(values: Column) -> Column:
    if values.ndim != 1:
        raise DataError(f"a column has one value per example; this one has the shape {values.shape}.")
    if values.dtype.kind == "f" and np.isnan(values).any():
        plain(np.nan)  # raises
    return values
