"""Intervals cover what they claim to cover, and are those of the papers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from causalmi.errors import DataError
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import difference, proportion


def bits(k: int, n: int) -> np.ndarray:
    return np.arange(n) < k


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 10), (10, 10), (9, 10), (81, 263), (500, 1000)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_wilson_is_that_of_statsmodels(k: int, n: int, level: float) -> None:
    e = proportion(bits(k, n), level=level)
    assert (e.value, e.n) == (k / n, n)
    assert (e.low, e.high) == pytest.approx(proportion_confint(k, n, 1 - level, "wilson"), abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b"), [((56, 70), (48, 80)), ((9, 10), (3, 10)), ((10, 10), (0, 20)), ((0, 10), (0, 10))]
)
def test_difference_is_newcombes(a: tuple[int, int], b: tuple[int, int]) -> None:
    e = difference(proportion(bits(*a)), proportion(bits(*b)))
    expected = confint_proportions_2indep(*a, *b, method="newcomb", compare="diff")
    assert (e.low, e.high) == pytest.approx(expected, abs=1e-9)
    assert e.n == min(a[1], b[1])


def test_difference_as_newcombe_printed_it() -> None:
    """Newcombe 1998, table II, method 10, contrasts (a), (e) and (h)."""
    for a, b, low, high in [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1),
    ]:
        e = difference(proportion(bits(*a)), proportion(bits(*b)))
        assert (round(e.low, 4), round(e.high, 4)) == (low, high)


def test_clusters_of_one_change_nothing() -> None:
    hits = bits(37, 50)
    assert proportion(hits, np.arange(50)[::-1]) == proportion(hits)


def test_clusters_that_agree_count_once() -> None:
    """20 units of 10 equal hits are 20 observations, by the design effect, with Student's t for few units."""
    alone, repeated = bits(14, 20), np.repeat(bits(14, 20), 10)
    e, cluster = proportion(repeated, np.repeat(np.arange(20), 10)), proportion(alone)
    assert e.n == 200
    assert e.high - e.low == pytest.approx(cluster.high - cluster.low, rel=0.08)
    assert e.high - e.low > cluster.high - cluster.low


def test_effective_size_by_hand() -> None:
    """Three clusters of two with 2, 1 and 0 hits: p = 1/2, Var = 3/2 (1 + 0 + 1) / 36 = 1/12, deff = 2, n / deff = 3.

    Student's t at 97.5 %: 2.570582 with 5 degrees of freedom, 4.302653 with 2.
    """
    size = 3 * (2.570582 / 4.302653) ** 2
    e = proportion([1, 1, 1, 0, 0, 0], list("aabbcc"))
    low, high = proportion_confint(size / 2, size, 0.05, "wilson")
    assert (e.low, e.high) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("hit", [True, False])
def test_without_any_variation_each_cluster_counts_once(hit: bool) -> None:
    e = proportion([hit] * 100, np.repeat(np.arange(10), 10))
    alone = proportion([hit] * 10)
    assert (e.value, e.low, e.high, e.n) == (float(hit), alone.low, alone.high, 100)


def test_one_cluster_is_one_observation() -> None:
    e, alone = proportion(bits(5, 10), [0] * 10), proportion_confint(0.5, 1, 0.05, "wilson")
    assert (e.low, e.high) == pytest.approx(alone)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40))
def test_clusters_never_narrow_an_interval_and_their_names_do_not_matter(rows: list[tuple[bool, int]]) -> None:
    hits, clusters = map(np.array, zip(*rows, strict=True))
    e, plain = proportion(hits, clusters), proportion(hits)
    assert e.low <= plain.low + 1e-12
    assert e.high >= plain.high - 1e-12
    assert 0 <= e.low <= e.value <= e.high <= 1
    renamed = proportion(hits, -7 * clusters)
    assert (renamed.low, renamed.high) == pytest.approx((e.low, e.high))


@given(*[st.tuples(st.integers(0, 30), st.integers(1, 30)).map(lambda x: (min(x), x[1]))] * 2)
def test_a_difference_is_antisymmetric_and_never_degenerate(a: tuple[int, int], b: tuple[int, int]) -> None:
    one, other = proportion(bits(*a)), proportion(bits(*b))
    e, back = difference(one, other), difference(other, one)
    assert (back.value, back.low, back.high) == pytest.approx((-e.value, -e.high, -e.low))
    assert e.low < e.high
    assert -1 - 1e-9 <= e.low <= e.high <= 1 + 1e-9


@pytest.mark.parametrize(("units", "each", "p"), [(10, 8, 0.5), (40, 10, 0.8), (40, 3, 0.9)])
def test_the_clustered_interval_covers_and_the_plain_one_does_not(units: int, each: int, p: float) -> None:
    """Units differ in their own rate (beta, correlation 0.4 within a unit); 400 studies of each kind."""
    rng, clusters = np.random.default_rng(0), np.repeat(np.arange(units), each)
    clustered, plain = [], []
    for _ in range(400):
        rates = rng.beta(1.5 * p, 1.5 * (1 - p), size=units)
        hits = rng.random(units * each) < np.repeat(rates, each)
        clustered.append(proportion(hits, clusters))
        plain.append(proportion(hits))
    covered, naive = (np.mean([e.low <= p <= e.high for e in kind]) for kind in (clustered, plain))
    assert 0.92 <= covered <= 0.985
    assert naive < covered - 0.03


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([],), "give at least one"),
        (([[True]],), "in one row"),
        (([0.5, 1],), "values other than 0 and 1"),
        (([float("nan")],), "values other than 0 and 1"),
        (([True, False], [1]), "unequal lengths: 2 hits"),
    ],
)
def test_what_has_no_interval(arguments: tuple[list[float]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        proportion(*arguments)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_levels_are_shares(level: float) -> None:
    with pytest.raises(DataError, match="give a share between 0 and 1"):
        proportion([True], level=level)


def test_an_estimate_prints_with_its_interval() -> None:
    e = Estimate(0.97, 0.95, 0.984, 400)
    assert str(e) == f"{e}" == "0.97 [0.95, 0.98]"
    assert f"{e:.1%}" == "97.0% [95.0%, 98.4%]"


@pytest.mark.parametrize(
    "numbers", [(0.5, 0.6, 0.7), (0.5, 0.3, 0.4), (float("nan"), 0, 1), (0.5, float("-inf"), 1), (0.5, 0, float("inf"))]
)
def test_what_is_no_estimate(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(DataError, match="no estimate"):
        Estimate(*numbers, n=1)
