"""Looking early costs nothing: error rates and intervals hold at the outcome that one happens to stop at."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmi.errors import DataError
from causalmi.stats.intervals import proportion
from causalmi.stats.sequential import (
    Decision,
    Sprt,
    betting_interval,
    betting_sequence,
    empirical_bernstein,
)


def slow_betting(y: list[float], m: float, level: float = 0.95) -> list[float]:
    """K_t(m) for t = 1.., one bet after the other."""
    up = down = 0.5
    capitals, total, squares, before = [], 0.5, 0.25, 0.25
    for t, value in enumerate(y, start=1):
        bet = math.sqrt(2 * math.log(2 / (1 - level)) / (before * t * math.log(1 + t)))
        up *= 1 + min(bet, 0.5 / m) * (value - m)
        down *= 1 - min(bet, 0.5 / (1 - m)) * (value - m)
        capitals.append(up + down)
        total += value
        squares += (value - total / (t + 1)) ** 2
        before = squares / (t + 1)
    return capitals


def test_the_ratio_test_by_its_formula() -> None:
    """S_n = sum y ln(p1 / p0) + (1 - y) ln((1 - p1) / (1 - p0)); bounds ln((1 - beta) / alpha), ln(beta / (1 - alpha))."""
    test, y = Sprt(0.5, 0.8, alpha=0.05, beta=0.1), [1, 1, 0, 1]
    assert test.evidence(y) == pytest.approx(np.cumsum([math.log(1.6), math.log(1.6), math.log(0.4), math.log(1.6)]))
    assert test.bounds == pytest.approx((math.log(0.1 / 0.95), math.log(18)))
    assert test.decision([1] * 9) == Decision(0.8, 7)  # 6 ln 1.6 = 2.82 < ln 18 = 2.89 < 7 ln 1.6
    assert test.decision([0] * 9) == Decision(0.5, 3)
    assert test.decision(y) == Decision(None, 4)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 10))
def test_what_is_decided_stays_decided_and_the_mirror_decides_the_mirror(y: list[bool], more: int) -> None:
    test, mirror = Sprt(0.4, 0.7), Sprt(0.6, 0.3)
    found = test.decision(y)
    if found.accepted is not None:
        assert found == test.decision(y + [False] * more) == test.decision(y[: found.n])
    other = mirror.decision([not v for v in y])
    assert other.n == found.n and (other.accepted is None) == (found.accepted is None)
    assert found.accepted is None or other.accepted == pytest.approx(1 - found.accepted)


def test_the_ratio_test_holds_its_errors_and_saves_outcomes() -> None:
    """0.5 or 0.7 at 5 % each way: a fixed sample needs about 67 outcomes, the sequential test about 40 on average."""
    test, rng = Sprt(0.5, 0.7), np.random.default_rng(0)
    for rate, wrong in ((0.5, 0.7), (0.7, 0.5)):
        found = [test.decision(rng.random(1000) < rate) for _ in range(500)]
        assert np.mean([d.accepted == wrong for d in found]) <= 0.065
        assert np.mean([d.n for d in found]) < 45


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 4).map(lambda k: k / 4), min_size=1, max_size=90))
def test_no_mean_that_is_left_is_left_out(y: list[float]) -> None:
    """Every mean of a coarse grid whose capital never reached 20 is inside; one that is well inside the others is out."""
    ends = betting_sequence(y)
    for m in np.linspace(0.005, 0.995, 34):
        reached = np.maximum.accumulate(slow_betting(y, m)) >= 20
        inside = (ends[:, 0] <= m) & (m <= ends[:, 1])
        assert (inside | reached).all()


@pytest.mark.parametrize("n", [12, 40, 300])
def test_the_ends_are_where_the_capital_reaches_its_limit(n: int) -> None:
    y = list(np.random.default_rng(0).beta(2, 3, size=n))
    low, high = betting_sequence(y)[-1]
    for inside, outside in ((low + 0.002, low - 0.002), (high - 0.002, high + 0.002)):
        assert max(slow_betting(y, inside)) < 20 <= max(slow_betting(y, outside))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 8).map(lambda k: k / 8), min_size=1, max_size=200), st.integers(1, 200))
def test_an_interval_knows_nothing_of_what_comes_later(y: list[float], t: int) -> None:
    ends = betting_sequence(y)
    assert np.array_equal(betting_sequence(y[:t]), ends[:t])
    mirrored = betting_sequence([1 - v for v in y])
    assert 1 - mirrored[:, ::-1] == pytest.approx(ends)
    e = betting_interval(y)
    assert (e.low, e.high, e.n) == (*ends[-1], len(y)) and 0 <= e.low <= e.value <= e.high <= 1


def test_until_two_percent() -> None:
    """Stopping at a half width of 0.02: at most five times the sample of a fixed size; all hits narrow fast."""
    y = np.random.default_rng(0).random(9000) < 0.9
    half = np.diff(betting_sequence(y), axis=1)[:, 0] / 2
    stop = int((half <= 0.02).argmax())
    assert 865 < stop < 5 * 865 and half[stop] <= 0.02 < half[stop - 1]
    assert betting_interval(np.ones(500)).low > 0.98


def test_values_that_drift_leave_nothing_to_say() -> None:
    assert betting_sequence(np.repeat([0.0, 1.0], 500))[[499, 999]] == pytest.approx(np.array([[0, 0.015], [0, 1]]))


def test_peeking_ruins_a_fixed_interval_and_not_this_one() -> None:
    """100 studies of 300 outcomes at 0.6: at some look from 20 on, Wilson's interval misses 0.6 far too often."""
    rng, betting, wilson = np.random.default_rng(0), 0, 0
    for _ in range(100):
        y = rng.random(300) < 0.6
        ends = betting_sequence(y)
        betting += not ((ends[:, 0] <= 0.6) & (ends[:, 1] >= 0.6)).all()
        looks = [proportion(y[:t]) for t in range(20, 301, 10)]
        wilson += not all(e.low <= 0.6 <= e.high for e in looks)
    assert betting <= 9 < 15 < wilson


