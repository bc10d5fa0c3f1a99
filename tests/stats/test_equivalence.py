"""Equivalence is accepted only on evidence, and the tests of signs are those of the formulas."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from causalmi.errors import DataError
from causalmi.stats.equivalence import sign_equivalence, sign_tost, tost
from causalmi.stats.means import mean
from causalmi.stats.paired import sign_test

differences = st.lists(st.integers(-3, 3).map(lambda k: k / 4), min_size=2, max_size=40)
margins = st.integers(1, 15).map(lambda k: k / 32)


def signs(wins: int, losses: int, ties: int = 0) -> np.ndarray:
    return np.repeat([1.0, -2.0, 0.0], [wins, losses, ties])


def test_tost_is_that_of_statsmodels_and_of_two_t_tests() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 40))
    d = x - y
    for margin in (0.1, 0.5, 1.0):
        p = tost(d, margin).p
        assert p == pytest.approx(ttost_paired(x, y, -margin, margin)[0])
        one, other = (
            stats.ttest_1samp(d, -margin, alternative="greater"),
            stats.ttest_1samp(d, margin, alternative="less"),
        )
        assert p == pytest.approx(max(one.pvalue, other.pvalue))


@settings(deadline=None)
@given(differences, margins, st.sampled_from([0.01, 0.05, 0.2]))
def test_equivalent_exactly_if_the_interval_is_inside(d: list[float], margin: float, alpha: float) -> None:
    """TOST is symmetric, and the dual of the interval of level 1 - 2 alpha; so is the test of signs."""
    for test, centre in ((tost, 0.0), (sign_tost, 0.5)):
        e, back = test(d, margin, alpha=alpha), test(-np.array(d), margin, alpha=alpha)
        assert e.p == pytest.approx(back.p) and 0 <= e.p <= 1
        room = min(e.estimate.low - centre + margin, centre + margin - e.estimate.high)
        if abs(room) > 1e-9:
            assert e.equivalent == (room > 0) == (e.p < alpha)


@settings(deadline=None)
@given(differences, margins, margins)
def test_a_wider_margin_is_easier_to_keep_and_harder_to_break(d: list[float], a: float, b: float) -> None:
    narrow, wide = sorted((a, b))
    assert tost(d, wide).p <= tost(d, narrow).p + 1e-12
    assert sign_tost(d, wide).p <= sign_tost(d, narrow).p + 1e-12
    assert sign_equivalence(d, wide) >= sign_equivalence(d, narrow) - 1e-12


def test_tost_with_clusters_is_the_dual_of_the_clustered_mean() -> None:
    d, clusters = np.repeat(np.random.default_rng(0).normal(size=20), 5), np.repeat(np.arange(20), 5)
    e, naive = tost(d, 0.5, clusters), tost(d, 0.5)
    assert e.estimate == mean(d, clusters, level=0.9)
    assert tost(d, -e.estimate.low, clusters).p == pytest.approx(0.05) and e.estimate.value < 0
    assert naive.p < e.p


def test_differences_without_variation() -> None:
    assert tost([0.1, 0.1], 0.2).p == 0 and tost([0.1, 0.1], 0.2).equivalent
    for d in (0.2, -0.2, 0.3):
        assert tost([d, d], 0.2).p == 1


@pytest.mark.parametrize(
    ("n", "share", "expected"),
    [
        (100, 0.50, 1),
        (100, 0.60, 0.543337),
        (100, 0.65, 0.17947),
        (100, 0.68, 0.0615039),
        (100, 0.70, 0.0247828),
        (100, 0.74, 0.00239566),
        (40, 0.74, 0.0352299),
        (10, 1.0, 0.00615148),
    ],
)
def test_shi_as_computed_elsewhere(n: int, share: float, expected: float) -> None:
    """At 0.74 of 40, 29.6 wins, the nearest count with the same tail is 30: |k / 40 - 1/2| >= 0.24 from k = 30 on."""
    wins = int(np.ceil(round(n * share, 9)))
    assert sign_equivalence(signs(wins, n - wins), 0.1) == pytest.approx(expected, rel=1e-5)
    assert sign_equivalence(signs(n - wins, wins), 0.1) == pytest.approx(expected, rel=1e-5)


@settings(deadline=None)
@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 5), margins)
def test_shi_by_the_sum(wins: int, losses: int, ties: int, margin: float) -> None:
    n = max(1, wins + losses + ties)
    ties += not wins + losses + ties
    up, down = 0.5 + margin, 0.5 - margin
    far = [k for k in range(n + 1) if abs(2 * k - n) >= abs(wins - losses)]
    expected = sum(comb(n, k) * up**k * down ** (n - k) for k in far)
    assert sign_equivalence(signs(wins, losses, ties), margin) == pytest.approx(expected)


def test_what_says_nothing_is_no_evidence_against() -> None:
    """Systems that always agree are not told apart, nor is anything told apart by a margin of one half."""
    assert sign_equivalence(np.zeros(128)) == 1
    assert sign_equivalence(signs(50, 0), 0.5) == pytest.approx(1)
    assert sign_equivalence(signs(20, 11), 0) == pytest.approx(sign_test(signs(20, 11)))


def test_shis_test_does_not_accept_and_sign_tost_does() -> None:
    """Few examples: no evidence either way. Many: evidence for equivalence, and against it where there is none."""
    few, many, apart = signs(3, 3), signs(300, 300), signs(500, 100)
    assert sign_equivalence(few) == 1 and not sign_tost(few).equivalent
    assert sign_equivalence(many) == 1 and sign_tost(many).equivalent
    assert sign_equivalence(apart) < 1e-9 and sign_tost(apart).p == pytest.approx(1)
    assert sign_tost(np.zeros(600)).equivalent and not sign_tost(np.zeros(20)).equivalent


def test_sign_tost_by_two_binomials() -> None:
    e = sign_tost(signs(104, 96), 0.1)
    one, other = stats.binomtest(104, 200, 0.4, "greater"), stats.binomtest(104, 200, 0.6, "less")
    assert e.p == pytest.approx(max(one.pvalue, other.pvalue))
    ends = stats.binomtest(104, 200).proportion_ci(0.9, "exact")
    assert (e.estimate.value, e.estimate.low, e.estimate.high) == pytest.approx((0.52, ends.low, ends.high))
    odd = sign_tost(signs(103, 96, 1), 0.1)  # 103.5 of 200: 103 for the lower bound, 104 for the upper one
    one, other = stats.binomtest(103, 200, 0.4, "greater"), stats.binomtest(104, 200, 0.6, "less")
    assert odd.p == pytest.approx(max(one.pvalue, other.pvalue))


@pytest.mark.parametrize("ties", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("n", [5, 12, 20])
def test_half_a_win_for_a_tie_is_never_too_lenient(n: int, ties: float) -> None:
    """All outcomes of n examples at the edge of H0, P(win) + P(tie) / 2 = 1/2 + margin: P(p <= alpha) <= alpha."""
    margin, accept, reject = 0.2, 0.0, 0.0
    wins = 0.5 + margin - ties / 2
    for w in range(n + 1):
        for t in range(n + 1 - w):
            chance = stats.multinomial.pmf([w, t, n - w - t], n, [wins, ties, 1 - wins - ties])
            d = signs(w, n - w - t, t)
            accept += chance * sign_tost(d, margin).equivalent
            reject += chance * (sign_equivalence(d, margin) <= 0.05)
    assert accept <= 0.05 and reject <= 0.05


def test_bad_input_is_refused() -> None:
    for margin in (0, -1, float("nan"), float("inf")):
        with pytest.raises(DataError, match="the margin is"):
            tost([1.0, 2.0], margin)
    for margin in (0, 0.5, float("nan")):
        with pytest.raises(DataError, match="the margin is"):
            sign_tost([1.0, 2.0], margin)
    with pytest.raises(DataError, match="the margin is"):
        sign_equivalence([1.0, 2.0], 0.6)
    for test in (tost, sign_tost):
        with pytest.raises(DataError, match="between 0 and 1/2"):
            test([1.0, 2.0], 0.1, alpha=0.5)
        with pytest.raises(DataError, match="not finite"):
            test([1.0, float("nan")], 0.1)
    with pytest.raises(DataError, match="one cluster"):
        tost([1.0], 0.1)
    with pytest.raises(DataError, match="not empty"):
        sign_equivalence([])
