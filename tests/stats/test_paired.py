"""Paired tests are exact where they say so."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.descriptivestats import sign_test as statsmodels_sign_test

from causalmi.errors import DataError
from causalmi.stats.independence import hsic
from causalmi.stats.paired import covariation, mcnemar, pairing_permutation, sign_test


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_the_sign_test_is_that_of_statsmodels_and_symmetric(d: list[int]) -> None:
    p = sign_test(d)
    assert p == pytest.approx(statsmodels_sign_test(np.array(d))[1] if any(d) else 1)
    assert p == sign_test([-v for v in d]) == sign_test([*d, 0, 0])


def test_the_sign_test_by_counting() -> None:
    """9 of 10: 2 (1 + 10) / 1024; ties change nothing."""
    assert sign_test([1] * 9 + [-3]) == pytest.approx(22 / 1024) == sign_test([1] * 9 + [-3] + [0] * 50)
    assert sign_test([0.0] * 5) == 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemar_is_that_of_statsmodels(rows: list[tuple[bool, bool]]) -> None:
    a, b = map(np.array, zip(*rows, strict=True))
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    expected = statsmodels_mcnemar(table, exact=True).pvalue if (a != b).any() else 1
    assert mcnemar(a, b) == pytest.approx(expected) == mcnemar(b, a)


def test_mcnemar_by_the_binomial() -> None:
    """b = 8 and c = 1 on which they differ: binomtest(8, 9, 1/2); that they agree on 100 more changes nothing."""
    a, b = [1] * 8 + [0] + [1] * 100, [0] * 8 + [1] + [1] * 100
    assert mcnemar(a, b) == pytest.approx(stats.binomtest(8, 9, 0.5).pvalue)


@pytest.mark.parametrize("statistic", [covariation, hsic])
def test_pairing_is_near_the_exact_p(statistic: object) -> None:
    """All 720 pairings of six, by hand."""
    x, y = np.random.default_rng(0).normal(size=(2, 6))
    y += x
    null = [statistic(x, y[list(order)]) for order in itertools.permutations(range(6))]
    exact = np.mean(np.array(null) >= statistic(x, y) - 1e-12)
    p = pairing_permutation(x, y, statistic, seed=0, draws=2000)
    assert p == pytest.approx(exact, abs=4.5 * np.sqrt(exact * (1 - exact) / 2000) + 1e-3)
    assert p == pairing_permutation(x, y, statistic, seed=0, draws=2000)
    assert p * 2001 == pytest.approx(round(p * 2001))


def test_covariation_orders_as_correlation_does() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 30)) + 5
    orders = [np.random.default_rng(k).permutation(30) for k in range(50)]
    by_r = np.argsort([abs(stats.pearsonr(x, y[o]).statistic) for o in orders])
    assert np.array_equal(by_r, np.argsort([covariation(x, y[o]) for o in orders]))


def test_a_constant_goes_with_nothing() -> None:
    assert pairing_permutation([0.1] * 9, range(9), seed=0, draws=99) == 1
    assert pairing_permutation(range(9), [1 / 3] * 9, seed=0, draws=99) == 1


def test_under_the_null_p_is_small_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    p = [pairing_permutation(*rng.exponential(size=(2, 15)), seed=k, draws=99) for k in range(400)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="other than 0 and 1"):
        mcnemar([0.5, 1], [0, 1])
    with pytest.raises(DataError, match="rows of one length"):
        mcnemar([1, 1], [0, 1, 1])
    with pytest.raises(DataError, match="not empty"):
        sign_test([])
    with pytest.raises(DataError, match="not finite"):
        sign_test([float("nan")])
    with pytest.raises(DataError, match="give a number from 1"):
        pairing_permutation([1, 2], [1, 2], seed=0, draws=0)
    with pytest.raises(DataError, match="not finite"):
        pairing_permutation([1, 2], [1, 2], lambda x, y: float("nan"), seed=0, draws=9)
    with pytest.raises(DataError, match="rows of one length"):
        pairing_permutation([1, 2], [1, 2, 3], seed=0)
