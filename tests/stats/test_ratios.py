"""The delta method is its formula, the bootstrap resamples pairs, and neither has an answer where there is none."""

import numpy as np
import pytest
from scipy import stats

from causalmi.errors import DataError
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import ratio
from causalmi.stats.ratios import ratio_bootstrap, ratio_delta


def pairs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    bottom = rng.normal(3, 1, size=n)
    return 0.7 * bottom + rng.normal(size=n), bottom


def test_delta_by_the_formula_of_recovered_loss() -> None:
    """g = (s - b) / (m - b), Var = [Var(s - b) + g^2 Var(m - b) - 2 g Cov(s - b, m - b)] / (n (m - b)^2)."""
    s, m = pairs(60)
    b = np.random.default_rng(2).normal(-1, 0.5, size=60)
    top, bottom = s - b, m - b
    g, covariance = top.mean() / bottom.mean(), np.cov(top, bottom)
    variance = (covariance[0, 0] + g * g * covariance[1, 1] - 2 * g * covariance[0, 1]) / (60 * bottom.mean() ** 2)
    half = stats.t.ppf(0.975, 59) * np.sqrt(variance)
    e = ratio_delta(top, bottom)
    assert (e.value, e.low, e.high, e.n) == pytest.approx((g, g - half, g + half, 60))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("clusters", [None, np.arange(400) // 4])
def test_all_three_agree_when_the_bottom_is_far_from_zero(sign: int, clusters: np.ndarray | None) -> None:
    top, bottom = pairs(400)
    delta, fieller = ratio_delta(top, sign * bottom, clusters), ratio(top, sign * bottom, clusters)
    drawn = ratio_bootstrap(top, sign * bottom, clusters, seed=0, draws=2000)
    assert delta.value == fieller.value == pytest.approx(drawn.value) == pytest.approx(sign * 0.7, abs=0.1)
    for e in (delta, drawn):
        assert (e.low, e.high) == pytest.approx((fieller.low, fieller.high), abs=0.008)


def test_clusters_that_agree_count_once() -> None:
    top, bottom = pairs(30)
    clusters = np.repeat(np.arange(30), 5)
    alone, e = ratio_delta(top, bottom), ratio_delta(np.repeat(top, 5), np.repeat(bottom, 5), clusters)
    assert (e.low, e.high, e.n) == (pytest.approx(alone.low), pytest.approx(alone.high), 150)
    alone, e = (
        ratio_bootstrap(top, bottom, seed=0, draws=300),
        ratio_bootstrap(np.repeat(top, 5), np.repeat(bottom, 5), clusters, seed=0, draws=300),
    )
    assert (e.low, e.high) == pytest.approx((alone.low, alone.high))


@pytest.mark.parametrize("shift", np.linspace(-5, 1, 13))
def test_undefined_exactly_where_fieller_is(shift: float) -> None:
    top, bottom = pairs(12)
    undefined = ratio(top, bottom + shift) is None
    assert (ratio_delta(top, bottom + shift) is None) == undefined
    assert (ratio_bootstrap(top, bottom + shift, seed=0, draws=50) is None) == undefined


def test_undefined_when_a_resample_has_nothing_below() -> None:
    """Of 0, 1, 1, 1, 1 some of 9999 resamples are all 0, though the mean differs from 0 by the t-test."""
    top, bottom = [1.0, 2.0, 1.0, 2.0, 3.0], [0.0, 1.0, 1.0, 1.0, 1.0]
    assert ratio(top, bottom) is not None
    assert ratio_bootstrap(top, bottom, seed=0) is None


def test_exact_ratios_have_no_width() -> None:
    x = pairs(20)[1] + 5
    assert ratio_delta(x, x) == Estimate(1, 1, 1, 20) == ratio_bootstrap(x, x, seed=0, draws=99)


def test_bad_input_is_refused() -> None:
    for function in (ratio_delta, lambda *columns: ratio_bootstrap(*columns, seed=0)):
        with pytest.raises(DataError, match="rows of one length"):
            function([1.0, 2.0], [1.0, 2.0, 3.0])
        with pytest.raises(DataError, match="not finite"):
            function([1.0, np.inf], [1.0, 2.0])
    with pytest.raises(DataError, match="give a number from 1"):
        ratio_bootstrap([1.0, 2.0], [5.0, 5.1], seed=0, draws=0)
