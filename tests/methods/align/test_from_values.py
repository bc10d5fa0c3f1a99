"""Directions found from the values of variables: as a slow computation has them, and where they were planted."""

from collections.abc import Callable
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import subspace_angles

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, SpecError
from causalmi.methods.align.components import PCAAlignment
from causalmi.methods.align.means import DifferenceInMeans, differences
from causalmi.methods.align.method import Fitted, Method, Problem
from causalmi.methods.align.observed import Observed
from causalmi.methods.align.probe import ProbeAlignment, least_squares
from tests.ground_truth.planted import claim, network, transformer, transformer_claim, turn
from tests.methods.align.small_problems import problem, raw
from tests.networks import mlp

Floats = NDArray[np.float64]
Q = turn(8, 0)
RNG = np.random.default_rng(0)
SUPERVISED = [DifferenceInMeans(), ProbeAlignment(), ProbeAlignment(reads="number")]


def columns(found: Fitted, variable: str) -> Floats:
    (place,) = found.alignment[variable]
    assert place.basis is not None
    return place.basis.columns


def planted(*variables: str, q: Floats = Q) -> Problem:
    return problem(claim(q, *variables), network(q))


@cache
def both() -> Problem:
    return planted("left", "right")


def three(x: Floats) -> cm.Hypothesis:
    """A variable of three values, each of which moves the input along a row of ``x`` [3, 6]."""
    model = cm.CausalModel(
        {"a": range(3), "noise": lambda rng: int(rng.integers(2**31))},
        {"kind": lambda a, noise: a, "out": lambda kind: kind},
        "out",
    )
    encode = lambda s: x[s["a"]] + 0.1 * np.random.default_rng(s["noise"]).standard_normal(6)  # noqa: E731
    task = cm.Task(model, encode=encode, label=lambda s: s["out"])
    return cm.Hypothesis(claim="three kinds", task=task, alignment={"kind": site.module("layer1")})


def test_what_is_observed_are_bases_and_sources_with_their_values() -> None:
    p = both()
    (place,), seen, pairs = p.places.at, Observed(p), p.train.swap.pairs
    x, values = seen.vectors(place), seen.values(place, "left")
    assert len(x) == 3 * len(pairs)
    assert np.sign(x @ Q[:, 0]).tolist() == values
    assert np.sign(x @ Q[:, 1]).tolist() == seen.values(place, "right")
    assert pairs.drawn is not None
    assert values[: len(pairs)] == pairs.drawn.base["left"].tolist()


def test_a_place_of_several_positions_gives_a_vector_for_each() -> None:
    claimed = transformer_claim()
    wide = cm.Hypothesis(claim="anywhere", task=claimed.task, alignment={"left": site.resid_post(0)})
    p = problem(wide, transformer(turn(16, 0)), n=64)
    (place,), seen = p.places.at, Observed(p)
    x, at_last = seen.vectors(place), p.model.capture(p.train.swap.pairs.base, [site.resid_post(0, at="last")])
    assert x.shape == (2 * 32 * 3, 16)
    assert np.array_equal(x[2:96:3], next(iter(at_last.values())).numpy())
    assert seen.values(place, "left")[0:6:3] == p.train.swap.pairs.drawn.base["left"].tolist()[:2]  # type: ignore[union-attr]


@pytest.mark.parametrize("method", SUPERVISED)
def test_planted_directions_are_found_each_for_its_variable(method: Method) -> None:
    for found in method.fits(both()):
        for i, v in enumerate(("left", "right")):
            assert abs(columns(found, v)[:, 0] @ Q[:, i]) > 0.99
        assert abs(columns(found, "left")[:, 0] @ columns(found, "right")[:, 0]) < 1e-9


@pytest.mark.parametrize("method", [*SUPERVISED, PCAAlignment(dims=2)])
def test_a_turned_place_has_turned_directions(method: Method) -> None:
    """The same examples in other coordinates; a penalty on numbers one by one would not do this."""
    rotation = turn(8, 5)
    here, there = planted("left"), planted("left", q=rotation @ Q)
    for a, b in zip(method.fits(here), method.fits(there), strict=True):
        assert np.degrees(subspace_angles(rotation @ columns(a, "left"), columns(b, "left")).max()) < 0.1


def test_differences_span_those_of_every_two_class_means() -> None:
    x, kinds = RNG.standard_normal((40, 6)), np.arange(40) % 4
    means = [x[[i for i in range(40) if i % 4 == k]].mean(0) for k in range(4)]
    slow = np.stack([a - b for a, b in combinations(means, 2)])
    fast = differences(x, kinds)
    assert np.linalg.matrix_rank(fast) == 3
    assert np.linalg.matrix_rank(np.concatenate([slow, fast])) == 3
    assert np.allclose(differences(x[:, :2], np.arange(40) % 2)[0] * 2, x[::2, :2].mean(0) - x[1::2, :2].mean(0))


