"""Westfall and Young's adjustment is its definition, never below the raw p-value, and holds the family's error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causalmi.errors import DataError
from causalmi.stats.multiplicity import adjust, max_t, permutation_p, sign_flip

values = st.integers(-4, 4).map(float)
families = st.tuples(st.integers(1, 6), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(arrays(float, shape[0], elements=values), arrays(float, shape[::-1], elements=values))
)


def raw_p(t: np.ndarray, null: np.ndarray) -> np.ndarray:
    return np.array(
        [(1 + sum(draw >= value for draw in column)) / (1 + len(null)) for value, column in zip(t, null.T, strict=True)]
    )


@given(families)
def test_single_step_by_the_definition(family: tuple[np.ndarray, np.ndarray]) -> None:
    t, null = family
    assert max_t(t, null) == pytest.approx(raw_p(t, np.repeat(null.max(1)[:, None], len(t), axis=1)))


@given(families)
def test_step_down_by_the_definition(family: tuple[np.ndarray, np.ndarray]) -> None:
    """From the largest on: the best of what is left, ties left with the larger, and the running maximum."""
    t, null = family
    order, running, expected = np.argsort(-t, kind="stable"), 0.0, np.empty(len(t))
    for i, j in enumerate(order):
        running = max(running, raw_p(t[[j]], null[:, order[i:]].max(1)[:, None])[0])
        expected[j] = running
    assert max_t(t, null, step_down=True) == pytest.approx(expected)


@given(families)
def test_never_below_the_raw_p_and_never_above_single_step(family: tuple[np.ndarray, np.ndarray]) -> None:
    t, null = family
    single, down, raw = max_t(t, null), max_t(t, null, step_down=True), raw_p(t, null)
    assert (raw <= down + 1e-12).all() and (down <= single + 1e-12).all() and (single <= 1).all() and (raw > 0).all()
    assert (np.diff(single[np.argsort(-t)]) >= 0).all()
    assert permutation_p(t[0], null[:, 0]) == pytest.approx(raw[0])


def test_ties_by_another_route_of_rounding_count() -> None:
    assert permutation_p(0.1 + 0.2, [0.3, 0.3 - 1e-9]) == pytest.approx(2 / 3)
    assert permutation_p(-0.1 - 0.2, [-0.30000000000000016]) == 1


def test_identical_columns_cost_nothing_and_independent_ones_what_sidak_says() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(4000, 1))
    assert max_t([2.0] * 50, np.repeat(one, 50, axis=1)) == pytest.approx([permutation_p(2.0, one[:, 0])] * 50)
    p = max_t([3.0] + [0.0] * 19, rng.normal(size=(4000, 20)))
    assert p[0] == pytest.approx(1 - (1 - 0.00135) ** 20, abs=0.012)


def test_the_best_of_many_nulls_is_seldom_called_real() -> None:
    """200 experiments, 30 dependent statistics without effect, 199 draws: any p <= 0.05 in about 5 % of them."""
    rng, false = np.random.default_rng(0), {False: 0, True: 0}
    for _ in range(200):
        z = np.abs(rng.normal(size=(200, 30)) + rng.normal(size=(200, 1)))
        for step_down in false:
            false[step_down] += max_t(z[0], z[1:], step_down=step_down).min() <= 0.05
    assert false[False] == false[True] and 2 <= false[True] <= 19  # the best one is the same in both


@given(st.lists(st.integers(0, 64).map(lambda k: k / 64), min_size=1, max_size=12))
@settings(deadline=None, max_examples=25)  # statsmodels collects garbage each time
def test_holm_keeps_the_order_and_is_the_running_maximum(p: list[float]) -> None:
    adjusted, order, m = adjust(p, "holm"), np.argsort(p, kind="stable"), len(p)
    assert (np.diff(adjusted[order]) >= -1e-12).all() and (adjusted >= np.array(p) - 1e-12).all()
    for i, k in enumerate(order):
        assert adjusted[k] == pytest.approx(max(min(1, (m - j) * p[order[j]]) for j in range(i + 1)))


def test_sign_flips_are_all_counted_up_to_thirteen() -> None:
    """2^13 = 8192 flips are within the default of 9999 draws, 2^14 are not."""
    x = np.random.default_rng(0).normal(0.4, 1, size=(14, 1))
    assert sign_flip(x[:13], seed=0)[0] * 2**13 % 2 == 0
    assert sign_flip(x, seed=0)[0] * 10**4 == pytest.approx(round(sign_flip(x, seed=0)[0] * 10**4))


@pytest.mark.parametrize(
    ("t", "null", "said"),
    [
        ([1.0], [[1.0, 2.0]], "give \\[m\\] and \\[B, m\\]"),
        ([], np.zeros((3, 0)), "give \\[m\\] and \\[B, m\\]"),
        ([1.0], np.zeros((0, 1)), "give \\[m\\] and \\[B, m\\]"),
        (1.0, [[1.0]], "give \\[m\\] and \\[B, m\\]"),
        ([1.0], 1.0, "give \\[m\\] and \\[B, m\\]"),
        ([float("nan")], [[1.0]], "not finite"),
        ([1.0], [[float("inf")]], "not finite"),
    ],
)
def test_bad_input_is_refused(t: object, null: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        max_t(t, null)
    for bad in ([], [[1.0, 2.0]], 1.0):
        with pytest.raises(DataError, match="shape"):
            permutation_p(1.0, bad)
