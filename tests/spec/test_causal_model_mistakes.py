"""Everything that is wrong with a causal model is said at once, in words that name the variable."""

import functools
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from causalmi.errors import SpecError
from causalmi.spec.causal_model import CausalModel


def problems(inputs: Any, mechanisms: Any, output: Any = "out", domains: Any = None) -> list[str]:
    with pytest.raises(SpecError) as caught:
        CausalModel(inputs, mechanisms, output, domains)
    return list(caught.value.problems)


BIT = {"x": [0, 1]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((BIT, {"a": lambda b, x: b, "b": lambda a: a, "out": lambda x: x}), "a cycle: a -> b -> a;"),
        ((BIT, {"out": lambda out, x: x}), "a cycle: out -> out;"),
        ((BIT, {"out": lambda x, y: x}), "mechanism 'out' has the unknown parent 'y'; there are 'x', 'out'"),
        (({**BIT, "y": [1]}, {"out": lambda x: x}), "input 'y' is unused"),
        ((BIT, {"out": lambda x, k=1: x}), "mechanism 'out' gives its argument 'k' a default"),
        ((BIT, {"out": lambda *x: x}), "mechanism 'out' has the variadic argument '*x'"),
        ((BIT, {"out": lambda x, **k: x}), "mechanism 'out' has the variadic argument '**k'"),
        ((BIT, {"out": lambda *, x: x}), "mechanism 'out' has the keyword-only argument 'x'"),
        ((BIT, {"out": functools.partial(lambda x, k: x, k=2)}), "keyword-only argument 'k=2'"),
        ((BIT, {"out": max}), "the argument names of mechanism 'out' cannot be read"),
        ((BIT, {"out": 3}), "mechanism 'out' is 3; give a function"),
        ((BIT, {"out": lambda x: x}, "total"), "the output 'total' is no variable; there are 'x', 'out'"),
        ((BIT, {"out": lambda x: x}, ["out"]), "the output ['out'] is no variable"),
        (({"x": []}, {"out": lambda x: x}), "the domain of 'x' is empty"),
        (({"x": "ab"}, {"out": lambda x: x}), "the domain of 'x' is 'ab'; give a list or range"),
        (({"x": bool}, {"out": lambda x: x}), "the domain of 'x' is <class 'bool'>"),
        (({"x": [[1]]}, {"out": lambda x: x}), "the domain of 'x': [1] cannot be a value"),
        (({"x": [1, True]}, {"out": lambda x: x}), "the domain of 'x' has equal values: 1, True"),
        (({"x": range(10**12)}, {"out": lambda x: x}), "the domain of 'x' has more than 1,000,000 values"),
        (({"x": count()}, {"out": lambda x: x}), "the domain of 'x' has more than 1,000,000 values"),
        (({}, {"out": lambda: 1}), "there are no inputs"),
        ((BIT, {"x": lambda x: x}, "x"), "'x' is both an input and a mechanism"),
        (({"a b": [1]}, {"out": lambda: 1}), "'a b' is no name for a variable"),
        ((BIT, {"if": lambda x: x}, "if"), "'if' is no name for a variable"),
        (({1: [1]}, {"out": lambda: 1}), "1 is no name for a variable"),
        ((BIT, {"out": lambda x: 1 // x}), "mechanism 'out' at x=0 raises ZeroDivisionError"),
        ((BIT, {"out": lambda x: np.int64(2**63 - 1) + x}), "mechanism 'out' at x=1 raises FloatingPointError"),
        ((BIT, {"out": lambda x: [x]}), "mechanism 'out' at x=0: out: [0] cannot be a value"),
        ((BIT, {"out": lambda x: x * float("nan")}), "mechanism 'out' at x=0: out: nan cannot be a value"),
        ((BIT, {"out": lambda x: x + 1}, "out", {"out": [0, 1]}), "out is 2, which is not one of 0, 1"),
        ((BIT, {"out": lambda x: x}, "out", {"x": [0]}), "domains names the input 'x'"),
        ((BIT, {"out": lambda x: x}, "out", {"o": [0]}), "domains names 'o', which is no variable"),
        ((BIT, {"out": lambda x: x}, "out", {"out": lambda rng: 1}), "the domain of 'out' is a function"),
        (({"x": lambda rng: 1 / 0}, {"out": lambda x: x}), "the input 'x' fails: ZeroDivisionError"),
        (({"x": lambda rng: [1]}, {"out": lambda x: x}), "the input 'x' fails: x: [1] cannot be a value"),
        (([1], {"out": lambda x: x}), "inputs is [1]; give a mapping"),
    ],
    ids=lambda x: x[:50] if isinstance(x, str) else "",
)
def test_each_mistake_is_said(given: tuple[Any, ...], said: str) -> None:
    found = problems(*given)
    assert any(said in problem for problem in found), found


def test_a_function_of_chance_is_no_mechanism() -> None:
    calls = count()
    assert problems(BIT, {"out": lambda x: next(calls)}) == [
        "mechanism 'out' gives different values for the same parents; make chance an input instead"
    ]


def test_all_mistakes_are_listed_together_and_each_once() -> None:
    found = problems(
        inputs={"x": range(3), "empty": [], "unused": [1], "y": [0, 1]},
        mechanisms={
            "a": lambda b: b,
            "b": lambda a: a,
            "half": lambda x: 1 / x,
            "big": lambda y: y + 10,
            "k": lambda y, *, z: z,
            "y": lambda x, nowhere: x,
        },
        output="result",
        domains={"big": [10]},
    )
    said = [
        "the domain of 'empty' is empty",
        "keyword-only argument 'z'",
        "'y' is both",
        "the output 'result'",
        "unknown parent 'nowhere'",
        "input 'empty' is unused",
        "input 'unused' is unused",
        "a cycle: a -> b -> a",
        "mechanism 'half' at x=0 raises ZeroDivisionError",
        "mechanism 'big' at y=1: big is 11",
    ]
    assert len(found) == len(said)
    for part, problem in zip(said, found, strict=True):
        assert part in problem


def test_one_mistake_has_one_line() -> None:
    with pytest.raises(SpecError, match=r"\ACausalModel: input 'y' is unused; .*\Z"):
        CausalModel({**BIT, "y": [1]}, {"out": lambda x: x}, "out")


@pytest.mark.parametrize("size", [3, 5000])
def test_a_mechanism_that_fails_at_an_extreme_is_found(size: int) -> None:
    """In a large domain the ends are always tried."""
    ends: list[Callable[..., float]] = [lambda x: 1 / x, lambda x: 1 / (size - 1 - x)]
    for function in ends:
        assert "raises ZeroDivisionError" in problems({"x": range(size)}, {"out": function})[0]


def test_a_mechanism_that_leaves_its_domain_later_says_so() -> None:
    model = CausalModel({"x": range(5000)}, {"out": lambda x: x != 1234}, "out", {"out": [True]})
    with pytest.raises(SpecError, match=r"mechanism 'out' at x=1234: out is False, which is not one of True"):
        model.run({"x": 1234})
    with pytest.raises(SpecError, match=r"mechanism 'out' at x=1234: out is False, which is not one of True"):
        model.enumerate()


def test_a_mechanism_that_raises_later_says_so() -> None:
    model = CausalModel({"x": range(5000)}, {"out": lambda x: 1 / (x - 1234)}, "out")
    with pytest.raises(SpecError, match="mechanism 'out' at x=1234 raises ZeroDivisionError: division by zero"):
        model.enumerate()
