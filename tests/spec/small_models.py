"""Causal models for the tests: the textbook one, and random small ones."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from causalmi.spec.causal_model import CausalModel


def addition() -> CausalModel:
    return CausalModel(
        inputs={"x": range(10), "y": range(10), "z": range(10)},
        mechanisms={"partial": lambda x, y: x + y, "total": lambda partial, z: partial + z},
        output="total",
    )


# Functions of two parents that hold numpy to Python's word: bools that add up, branches, constants, text, int(), max.
PAIRS: tuple[Callable[[Any, Any], Any], ...] = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a == b,
    lambda a, b: a < b,
    lambda a, b: (a > 0) + (b > 0),
    lambda a, b: (a != b) & (b >= 0),
    lambda a, b: -(a == b),
    lambda a, b: a / (abs(b) + 1),
    lambda a, b: a // (abs(b) + 1) if isinstance(b, int) else a,
    lambda a, b: a and b,
    lambda a, b: a if b else -a,
    lambda a, b: max(a, b, 0),
    lambda a, b: 3,
    lambda a, b: f"{a}:{b}",
    lambda a, b: int(a == b),
    lambda a, b: (a, b),
    lambda a, b: a * 2.5 - b,
    lambda a, b: 0 < a < 2,
)

NUMBERS = [
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**53 + 1, 2**62, -(2**63), 2**63 - 1, 2**70]),
    st.sampled_from([-1.5, -0.0, 0.5, 1e10]),
]
DOMAINS = st.one_of(*(st.lists(kind, min_size=1, max_size=4, unique=True) for kind in (*NUMBERS, st.one_of(NUMBERS))))


def number(value: Any) -> Any:
    """Its length for a text or tuple, so that any function can read any other's values."""
    return len(value) if isinstance(value, str | tuple) else value


@st.composite
def models(draw: st.DrawFn) -> CausalModel:
    """Three inputs, two variables between, and an output that reads both."""
    f, g, h = (draw(st.sampled_from(PAIRS)) for _ in range(3))
    return CausalModel(
        inputs={name: draw(DOMAINS) for name in ("x", "y", "z")},
        mechanisms={
            "left": lambda x, y: f(x, number(y)),
            "right": lambda left, z: g(number(left), z),
            "out": lambda right, left: h(number(right), number(left)),
        },
        output="out",
    )
