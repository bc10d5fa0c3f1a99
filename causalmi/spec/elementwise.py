"""What does a mechanism give for many examples at once? Its arithmetic, done on whole columns with Python's meaning.

A mechanism that is called with `Elementwise` arguments either gives what Python would give row by row, type by type
(True + True is 2, a quotient of ints is a float), or raises. Nothing wraps around: the bounds of the operands are
known, and an operation that could leave 64 bits raises. Branches (``if``, ``and``, ``max``), tables, ``int()``, numpy
functions and everything else that is not listed here raise as well, because the class does not have it.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from causalmi.spec.columns import TYPED, Column, is_typed

EXACT_FLOAT = 2**53  # whole numbers up to here are floats without rounding
TOO_LARGE = 2**63
_LONGEST_POWER = 63


class NotElementwise(BaseException):
    """The columns cannot give what Python gives row by row; no ``except Exception`` of a mechanism's may hide it."""


def evaluate(function: Callable[..., Any], columns: list[Column]) -> Column:
    """What ``function`` gives on these columns; raises whatever it likes when it has to be called row by row."""
    try:
        _require(all(map(is_typed, columns)))
        with np.errstate(all="raise"):
            result = function(*map(Elementwise, columns))
        _require(type(result) is Elementwise)
    except NotElementwise:
        raise TypeError("the mechanism has to be called row by row") from None
    array: Column = result.array
    return array


def _binary(operation: Callable[[Any, Any], Any], checked: Callable[[Any, Any], None]) -> Any:
    def method(self: "Elementwise", other: object) -> "Elementwise":
        return _apply(operation, checked, self.array, _operand(other))

    return method


def _reflected(operation: Callable[[Any, Any], Any], checked: Callable[[Any, Any], None]) -> Any:
    def method(self: "Elementwise", other: object) -> "Elementwise":
        return _apply(operation, checked, _operand(other), self.array)

    return method


def _apply(operation: Callable[[Any, Any], Any], checked: Callable[[Any, Any], None], a: Any, b: Any) -> "Elementwise":
    bitwise_on_bools = operation in _BITWISE and a.dtype == b.dtype == bool
    a, b = (a, b) if bitwise_on_bools else (_number(a), _number(b))
    checked(a, b)
    return Elementwise(operation(a, b))


def _operand(other: object) -> Column:
    if type(other) is Elementwise:
        return other.array
    if type(other) not in TYPED:
        raise NotElementwise
    return np.array(other, TYPED[type(other)])  # OverflowError beyond 64 bits


def _number(a: Column) -> Column:
    return a.astype(np.int64) if a.dtype == bool else a


def _largest(a: Column) -> int:
    """The largest magnitude in a column of whole numbers, as a Python int."""
    return max(-int(a.min()), int(a.max()), 0) if a.size else 0


def _require(fits: bool) -> None:
    if not fits:
        raise NotElementwise


def _sum(a: Column, b: Column) -> None:
    _require("f" in (a.dtype.kind, b.dtype.kind) or _largest(a) + _largest(b) < TOO_LARGE)


def _product(a: Column, b: Column) -> None:
    _require("f" in (a.dtype.kind, b.dtype.kind) or _largest(a) * _largest(b) < TOO_LARGE)


def _whole_quotient(a: Column, b: Column) -> None:
    _require(a.dtype.kind == b.dtype.kind == "i" and _largest(a) < TOO_LARGE and bool((b != 0).all()))


def _power(a: Column, b: Column) -> None:
    _require(a.dtype.kind == b.dtype.kind == "i" and bool((b >= 0).all()))
    _require(_largest(b) <= _LONGEST_POWER and _largest(a) ** _largest(b) < TOO_LARGE)


def _quotient(a: Column, b: Column) -> None:
    _as_floats(a, b)
    _require(bool((b != 0).all()))


def _comparison(a: Column, b: Column) -> None:
    if a.dtype != b.dtype:
        _as_floats(a, b)


def _as_floats(a: Column, b: Column) -> None:
    _require(all(x.dtype.kind == "f" or _largest(x) <= EXACT_FLOAT for x in (a, b)))


def _bits(a: Column, b: Column) -> None:
    _require("f" not in (a.dtype.kind, b.dtype.kind))


_BITWISE = (operator.and_, operator.or_, operator.xor)


class Elementwise:
    """A column (bool, int64 or float64 [n]) under Python's arithmetic and comparisons."""

    __slots__ = ("array",)
    __array_ufunc__ = None  # numpy's functions and arrays refuse it

    def __init__(self, array: Column):
        self.array = array

    def _refuse(self, *args: object) -> Any:
        raise NotElementwise

    # Whatever could look at a value, or use it as a key, would see the whole column.
    __bool__ = __iter__ = __hash__ = __str__ = __repr__ = __format__ = _refuse
    __int__ = __float__ = __index__ = __complex__ = __round__ = __len__ = __contains__ = __getitem__ = _refuse

    def __neg__(self) -> "Elementwise":
        return 0 - self if self.array.dtype.kind != "f" else Elementwise(-self.array)

    def __pos__(self) -> "Elementwise":
        return Elementwise(_number(self.array))

    def __abs__(self) -> "Elementwise":
        _require(self.array.dtype.kind == "f" or _largest(self.array) < TOO_LARGE)
        return Elementwise(abs(_number(self.array)))

    __add__, __radd__ = _binary(operator.add, _sum), _reflected(operator.add, _sum)
    __sub__, __rsub__ = _binary(operator.sub, _sum), _reflected(operator.sub, _sum)
    __mul__, __rmul__ = _binary(operator.mul, _product), _reflected(operator.mul, _product)
    __truediv__, __rtruediv__ = _binary(operator.truediv, _quotient), _reflected(operator.truediv, _quotient)
    __floordiv__ = _binary(operator.floordiv, _whole_quotient)
    __rfloordiv__ = _reflected(operator.floordiv, _whole_quotient)
    __mod__, __rmod__ = _binary(operator.mod, _whole_quotient), _reflected(operator.mod, _whole_quotient)
    __pow__, __rpow__ = _binary(operator.pow, _power), _reflected(operator.pow, _power)
    __and__, __rand__ = _binary(operator.and_, _bits), _reflected(operator.and_, _bits)
    __or__, __ror__ = _binary(operator.or_, _bits), _reflected(operator.or_, _bits)
    __xor__, __rxor__ = _binary(operator.xor, _bits), _reflected(operator.xor, _bits)
    __eq__, __ne__ = _binary(operator.eq, _comparison), _binary(operator.ne, _comparison)
    __lt__, __le__ = _binary(operator.lt, _comparison), _binary(operator.le, _comparison)
    __gt__, __ge__ = _binary(operator.gt, _comparison), _binary(operator.ge, _comparison)
