"""The bootstrap is that of scipy for examples, resamples whole clusters, and has an answer for degenerate samples."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from causalmi.errors import DataError
from causalmi.stats.estimate import Estimate
from causalmi.stats.resampling import bootstrap

numbers = st.integers(-1000, 1000).map(lambda k: k / 64)


def skewed(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).exponential(2, size=n)


def width(e: Estimate) -> float:
    return e.high - e.low


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("statistic", [np.mean, np.std, np.median])
def test_without_clusters_it_is_that_of_scipy(method: str, statistic: Callable[..., float]) -> None:
    """Two independent runs of 4000 draws: their ends agree to the noise of a quantile."""
    x = skewed(50)
    e = bootstrap(x, statistic, seed=0, draws=4000, method=method)
    other = stats.bootstrap((x,), statistic, method=method.replace("bca", "BCa"), random_state=np.random.default_rng(1))
    assert e.value == statistic(x) and e.n == 50
    assert (e.low, e.high) == pytest.approx(tuple(other.confidence_interval), abs=0.05 * width(e))


def test_bca_leans_to_the_long_tail_and_percentiles_do_less() -> None:
    x = skewed(40)
    bca, plain = (bootstrap(x, seed=0, draws=4000, method=m) for m in ("bca", "percentile"))
    assert bca.low > plain.low and bca.high > plain.high


def test_the_draws_depend_on_the_seed_alone() -> None:
    x = skewed(30)
    assert bootstrap(x, seed=3, draws=300) == bootstrap(x, seed=3, draws=300) != bootstrap(x, seed=4, draws=300)


def test_clusters_that_agree_count_once() -> None:
    """Every value ten times over says no more than the values do; taken as examples, it would look like ten times as much."""
    x = skewed(30)
    repeated, clusters = np.repeat(x, 10), np.repeat(np.arange(30), 10)
    e, alone, naive = bootstrap(repeated, clusters=clusters, seed=0), bootstrap(x, seed=0), bootstrap(repeated, seed=0)
    assert (e.low, e.high, e.n) == (pytest.approx(alone.low), pytest.approx(alone.high), 300)
    assert width(naive) < 0.4 * width(e)


def test_a_cluster_weighs_as_many_rows_as_it_has() -> None:
    """Clusters a = (0, 0, 0) and b = (4): resamples aa, ab, ba, bb have the means 0, 1, 1, 4."""
    seen: set[tuple[float, ...]] = set()

    def noted(rows: np.ndarray) -> float:
        seen.add(tuple(sorted(rows)))
        return float(rows.mean())

    e = bootstrap([0, 4, 0, 0], noted, ["a", "b", "a", "a"], seed=0, draws=200, method="percentile")
    assert seen == {(0,) * 6, (0, 0, 0, 4), (4, 4)}
    assert e == Estimate(1, 0, 4, 4)


def test_paired_columns_stay_paired() -> None:
    x = skewed(40)
    columns = np.stack([3 * x, x], axis=1)
    e = bootstrap(columns, lambda rows: rows[:, 0].sum() / rows[:, 1].sum(), seed=0, draws=200)
    assert (e.low, e.value, e.high) == pytest.approx((3, 3, 3)) and e.n == 40


@settings(deadline=None, max_examples=30)
@given(numbers, st.lists(st.integers(0, 3), min_size=2, max_size=9), st.sampled_from(["bca", "percentile"]))
def test_a_constant_has_no_width(constant: float, clusters: list[int], method: str) -> None:
    x = [constant / 3] * len(clusters)
    groups = clusters if len(set(clusters)) > 1 else None
    e = bootstrap(x, clusters=groups, seed=0, draws=20, method=method)
    assert e.low == e.value == e.high == pytest.approx(constant / 3)


@pytest.mark.parametrize(
    ("x", "statistic"), [([0, 0, 0, 0, 1], np.max), ([0, 1], np.mean), ([0, 0, 0, 5, 5], np.median)]
)
@pytest.mark.filterwarnings("error")
def test_where_the_correction_is_undefined_there_are_percentiles(
    x: list[float], statistic: Callable[..., float]
) -> None:
    e = bootstrap(x, statistic, seed=0, draws=99)
    assert min(x) <= e.low <= e.value <= e.high <= max(x)


def test_an_interval_holds_its_value() -> None:
    """No resample has as many different values as the sample: all quantiles are below."""
    e = bootstrap(range(30), lambda rows: len(np.unique(rows)), seed=0, draws=200, method="percentile")
    assert e.value == e.high == 30 and e.low < 20


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(numbers, st.integers(0, 4)), min_size=2, max_size=20))
def test_the_names_of_clusters_and_a_shift_go_through(rows: list[tuple[float, int]]) -> None:
    x, clusters = map(np.array, zip(*rows, strict=True))
    groups = clusters if len(set(clusters)) > 1 else np.arange(len(x))
    e = bootstrap(x, clusters=groups, seed=0, draws=40, method="percentile")
    moved = bootstrap(x + 2, clusters=[f"c{k}" for k in groups], seed=0, draws=40, method="percentile")
    assert (moved.low - 2, moved.high - 2) == pytest.approx((e.low, e.high))


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (([],), {}, "not empty"),
        (([[[1.0]]],), {}, "rows of one length"),
        (([1.0, float("nan")],), {}, "value 1 of 2 is not finite"),
        (([1.0],), {}, "the 1 given are one cluster"),
        (([1.0, 2.0], np.mean, [7, 7]), {}, "the 2 given are one cluster"),
        (([1.0, 2.0], np.mean, [7]), {}, "unequal lengths"),
        (([1.0, 2.0], lambda rows: rows), {}, "must give one number"),
        (([-1.0, 1.0], lambda rows: float("nan")), {}, "the statistic is nan"),
        (([0.0, 1.0], lambda rows: 1 / np.float64(rows.sum())), {"draws": 50}, "the statistic is inf"),
        (([1.0, 2.0],), {"method": "BC"}, "give one of bca, percentile"),
        (([1.0, 2.0],), {"draws": 0}, "give a number from 1"),
        (([1.0, 2.0],), {"level": 95}, "give a share between 0 and 1"),
    ],
)
def test_what_cannot_be_resampled(arguments: tuple, options: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        bootstrap(*arguments, seed=0, **options)
