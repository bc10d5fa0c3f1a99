"""Areas under faithfulness curves whose values are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalmi.errors import DataError
from causalmi.stats.curves import FRACTIONS, cmd, cpr

P = np.array(FRACTIONS)


@pytest.mark.parametrize(
    ("f", "ratio", "distance"),
    [
        (np.ones(10), 0.999, 0),
        (P, 0.4999995, 0.4990005),
        ((P == 1).astype(float), 0.25, 0.749),
        (np.full(10, 2.0), 1.998, 0.999),
        (np.where(P < 0.2, 1.5, 0.5), 0.6485, 0.4995),
    ],
)
def test_known_curves(f: np.ndarray, ratio: float, distance: float) -> None:
    assert cpr(FRACTIONS, f) == pytest.approx(ratio, abs=1e-12)
    assert cmd(FRACTIONS, f) == pytest.approx(distance, abs=1e-12)


def test_large_circuits_have_the_weight() -> None:
    """A curve that is 1 from p = .2 on has .8 of .999 and half of the step before; from .5 on, half."""
    assert cpr(FRACTIONS, P >= 0.2) == pytest.approx(0.85) and cpr(FRACTIONS, P >= 0.5) == pytest.approx(0.65)


@given(st.lists(st.integers(-40, 80).map(lambda k: k / 16), min_size=10, max_size=10), st.integers(-8, 8))
def test_linear_and_bounded_by_each_other(f: list[float], shift: int) -> None:
    curve = np.array(f)
    assert cpr(P, curve + shift) == pytest.approx(cpr(P, curve) + 0.999 * shift)
    assert cmd(P, curve) == pytest.approx(cmd(P, 2 - curve)) and cmd(P, curve) >= abs(0.999 - cpr(P, curve)) - 1e-12
    steps = [(P[i + 1] - P[i]) * (f[i] + f[i + 1]) / 2 for i in range(9)]
    assert cpr(P, curve) == pytest.approx(sum(steps))


@pytest.mark.parametrize(
    ("p", "f", "said"),
    [
        ([0.1, 0.1], [1, 1], "that rise"),
        ([1.0, 0.1], [1, 1], "that rise"),
        ([0.5], [1], "two or more"),
        ([0.5, 1.5], [1, 1], "from 0 to 1"),
        ([0.5, 1], [1, float("nan")], "not finite"),
        ([0.5, 1], [1, 1, 1], "rows of one length"),
    ],
)
def test_bad_input_is_refused(p: list[float], f: list[float], said: str) -> None:
    for area in (cpr, cmd):
        with pytest.raises(DataError, match=said):
            area(p, f)
