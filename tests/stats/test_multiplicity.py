"""Sign-flip tests are exact where they say so, and adjusted p-values are those of the papers."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from causalmi.errors import DataError
from causalmi.stats.multiplicity import adjust, sign_flip

small = st.lists(st.integers(-4, 4).map(lambda k: k / 10), min_size=1, max_size=9)
p_values = st.lists(st.integers(0, 64).map(lambda k: k / 64), min_size=1, max_size=12)


def draw(n: int, m: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, size=(n, m))


@pytest.mark.parametrize("n", [2, 5, 9, 13])
def test_exact_p_is_that_of_scipy(n: int) -> None:
    x = draw(n, 3)
    expected = stats.permutation_test(
        (x,), lambda d, axis: d.mean(axis), permutation_type="samples", n_resamples=np.inf, vectorized=True, axis=0
    )
    assert sign_flip(x, seed=0) == pytest.approx(expected.pvalue, abs=1e-12)


@given(small)
def test_exact_p_by_counting_fractions(x: list[float]) -> None:
    """In tenths every sum is an integer, so that ties are seen for what they are."""
    tenths = [round(10 * v) for v in x]
    flipped = [abs(sum(s * v for s, v in zip(signs, tenths, strict=True))) for signs in flips(len(x))]
    expected = np.mean([total >= abs(sum(tenths)) for total in flipped])
    assert sign_flip(np.array(x)[:, None], seed=0)[0] == pytest.approx(expected, abs=1e-12)


def flips(n: int) -> "itertools.product[tuple[int, ...]]":
    return itertools.product((-1, 1), repeat=n)


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 4)), min_size=1, max_size=20))
def test_a_cluster_flips_as_one(rows: list[tuple[int, int]]) -> None:
    x, clusters = np.array(rows, dtype=float).T
    totals = np.array([x[clusters == c].sum() for c in set(clusters)])
    assert sign_flip(x[:, None] / 10, -clusters, seed=0) == pytest.approx(sign_flip(totals[:, None], seed=1))


def test_monte_carlo_is_near_the_exact_p_and_the_same_for_the_same_seed() -> None:
    x = draw(12, 20)
    exact, drawn = sign_flip(x, seed=0), sign_flip(x, seed=0, draws=2000)
    assert exact.min() < 0.1 and (drawn * 2001 == pytest.approx(np.round(drawn * 2001)))
    assert not np.array_equal(exact, drawn)
    assert drawn == pytest.approx(exact, abs=4.5 * np.sqrt(0.25 / 2000))
    assert np.array_equal(drawn, sign_flip(x, seed=0, draws=2000))
    assert not np.array_equal(drawn, sign_flip(x, seed=1, draws=2000))


def test_where_exact_ends() -> None:
    """2^10 flips are at most draws + 1 = 1024, and more than 1023: then p is a whole number of 1/1023."""
    x = draw(10, 1)
    assert sign_flip(x, seed=0, draws=1023)[0] * 1024 % 2 == 0
    assert sign_flip(x, seed=0, draws=1022)[0] * 1023 % 1 == pytest.approx(0, abs=1e-9)


def test_a_column_does_not_depend_on_the_others() -> None:
    x = draw(60, 40)
    assert np.array_equal(sign_flip(x, seed=3)[7:9], sign_flip(x[:, 7:9], seed=3))


def test_nothing_measured_is_no_evidence_and_a_clear_effect_is_all_there_is() -> None:
    x = np.stack([np.zeros(30), np.full(30, 0.1), -np.full(30, 1e-30)], axis=1)
    assert sign_flip(x, seed=0) == pytest.approx([1, 1e-4, 1e-4])
    assert sign_flip(x[:5], seed=0) == pytest.approx([1, 2 / 32, 2 / 32])
    assert sign_flip([[5.0]], seed=0) == 1


def test_ties_by_another_route_of_rounding_count() -> None:
    """0.1 + 0.2 is not 0.3 in floating point; to a test it is. Of all 8 flips, those of sum 0 or more are all."""
    assert sign_flip([[0.1], [0.2], [-0.3]], seed=0) == 1
    assert sign_flip([[0.1], [0.2], [0.3]], seed=0) == pytest.approx(0.25)


def test_under_the_null_p_is_small_as_often_as_it_says() -> None:
    """2000 columns of 30 skewless values in 15 clusters that share their values: P(p <= 0.05) = 0.05 +- 3.5 sd."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_t(3, size=(15, 2000)), 2, axis=0)
    assert np.mean(sign_flip(x, np.arange(30) // 2, seed=0, draws=999) <= 0.05) == pytest.approx(0.05, abs=0.017)
    assert np.mean(sign_flip(x, seed=0, draws=999) <= 0.05) > 0.1


def test_many_columns_take_seconds_and_not_much_memory() -> None:
    """All flips at once would be 240 MB for the sums alone; the values themselves are 12 MB."""
    x, start = draw(500, 3000), time.process_time()
    tracemalloc.start()
    sign_flip(x, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - start < 15 and peak < 40e6


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("bh", [0.0125, 0.13, 0.04, 0.05]),
        ("by", [0.0125 * 25 / 12, 0.13 * 25 / 12, 0.04 * 25 / 12, 0.05 * 25 / 12]),
        ("holm", [0.0125, 0.13, 0.06, 0.06]),
    ],
)
def test_adjusted_by_hand(method: str, expected: list[float]) -> None:
    """p = .003125, .13, .02, .0375 for m = 4, whose ranks are 1, 4, 2, 3; 1 + 1/2 + 1/3 + 1/4 = 25/12."""
    p = [0.003125, 0.13, 0.02, 0.0375] if method != "holm" else [0.003125, 0.13, 0.02, 0.03]
    assert adjust(p, method) == pytest.approx(expected)


@given(p_values)
@settings(deadline=None)
def test_false_discovery_rates_by_the_definitions(p: list[float]) -> None:
    m, order = len(p), np.argsort(p)
    bh = np.empty(m)
    for i, k in enumerate(order):
        bh[k] = min(1, *(m * p[order[j]] / (j + 1) for j in range(i, m)))
    assert adjust(p) == pytest.approx(bh)
    assert (adjust(p, "by") >= bh - 1e-12).all() and (adjust(p, "by") <= 1).all()


def test_holm_by_the_definition() -> None:
    """With ties, and with values that the bound of 1 stops."""
    p, running = np.random.default_rng(0).integers(0, 12, size=15) / 40, 0.0
    expected = np.empty(15)
    for i, k in enumerate(np.argsort(p)):
        running = max(running, min(1, (15 - i) * p[k]))
        expected[k] = running
    assert expected.max() == 1 and len(set(p)) < 15
    assert adjust(p, "holm") == pytest.approx(expected)


def test_the_false_discovery_rate_is_held() -> None:
    """100 experiments with 80 nulls and 20 clear effects: a false share of at most 0.1 on average, most effects found."""
    rng, false, found = np.random.default_rng(0), [], []
    for _ in range(100):
        z = rng.normal(size=100) + 4.5 * (np.arange(100) < 20)
        chosen = adjust(2 * stats.norm.sf(np.abs(z))) <= 0.1
        false.append(chosen[20:].sum() / max(1, chosen.sum()))
        found.append(chosen[:20].mean())
    assert np.mean(false) < 0.1 < 0.9 < np.mean(found)


@pytest.mark.parametrize(
    ("p", "method", "said"),
    [
        ([0.1, float("nan")], "bh", "or NaN"),
        ([0.1, 1.1], "bh", "not between 0 and 1"),
        ([-0.1], "holm", "not between 0 and 1"),
        ([], "bh", "at least one"),
        ([[0.1]], "bh", "in one row"),
        ([0.1], "bonferroni", "give one of bh, by, holm"),
    ],
)
def test_what_cannot_be_adjusted(p: list[float], method: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        adjust(p, method)


@pytest.mark.parametrize(
    ("x", "clusters", "draws", "said"),
    [
        ([1.0, 2.0], None, 99, "a column for each test"),
        (np.zeros((0, 2)), None, 99, "a column for each test"),
        ([[1.0, 2.0], [1.0, float("nan")]], None, 99, "column 1 has values that are not finite"),
        ([[1.0], [2.0]], [0], 99, "unequal lengths: 2 rows"),
        ([[1.0], [2.0]], None, 0, "give a number from 1"),
    ],
)
def test_what_cannot_be_flipped(x: object, clusters: object, draws: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        sign_flip(x, clusters, seed=0, draws=draws)