def test_bernstein_by_its_formula() -> None:
    x = np.array([0.0, 0.5, 1.0, 0.5] * 100)
    log = math.log(3 / 0.05)
    half = math.sqrt(2 * 0.125 * log / 400) + 3 * log / 400
    e = empirical_bernstein(x)
    assert (e.value, e.low, e.high, e.n) == pytest.approx((0.5, 0.5 - half, 0.5 + half, 400))
    wide = empirical_bernstein(10 * x - 3, span=10)
    assert (wide.low, wide.high) == pytest.approx((10 * e.low - 3, 10 * e.high - 3))


def test_bad_input_is_refused() -> None:
    for rates in ((0.5, 0.5), (0, 0.5), (0.5, 1), (float("nan"), 0.5)):
        with pytest.raises(DataError, match="the rates are"):
            Sprt(*rates)
    for errors in ((0, 0.1), (0.6, 0.6), (float("nan"), 0.1)):
        with pytest.raises(DataError, match="sum below 1"):
            Sprt(0.4, 0.5, *errors)
    with pytest.raises(DataError, match="other than 0 and 1"):
        Sprt(0.4, 0.5).decision([0.5])
    with pytest.raises(DataError, match="not empty"):
        Sprt(0.4, 0.5).decision([])
    with pytest.raises(DataError, match="not all in \\[0, 1\\]"):
        betting_interval([0.5, 1.5])
    with pytest.raises(DataError, match="between 0 and 1"):
        betting_sequence([0.5], level=1)
    with pytest.raises(DataError, match="not finite"):
        betting_interval([0.5, float("nan")])
    for span in (0.5, float("nan"), float("inf")):
        with pytest.raises(DataError, match="give the range"):
            empirical_bernstein([0.0, 1.0], span)
