"""The quantile test is a binomial tail, with the numbers that circuits are judged by."""

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmi.errors import DataError
from causalmi.stats.multiplicity import adjust
from causalmi.stats.quantiles import quantile_test


@pytest.mark.parametrize(("successes", "expected"), [(95, 0.0576), (96, 0.0237), (100, 2.656e-5)])
def test_sufficiency(successes: int, expected: float) -> None:
    assert quantile_test(successes, 100) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("successes", "expected"), [(80, 0.00197856), (84, 0.0398905), (85, 0.072573), (90, 0.54871)])
def test_minimality(successes: int, expected: float) -> None:
    assert quantile_test(successes, 100, alternative="less") == pytest.approx(expected, rel=1e-5)


def test_fewer_than_29_draws_cannot_show_it() -> None:
    assert quantile_test(29, 29) < 0.05 < quantile_test(28, 28) == pytest.approx(0.9**28)


def test_many_edges_are_adjusted() -> None:
    """Of 20 edges, one at 84 alone would be called redundant; among 20 it is not."""
    p = [quantile_test(84, 100, alternative="less")] + [quantile_test(95, 100, alternative="less")] * 19
    assert p[0] < 0.05 < adjust(p, "holm")[0]


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 19))
def test_by_the_sum(n: int, k: int, twentieths: int) -> None:
    k, q = min(k, n), twentieths / 20
    tail = [comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(n + 1)]
    assert quantile_test(k, n, q) == pytest.approx(sum(tail[k:]))
    assert quantile_test(k, n, q, "less") == pytest.approx(sum(tail[: k + 1]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((5, 4), "are no counts"),
        ((-1, 4), "are no counts"),
        ((0, 0), "are no counts"),
        ((1.5, 4), "are no counts"),
        ((1, float("inf")), "are no counts"),
        ((float("nan"), 4), "are no counts"),
        ((1, 4, 1.0), "q is 1.0"),
        ((1, 4, 0.9, "two-sided"), "give one of greater, less"),
    ],
)
def test_bad_input_is_refused(arguments: tuple, said: str) -> None:
    with pytest.raises(DataError, match=said):
        quantile_test(*arguments)
