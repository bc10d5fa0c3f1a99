"""HSIC is its formula, and sees dependence that a correlation does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmi.errors import DataError
from causalmi.stats.independence import hsic, hsic_test

points = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=15)


def slow_hsic(x: np.ndarray, y: np.ndarray, widths: tuple[float, float]) -> float:
    """tr(KHLH) / (n - 1)^2, entry by entry."""
    n = len(x)
    K, L = (
        np.array([[np.exp(-np.sum((np.atleast_1d(a) - np.atleast_1d(b)) ** 2) / (2 * w * w)) for a in z] for b in z])
        for z, w in zip((x, y), widths, strict=True)
    )
    H = np.eye(n) - np.ones((n, n)) / n
    return float(np.trace(K @ H @ L @ H) / (n - 1) ** 2)


def test_the_value_computed_elsewhere() -> None:
    """X = 0..7, Y = X^2 with both widths 9 (the median of |x_i - y_j|); there in single precision."""
    x = np.arange(8.0)
    assert np.median(np.abs(x[:, None] - x[None] ** 2)) == 9
    assert hsic(x, x**2, (9, 9)) == pytest.approx(0.0206129644, abs=1e-8)
    assert hsic(x, x**2, (9, 9)) == pytest.approx(slow_hsic(x, x**2, (9, 9)), rel=1e-12)


def test_each_width_is_for_its_own() -> None:
    x = np.arange(8.0)
    assert hsic(x, x**2, (2, 30)) == pytest.approx(slow_hsic(x, x**2, (2, 30)))
    assert hsic(x, x**2, (2, 30)) != pytest.approx(hsic(x, x**2, (30, 2)), rel=0.01)


@pytest.mark.parametrize("k", [None, 3])
def test_by_the_formula_with_medians_of_its_own(k: int | None) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, k) if k else 12), 50 * rng.normal(size=12)
    pairs = [(i, j) for i in range(12) for j in range(i)]
    widths = tuple(float(np.median([np.linalg.norm(z[i] - z[j]) for i, j in pairs])) for z in (x, y))
    assert hsic(x, y) == pytest.approx(slow_hsic(x, y, widths), rel=1e-10) == pytest.approx(hsic(y, x))


@settings(deadline=None)
@given(points)
def test_algebra(rows: list[tuple[int, int]]) -> None:
    """Symmetric, not negative, blind to order and, by its medians, to shift and scale."""
    x, y = np.array(rows, dtype=float).T
    value = hsic(x, y)
    assert 0 <= value < 1 and np.isfinite(value)
    assert hsic(y, x) == pytest.approx(value, abs=1e-12)
    assert hsic(3 * x[::-1] + 1, -y[::-1]) == pytest.approx(value, abs=1e-12)


def test_constants_and_values_that_are_mostly_the_same() -> None:
    assert hsic([0.1] * 9, range(9)) == pytest.approx(0, abs=1e-15)
    assert hsic_test([0.1] * 9, range(9), seed=0, draws=99) == 1
    some = np.array([0.0, 0, 1, 5, 9])  # the ten distances have the median (4 + 5) / 2, the nine above 0 have 5
    assert hsic(some, some) == pytest.approx(slow_hsic(some, some, (4.5, 4.5)))
    rare = [0.0] * 9 + [2.0]
    assert hsic(rare, rare) == pytest.approx(slow_hsic(np.array(rare), np.array(rare), (2, 2)))


def test_signal_and_noise() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 100))
    assert hsic_test(x, x + noise, seed=0) < 0.05 < hsic_test(x, noise, seed=0)
    assert hsic_test(x, x**2, seed=0) == 0.001 and abs(np.corrcoef(x, x**2)[0, 1]) < 0.3


def test_p_counts_the_observed_and_ties() -> None:
    """Two pairs: both pairings are equally dependent. p is never 0, and the same for the same seed."""
    assert hsic_test([0, 1], [0, 1], seed=0, draws=99) == 1
    x = np.random.default_rng(0).normal(size=20)
    y = x + np.random.default_rng(1).normal(size=20)
    p = hsic_test(x, y, seed=5, draws=199)
    assert p == hsic_test(x, y, seed=5, draws=199) and (p * 200 == pytest.approx(round(p * 200)))


def test_under_the_null_p_is_small_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    p = [hsic_test(*rng.normal(size=(2, 20)), seed=k, draws=99) for k in range(300)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.04)


@pytest.mark.parametrize(
    ("x", "y", "widths", "said"),
    [
        ([1.0], [1.0], None, "n of 2 or more"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], None, "unequal lengths: 2 and 3"),
        ([1.0, float("nan")], [1.0, 2.0], None, "not finite"),
        (np.zeros((2, 2, 2)), [1.0, 2.0], None, "n of 2 or more"),
        ([1.0, 2.0], [1.0, 2.0], (1.0, 0.0), "width of a kernel is 0.0"),
        ([1.0, 2.0], [1.0, 2.0], (float("nan"), 1.0), "width of a kernel is nan"),
    ],
)
def test_bad_input_is_refused(x: object, y: object, widths: tuple[float, float] | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        hsic(x, y, widths)
    with pytest.raises(DataError, match="give a number from 1"):
        hsic_test([1, 2], [1, 2], seed=0, draws=0)