@pytest.mark.parametrize("method", [DifferenceInMeans, ProbeAlignment])
def test_of_three_values_two_directions_are_there_and_the_leading_one_comes_first(
    method: Callable[..., Method],
) -> None:
    x = np.array([[0.0] * 6, [4, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]])
    p = problem(three(x), mlp())
    every, one = method().fits(p)[0], method(dims=1).fits(p)[0]
    assert columns(every, "kind").shape[1] == 2
    assert np.allclose(columns(one, "kind"), columns(every, "kind")[:, :1])
    assert columns(method(dims=5).fits(p)[0], "kind").shape[1] == 2


def test_least_squares_is_ridge_regression() -> None:
    from sklearn.linear_model import Ridge

    x, y = RNG.standard_normal((50, 5)), RNG.standard_normal(50)
    x -= x.mean(0)
    assert np.allclose(least_squares(x, y, 0.3)[0], Ridge(alpha=0.3 * 50).fit(x, y).coef_)


def test_logistic_regression_minimises_what_is_said() -> None:
    """Mean loss plus penalty |w|^2 / 2: its gradient is 0 there."""
    from causalmi.methods.align.probe import logistic

    x, kinds = RNG.standard_normal((60, 4)), (np.arange(60) % 3 == 0).astype(np.int64)
    (w,) = logistic(
        np.concatenate([x, -x]), np.concatenate([kinds, 1 - kinds]), 0.1
    )  # without an intercept, by symmetry
    p = 1 / (1 + np.exp(-x @ w))
    assert np.abs(((p - kinds)[:, None] * x).mean(0) + 0.1 * w).max() < 1e-3


@pytest.mark.parametrize("method", SUPERVISED)
def test_pairs_without_values_are_refused(method: Method) -> None:
    with pytest.raises(DataError, match="hold no values of the variables"):
        method.fits(raw())


def test_values_that_cannot_be_told_apart_are_refused() -> None:
    kinds = claim(Q, "left")
    words = cm.CausalModel({"a": ["x", "y"]}, {"word": lambda a: a, "out": lambda word: int(word == "x")}, "out")
    task = cm.Task(words, encode=lambda s: [float(s["a"] == "x")] * 6, label=lambda s: s["out"])
    spoken = cm.Hypothesis(claim="a word", task=task, alignment={"word": site.module("layer1")})
    many = cm.Hypothesis(claim="noise", task=kinds.task, alignment={"noise": site.module("h")})
    with pytest.raises(DataError, match="no number; learn from classes"):
        ProbeAlignment(reads="number").fits(problem(spoken, mlp()))
    with pytest.raises(DataError, match="noise has [0-9,]+ different values"):
        DifferenceInMeans().fits(problem(many, network(Q), n=1024))


def test_variables_that_are_always_equal_leave_nothing_for_the_second() -> None:
    model = cm.CausalModel({"a": [0, 1]}, {"p": lambda a: a, "q": lambda p: p, "out": lambda q: q}, "out")
    task = cm.Task(model, encode=lambda s: [float(s["a"])] * 6, label=lambda s: s["out"])
    place = site.module("layer1")
    both = cm.Hypothesis(claim="both", task=task, alignment={"p": place[0:4], "q": place[4:8]})
    with pytest.raises(DataError, match="tells the values of q apart that other variables leave"):
        DifferenceInMeans().fits(problem(both, mlp(), n=64))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DifferenceInMeans(dims=0), "dims is 0"),
        (lambda: ProbeAlignment(penalties=()), "penalties is ()"),
        (lambda: ProbeAlignment(penalties=(0.0,)), "positive"),
        (lambda: ProbeAlignment(reads="class"), "reads is 'class'"),  # type: ignore[arg-type]
        (lambda: PCAAlignment(dims=()), "dims is ()"),
        (lambda: PCAAlignment(dims=5).fits(both()), "10 components"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(SpecError) as error:
        make()
    assert said in str(error.value)


@pytest.mark.parametrize("method", [ProbeAlignment(), PCAAlignment(dims=(1, 2))])
def test_one_of_several_again_is_the_same(method: Method) -> None:
    p = planted("left")
    for found in method.fits(p):
        (again,) = method.alone(found.label).fits(p)
        assert np.array_equal(columns(again, "left"), columns(found, "left"))
