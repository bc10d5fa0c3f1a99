"""Intervals of means and of their ratios are those of the papers, and cover what they claim to cover."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from causalmi.errors import DataError
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import mean, ratio

numbers = st.integers(-1000, 1000).map(lambda k: k / 64)
grouped = st.lists(st.tuples(numbers, st.integers(0, 4)), min_size=2, max_size=30)


def draw(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 2, size=n)


def ends(e: Estimate | None) -> tuple[float, float]:
    assert e is not None
    return e.low, e.high


def reaches_zero(top: np.ndarray, bottom: np.ndarray, r: float, clusters: object, level: float) -> float:
    """How far, in units of its half width, the interval of mean(top - r bottom) is from 0: negative when 0 is inside."""
    e = mean(top - r * bottom, clusters, level=level)
    return abs(e.value) / (e.high - e.value) - 1


@pytest.mark.parametrize("n", [2, 3, 10, 200])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_without_clusters_it_is_students(n: int, level: float) -> None:
    x = draw(n)
    e = mean(x, level=level)
    assert (e.value, e.n) == (pytest.approx(x.mean()), n)
    assert ends(e) == pytest.approx(stats.t.interval(level, n - 1, x.mean(), stats.sem(x)))


@pytest.mark.parametrize("units", [2, 5, 40])
def test_with_clusters_it_is_that_of_statsmodels(units: int) -> None:
    x, clusters = draw(80), np.random.default_rng(1).integers(units, size=80)
    fit = sm.OLS(x, np.ones(80)).fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)
    assert ends(mean(x, clusters)) == pytest.approx(tuple(fit.conf_int(0.05)[0]))


def test_clusters_by_hand() -> None:
    """Clusters (0, 2), (4, 6) of mean 3: deviations -4 and 4 in sum, V = 2 (16 + 16) / 16 = 4, t = 12.7062."""
    assert ends(mean([0, 2, 4, 6], list("aabb"))) == pytest.approx((3 - 25.4124, 3 + 25.4124), abs=1e-3)


@settings(deadline=None)
@given(grouped)
def test_clusters_of_one_are_none_and_the_names_of_clusters_do_not_matter(rows: list[tuple[float, int]]) -> None:
    x, clusters = map(np.array, zip(*rows, strict=True))
    assert mean(x, np.arange(len(x))[::-1]).high == pytest.approx(mean(x).high, abs=1e-9)
    assume(len(set(clusters)) > 1)
    assert ends(mean(x, clusters)) == pytest.approx(ends(mean(x, [f"name {-c}" for c in clusters])), abs=1e-9)


@settings(deadline=None)
@given(grouped, numbers, numbers)
def test_shift_and_scale_go_through(rows: list[tuple[float, int]], by: float, times: float) -> None:
    x, clusters = map(np.array, zip(*rows, strict=True))
    assume(len(set(clusters)) > 1)
    e, moved = mean(x, clusters), mean(times * x + by, clusters)
    assert ends(moved) == pytest.approx(sorted((times * e.low + by, times * e.high + by)), abs=1e-8)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e9 / 3])
def test_a_constant_has_no_width(constant: float) -> None:
    assert mean([constant] * 7, [0, 0, 1, 1, 2, 2, 2]) == Estimate(constant, constant, constant, 7)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("clusters", [None, np.arange(40) // 2], ids=["alone", "pairs"])
def test_fieller_inverts_the_t_test(level: float, clusters: np.ndarray | None) -> None:
    """On a fine grid r is in the interval exactly if the mean of top - r bottom is not significantly different from 0."""
    bottom = draw(40) + 2
    top = 0.6 * bottom + draw(40, seed=1) - 2
    e = ratio(top, bottom, clusters, level=level)
    assert e is not None and (e.value, e.n) == (pytest.approx(top.mean() / bottom.mean()), 40)
    for r in np.linspace(e.low - 1, e.high + 1, 501):
        assert (reaches_zero(top, bottom, r, clusters, level) <= 0) == (e.low <= r <= e.high)
    for end in (e.low, e.high):
        assert reaches_zero(top, bottom, end, clusters, level) == pytest.approx(0, abs=1e-9)
    if clusters is None:
        assert stats.ttest_1samp(top - e.low * bottom, 0).pvalue == pytest.approx(1 - level)


@pytest.mark.parametrize("shift", np.linspace(-3, 3, 25))
@pytest.mark.parametrize("clusters", [None, np.arange(12) // 2], ids=["alone", "pairs"])
def test_there_is_a_ratio_exactly_where_the_bottom_is_significant(shift: float, clusters: np.ndarray | None) -> None:
    top, bottom = draw(12), draw(12, seed=1) - 1 + shift
    e = mean(bottom, clusters)
    assert (ratio(top, bottom, clusters) is None) == (e.low <= 0 <= e.high)


def test_degenerate_ratios() -> None:
    x = draw(20) + 5
    assert ratio(x, np.zeros(20)) is None
    assert ratio(x, x) == Estimate(1, 1, 1, 20)
    assert ends(ratio(-0.1 * x, 0.3 * x)) == pytest.approx((-1 / 3, -1 / 3), abs=1e-12)
    assert ends(ratio(np.zeros(20), x)) == (0, 0)
    half, whole = ratio(x, np.full(20, 2.0)), mean(x)
    assert ends(half) == pytest.approx((whole.low / 2, whole.high / 2))


@pytest.mark.parametrize(("units", "each"), [(8, 1), (10, 6), (40, 3)])
def test_the_clustered_intervals_cover_and_the_plain_ones_do_not(units: int, each: int) -> None:
    """500 studies; examples of a unit share half of their variance; the true mean is 1, the true ratio 1/4."""
    rng, clusters, held = np.random.default_rng(0), np.repeat(np.arange(units), each), []
    for _ in range(500):
        bottom, noise = rng.normal(size=(2, units))[:, clusters] + rng.normal(size=(2, units * each))
        bottom += 4
        x, top = noise + 1, bottom / 4 + noise
        intervals = mean(x, clusters), mean(x), ratio(top, bottom, clusters), ratio(top, bottom)
        truths = (1, 1, 0.25, 0.25)
        held.append([e is not None and e.low <= t <= e.high for e, t in zip(intervals, truths, strict=True)])
    robust, naive, robust_ratio, naive_ratio = np.mean(held, axis=0)
    assert 0.925 <= robust <= 0.975 and 0.925 <= robust_ratio <= 0.975
    if each > 1:
        assert naive < robust - 0.08 and naive_ratio < robust_ratio - 0.08


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([],), "not empty"),
        (([[1.0, 2.0]],), "rows of one length"),
        ((3.0,), "rows of one length"),
        (([1.0],), "the 1 given are one cluster"),
        (([1.0, 2.0], [5, 5]), "the 2 given are one cluster"),
        (([1.0, float("nan")],), "value 1 of 2 is not finite"),
        (([float("-inf"), 1.0],), "value 0 of 2 is not finite"),
        (([1.0, 2.0], [1]), "unequal lengths: 2 values"),
    ],
)
def test_what_has_no_interval(arguments: tuple[list[float]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        mean(*arguments)
    with pytest.raises(DataError, match=said):
        ratio(arguments[0], *arguments)


def test_a_ratio_is_of_pairs() -> None:
    with pytest.raises(DataError, match="rows of one length"):
        ratio([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("level", [0, 1, 95, float("nan")])
def test_levels_are_shares(level: float) -> None:
    with pytest.raises(DataError, match="give a share between 0 and 1"):
        mean([1.0, 2.0], level=level)
