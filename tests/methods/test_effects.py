"""Effects are those of the formulas, row by row, and what is undefined is said to be so."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from causalmi.errors import DataError, ModelError
from causalmi.methods.effects import effects
from causalmi.stats.means import mean, ratio

COLUMNS = ["effect", "low", "high", "p", "p_adjusted", "value", "raw", "raw_low", "raw_high", "n"]


def study(m: int = 6, n: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row k closes the share k / m of the gap between start and goal, with noise."""
    rng = np.random.default_rng(0)
    start = rng.normal(-2, 0.5, size=n)
    goal = start + rng.normal(4, 0.5, size=n)
    share = np.arange(m)[:, None] / m
    return start + share * (goal - start) + rng.normal(0, 0.3, size=(m, n)), start, goal


@pytest.mark.parametrize("clusters", [None, np.arange(24) // 2], ids=["alone", "pairs"])
def test_every_row_is_that_of_the_formulas(clusters: np.ndarray | None) -> None:
    patched, start, goal = study()
    frame = effects(patched, start, goal, clusters=clusters, seed=0)
    assert list(frame) == COLUMNS and list(frame.index) == list(range(6)) and "undefined" not in frame.attrs
    for row, values in zip(frame.itertuples(), patched, strict=True):
        raw, share = mean(values - start, clusters), ratio(values - start, goal - start, clusters)
        assert (row.raw, row.raw_low, row.raw_high) == (raw.value, raw.low, raw.high)
        assert share is not None and (row.effect, row.low, row.high) == (share.value, share.low, share.high)
        assert (row.value, row.n) == (pytest.approx(values.mean()), 24)
        assert row.effect == pytest.approx((values.mean() - start.mean()) / (goal.mean() - start.mean()))
    assert (frame.low <= np.arange(6) / 6).all() and (np.arange(6) / 6 <= frame.high).all()


@pytest.mark.parametrize("each", [1, 2])
def test_p_is_that_of_the_sign_flips_of_clusters(each: int) -> None:
    patched, start, _ = study(n=12 * each)
    start = start + 1.2
    totals = (patched - start).reshape(6, 12, each).sum(2).T
    frame = effects(patched, start, clusters=np.arange(12).repeat(each), seed=0)
    expected = stats.permutation_test(
        (totals,), lambda d, axis: d.mean(axis), permutation_type="samples", vectorized=True, axis=0
    ).pvalue
    assert frame.p.to_numpy() == pytest.approx(expected)
    assert frame.p_adjusted.to_numpy() == pytest.approx(stats.false_discovery_control(expected))
    assert (frame.p_adjusted > frame.p).any()


def test_the_best_patch_is_one_and_none_is_zero() -> None:
    _, start, goal = study()
    frame = effects(np.stack([start, goal, 2 * start - goal]), start, goal, seed=0)
    for name in ("low", "effect", "high"):
        assert frame[name].to_numpy() == pytest.approx([0, 1, -1], abs=1e-12)
    assert frame.p[0] == 1 and frame.p[1] < 0.01


def test_without_a_goal_there_is_the_raw_effect() -> None:
    patched, start, goal = study()
    frame, full = effects(patched, start, seed=0), effects(patched, start, goal, seed=0)
    assert frame[["effect", "low", "high"]].isna().all(axis=None)
    assert "no goal" in frame.attrs["undefined"]
    rest = ["value", "raw", "raw_low", "raw_high", "p", "p_adjusted", "n"]
    pd.testing.assert_frame_equal(frame[rest], full[rest], check_flags=False)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_where_goal_is_start_there_is_no_share(spread: float) -> None:
    patched, start, _ = study()
    goal = start + spread * np.tile([1.0, -0.9], 12)
    frame = effects(patched, start, goal, seed=0)
    assert list(frame) == COLUMNS
    assert frame[["effect", "low", "high"]].isna().all(axis=None)
    assert (
        "on base and source differs by" in frame.attrs["undefined"] and "not significantly" in frame.attrs["undefined"]
    )
    assert frame.drop(columns=["effect", "low", "high"]).notna().all(axis=None)


def test_tensors_are_as_good_as_arrays_and_computed_in_double_precision() -> None:
    patched, start, goal = map(torch.tensor, study())
    start = start.bfloat16()
    frame = effects(patched.clone().requires_grad_(), start, goal, seed=0)
    arrays = (x.double().numpy() for x in (patched, start, goal))
    pd.testing.assert_frame_equal(frame, effects(*arrays, seed=0), check_exact=True)
    assert set(frame.dtypes[:-1]) == {np.dtype(np.float64)}


def test_more_rows_change_no_row_but_its_adjustment() -> None:
    patched, start, goal = study()
    few, all_rows = effects(patched[:2], start, goal, seed=5), effects(patched, start, goal, seed=5)
    pd.testing.assert_frame_equal(few.drop(columns="p_adjusted"), all_rows[:2].drop(columns="p_adjusted"))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("patched", "intervention 1 .* not finite"),
        ("start", "start is not finite at example 3"),
        ("goal", "goal is not"),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_never_an_effect(place: str, said: str, value: float) -> None:
    given = dict(zip(("patched", "start", "goal"), study(), strict=True))
    given[place][(1, 3) if place == "patched" else 3] = value
    with pytest.raises(ModelError, match=said):
        effects(**given, seed=0)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (((5,), (5,), (5,)), "patched has the shape"),
        (((0, 5), (5,), (5,)), "patched has the shape"),
        (((2, 5), (4,), (5,)), "start has the shape"),
        (((2, 5), (5,), (2, 5)), "goal has the shape"),
    ],
)
def test_shapes_that_do_not_fit(shapes: tuple[tuple[int, ...], ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        effects(*map(np.ones, shapes), seed=0)


@pytest.mark.parametrize("clusters", [None, [4, 4, 4]])
def test_one_observation_has_effects_but_no_intervals(clusters: list[int] | None) -> None:
    n = 1 if clusters is None else 3
    frame = effects(np.full((2, n), 3.0), np.full(n, 1.0), np.full(n, 5.0), clusters=clusters, seed=0)
    assert frame["raw"].tolist() == [2.0, 2.0]
    assert frame["effect"].tolist() == [0.5, 0.5]
    assert frame[["raw_low", "raw_high", "low", "high", "p", "p_adjusted"]].isna().all(axis=None)
    assert "share one base" in frame.attrs["uncertain"]


def test_what_cannot_fall_below_the_start_has_no_p() -> None:
    patched, start, goal = study()
    frame = effects(patched, start, goal, seed=0, signed=False)
    assert frame[["p", "p_adjusted"]].isna().all(axis=None)
    assert "never below" in frame.attrs["untested"]
    assert effects(patched, start, goal, seed=0)["p"].notna().all()
