"""Columns hold Python's values, and arithmetic on them is Python's or is refused."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from causalmi.errors import DataError
from causalmi.spec import elementwise
from causalmi.spec.causal_model import CausalModel
from causalmi.spec.columns import as_column, column, same

INTS = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1), st.sampled_from([2**31, 2**53 + 1, 2**32 - 1]))
FLOATS = st.one_of(st.floats(allow_nan=False), st.sampled_from([0.0, -0.0, 2.0**53, 2.0**63]))
TYPED = (st.booleans(), INTS, FLOATS)
BINARY = [
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow),
    *(operator.and_, operator.or_, operator.xor),
    *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
]
UNARY = [operator.neg, operator.pos, operator.abs]


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except (ArithmeticError, TypeError, ValueError) as error:
        return type(error)


def on_columns(function: Callable[..., Any], *columns: Any) -> list[Any] | None:
    """The values on whole columns; None when they have to be found row by row."""
    try:
        return elementwise.evaluate(function, list(columns)).tolist()
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
@given(data=st.data())
def test_operators_give_what_python_gives_or_refuse(function: Callable[..., Any], data: st.DataObject) -> None:
    left, right = (data.draw(st.sampled_from(TYPED)) for _ in range(2))
    n = data.draw(st.integers(1, 5))
    a, b = (data.draw(st.lists(kind, min_size=n, max_size=n)) for kind in (left, right))
    assume(function is not operator.pow or all(abs(y) < 100 for y in b))
    constant = b[0]
    found = on_columns(function, column(a), column(b))
    assert found is None or repr(found) == repr([outcome(function, x, y) for x, y in zip(a, b, strict=True)])
    found = on_columns(lambda x: function(x, constant), column(a))
    assert found is None or repr(found) == repr([outcome(function, x, constant) for x in a])
    found = on_columns(lambda x: function(constant, x), column(a))
    assert found is None or repr(found) == repr([outcome(function, constant, x) for x in a])


@pytest.mark.parametrize("function", UNARY, ids=lambda f: f.__name__)
@given(values=st.one_of(*(st.lists(kind, min_size=1, max_size=5) for kind in TYPED)))
def test_unary_operators_too(function: Callable[..., Any], values: list[Any]) -> None:
    found = on_columns(function, column(values))
    assert found is None or repr(found) == repr([function(v) for v in values])


SMALL = column([0, 1, 2, -3])
BITS = column([True, False, True, False])


@pytest.mark.parametrize(
    ("function", "columns", "values"),
    [
        (lambda a, b: a + b, (BITS, BITS), [2, 0, 2, 0]),
        (lambda a, b: a - b, (BITS, BITS), [0, 0, 0, 0]),
        (lambda a: -a, (BITS,), [-1, 0, -1, 0]),
        (lambda a, b: a & b, (BITS, BITS), [True, False, True, False]),
        (lambda a, b: a & b, (BITS, SMALL), [0, 0, 0, 0]),
        (lambda a: (a + 5) % 3, (SMALL,), [2, 0, 1, 2]),
        (lambda a: a // 2, (SMALL,), [0, 0, 1, -2]),
        (lambda a: a / 2, (SMALL,), [0.0, 0.5, 1.0, -1.5]),
        (lambda a: 2 * a**2 - 1, (SMALL,), [-1, 1, 7, 17]),
        (lambda a: (a > 0) + (a > 1), (SMALL,), [0, 1, 2, 0]),
    ],
)
def test_what_runs_on_columns(function: Callable[..., Any], columns: tuple[Any, ...], values: list[Any]) -> None:
    assert repr(on_columns(function, *columns)) == repr(values)


TABLE = {0: "a", 1: "b", 2: "c", -3: "d"}
ARRAY = np.array([10, 20, 30, 40])


@pytest.mark.parametrize(
    "function",
    [
        lambda a: a and 1,
        lambda a: a or 1,
        lambda a: not a,
        lambda a: 1 if a else 0,
        lambda a: 0 < a < 2,
        lambda a: a in (1, 2),
        lambda a: max(a, 1),
        lambda a: int(a == 1),
        lambda a: float(a),
        lambda a: round(a),
        lambda a: str(a),
        lambda a: 3,
        lambda a: TABLE[a],
        lambda a: ARRAY[a],
        lambda a: ARRAY + a,
        lambda a: np.int64(3) * a,
        lambda a: a * np.int64(3),
        lambda a: np.where(a == 1, 1, 0),
        lambda a: np.maximum(a, 1),
        lambda a: sum(a),
        lambda a: a == "b",
        lambda a: a is None,
        lambda a: a * 2**62,
        lambda a: a * 2**63,
        lambda a: (2**62 + a * 2**60) * 4,
        lambda a: a**-1,
        lambda a: 1 / a,
        lambda a: 1 % a,
        lambda a: a * 1e308 * 10,
    ],
)
def test_what_has_to_run_row_by_row(function: Callable[..., Any]) -> None:
    assert on_columns(function, SMALL) is None


@pytest.mark.parametrize("n", [1, 2, 1000])
@pytest.mark.parametrize(
    ("function", "wraps"),
    [
        (lambda x: x * x, 2**32),
        (lambda x: x + x, 2**62),
        (lambda x: -x, -(2**63)),
        (lambda x: abs(x), -(2**63)),
        (lambda x: x**3, 2**22),
        (lambda x: x - 2**62, -(2**63) + 1),
        (lambda x: x // -1, -(2**63)),
    ],
)
def test_nothing_wraps_around_beyond_64_bits(function: Callable[[int], int], wraps: int, n: int) -> None:
    """Neither when the trial at construction shows it, nor when only later values do."""
    shown = CausalModel({"x": [1, wraps]}, {"y": function}, "y")
    hidden = CausalModel({"v": range(2)}, {"x": lambda v: v, "y": function}, "y")
    assert hidden.mechanisms["y"].vectorised
    expected = [function(wraps)] * n
    assert shown.run_columns(pd.DataFrame({"x": [wraps] * n}))["y"].tolist() == expected
    assert hidden.intervene_columns(pd.DataFrame({"v": [1] * n}), {"x": [wraps] * n})["y"].tolist() == expected


def test_a_mechanism_that_looks_at_types_is_found_out() -> None:
    model = CausalModel({"x": range(5)}, {"y": lambda x: x + 1 if isinstance(x, int) else x}, "y")
    assert not model.mechanisms["y"].vectorised
    assert model.enumerate()["y"].tolist() == [1, 2, 3, 4, 5]


def test_arithmetic_runs_on_whole_columns() -> None:
    calls = []
    model = CausalModel({"x": range(5)}, {"y": lambda x: calls.append(1) or x + 1}, "y")  # type: ignore[func-returns-value]
    calls.clear()
    assert len(model.run_columns(model.sample(1000, seed=0))) == 1000
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([True, False], bool),
        ([1, -(2**63), 2**63 - 1], np.int64),
        ([1.5, float("inf")], np.float64),
        ([True, 1], object),
        ([1, 1.0], object),
        ([2**63], object),
        (["a", "b"], object),
        ([(1, 2), (3, 4)], object),
        ([(1,), "a", None], object),
        ([np.int64(3), np.int8(4)], np.int64),
        ([np.bool_(True)], bool),
        ([np.array(3), 4], np.int64),
        ([(np.int64(3), 1)], object),
        ([], object),
    ],
)
def test_a_column_gives_its_values_back(values: list[Any], dtype: type) -> None:
    assert column(values).dtype == dtype
    assert column(values).tolist() == values
    assert not any(isinstance(v, np.generic | np.ndarray) for v in column(values).tolist())


@pytest.mark.parametrize("bad", [[float("nan")], [1, float("nan")], [(1, float("nan"))], [[1]], [{}], [pd.NA]])
def test_what_is_no_value(bad: list[Any]) -> None:
    with pytest.raises(DataError, match="cannot be a value"):
        column(bad)
    with pytest.raises(DataError, match="cannot be a value"):
        as_column(pd.Series(bad))


def test_the_same_columns_have_the_same_types() -> None:
    assert same(column([1, 2]), column([1, 2]))
    assert not same(column([1, 2]), column([1.0, 2.0]))
    assert not same(column([1, "a"]), column([True, "a"]))
    assert not same(column([0.0]), column([-0.0]))
    assert not same(column([1]), column([1, 1]))


def test_a_mechanism_that_looks_at_its_argument_as_text_or_key_runs_row_by_row() -> None:
    """What a whole column shows of itself, and refusals that a mechanism would hide, must not change its values."""
    special = {7777: 0}

    def looked_up(x: int) -> int:
        try:
            return special[x]
        except (KeyError, TypeError):
            return x + 1

    def shown(x: int) -> int:
        return 0 if str(x) == "7777" else x + 1

    for mechanism in (looked_up, shown):
        model = CausalModel({"x": range(10_000)}, {"y": mechanism, "out": lambda y: y}, "out")
        table = model.run_columns(pd.DataFrame({"x": [7776, 7777]}))
        assert table["y"].tolist() == [7777, 0] == [model.run({"x": x})["y"] for x in (7776, 7777)]
