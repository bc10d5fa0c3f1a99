"""Where a block of directions ends is learned: as good as the best of that size, exact at both ends."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from causalmi.data.pairs import CounterfactualPairs
from causalmi.errors import SpecError
from causalmi.methods.align.align import align
from causalmi.methods.align.boundless import Boundaries, BoundlessDAS
from causalmi.methods.align.das import DAS
from causalmi.methods.align.fitting import Training
from causalmi.methods.align.method import Problem
from causalmi.runs.hypothesis_file import read_file
from causalmi.spec.hypothesis import Hypothesis
from tests.methods.align.small import family, signs, trained
from tests.networks import Network, draw_numbers, mlp

ROOT = Path(__file__).parents[3]
MLP = Network("mlp", mlp, draw_numbers, tokens=False)
TURN = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]


def learner_of(problem: Problem, sizes: list[float], **how: Any) -> Boundaries:
    learner = BoundlessDAS(**how).learner(problem)
    assert isinstance(learner, Boundaries)
    name = next(name for name in learner.parameters if name.endswith("sizes"))
    learner.parameters[name] = torch.tensor([sizes], dtype=torch.float64)
    return learner


@cache
def small(*variables: str) -> Problem:
    return family(MLP, *variables)


@pytest.mark.parametrize("boundary", [0.0, 0.3, 3.0, 3.4, 3.6, 8.0])
def test_the_mask_is_the_sigmoid_of_the_distance_to_the_boundary(boundary: float) -> None:
    learner = learner_of(small("a"), [boundary / 8], temperature=(2.0, 1e-3))
    (place,) = learner.places.at
    for progress, t in ((0.0, 2.0), (0.4, (2.0 * 1e-3) ** 0.5), (0.8, 1e-3), (1.0, 1e-3)):
        wanted = [1 / (1 + np.exp(-np.float64(min(max((boundary - i - 0.5) / t, -700), 700)))) for i in range(8)]
        torch.testing.assert_close(learner.soft(place, progress)[0, 0], torch.tensor(wanted), rtol=1e-6, atol=1e-12)
    sharp, whole = learner.soft(place, 1.0)[0, 0].tolist(), round(boundary)
    assert sharp == pytest.approx([1.0] * whole + [0.0] * (8 - whole), abs=1e-12)  # exact, the first direction too
    (hard,) = learner.shares(0.5, hard=True)[0].values()
    assert hard.masks[0].tolist() == [float(i < max(whole, 1)) for i in range(8)]
    assert learner.more(0) == {"dims": max(whole, 1)}


@pytest.mark.parametrize(
    ("sizes", "blocks"), [([0.25, 0.5], [2, 4]), ([0.0, 0.0], [1, 1]), ([1.0, 0.0], [7, 1]), ([0.3, 0.3], [2, 3])]
)
def test_variables_at_one_place_have_blocks_one_after_the_other(sizes: list[float], blocks: list[int]) -> None:
    learner = learner_of(small("a", "b"), sizes)
    (place,) = learner.places.at
    soft = learner.soft(place, 0.2)[0]
    assert (soft >= 0).all() and (soft.sum(0) <= 1).all()
    (hard,) = learner.shares(1.0, hard=True)[0].values()
    starts = [0, blocks[0]]
    assert [m.nonzero()[:, 0].tolist() for m in hard.masks] == [
        list(range(start, start + n)) for start, n in zip(starts, blocks, strict=True)
    ]
    found = learner.found(0)
    assert [s.basis.dims for v in ("a", "b") for s in found[v] if s.basis is not None] == blocks


def test_a_variable_with_all_directions_claims_the_whole_place() -> None:
    learner = learner_of(small("a"), [1.0])
    assert learner.found(0) == {"a": tuple(learner.places.at)}


def test_boundaries_stay_where_every_variable_has_a_direction() -> None:
    learner = learner_of(small("a", "b"), [-0.5, 2.0])
    learner.settle()
    *_, sizes = learner.parameters.values()
    torch.testing.assert_close(sizes[0], torch.tensor([1 / 8, 7 / 8], dtype=torch.float64))
    sizes.copy_(torch.tensor([[0.4, 0.3]]))
    learner.settle()
    torch.testing.assert_close(sizes[0], torch.tensor([0.4, 0.3], dtype=torch.float64))


def test_the_penalty_is_the_weighted_mean_mask() -> None:
    learner = learner_of(small("a", "b"), [0.25, 0.5], penalty=0.3, temperature=(1.0, 1.0))
    wanted = 0.3 / 8 * sum(1 / (1 + np.exp(-(6 - i - 0.5))) for i in range(8))
    assert float(learner.penalty(0.5)) == pytest.approx(wanted)


def test_the_end_of_training_interchanges_what_is_claimed() -> None:
    learner = learner_of(small("a"), [3.4 / 8])
    during, ending, judged = (learner.shares(x)[0].popitem()[1].masks for x in (0.79, 0.8, 1.0))
    assert ending.tolist() == [[1.0] * 3 + [0.0] * 5]
    assert not torch.equal(during, ending) and not torch.equal(judged, ending)
    assert float(learner.penalty(0.79)) > 0 == float(learner.penalty(0.8))  # which would move it without the loss


def test_a_boundary_stays_where_it_is_once_the_masks_are_hard() -> None:
    """Though the optimizer remembers the gradients of before; the rotation goes on."""
    seen: dict[int, list[torch.Tensor]] = {}

    def look(stage: str, step: int, steps: int) -> None:
        seen[step] = [value.detach().clone() for value in training.learner.parameters.values()]

    problem, method = replace(small("a", "b"), progress=look), BoundlessDAS(penalty=1.0, steps=20, batch=8)
    training = Training(method, problem, method.learner(problem))
    training.run()
    (turned, sizes), (last_turned, last) = seen[16], seen[20]  # 16 of 20 steps are done where they harden
    torch.testing.assert_close(last, sizes, rtol=0, atol=1e-12)
    assert (seen[15][1] - sizes).abs().max() > 1e-4 and (turned - last_turned).abs().max() > 1e-4


def test_a_planted_variable_needs_one_direction() -> None:
    """It is found in a direction that no neuron has; a heavier penalty claims no more than a lighter one."""
    training = trained(BoundlessDAS(penalty=(0.0, 1.0), steps=120, batch=64), signs(TURN, "u", n=192))
    light, heavy = training.fitted()
    (site,) = heavy.alignment["u"]
    assert site.basis is not None and site.basis.dims == heavy.more["dims"] == 1 <= light.more["dims"]
    u = (TURN[0] + TURN[1]).numpy() / 2**0.5
    assert abs(u @ site.basis.columns[:, 0]) > 0.98
    assert heavy.more["soft"] > 0.95
    (share,) = training.learner.shares(1.0)[1].values()
    assert (share.masks - share.masks.round()).abs().max() < 0.1  # it knows where it ends


@cache
def equality() -> tuple[Hypothesis, CounterfactualPairs]:
    told = read_file(ROOT / "hypotheses" / "hierarchical_equality.py").get("trained")()
    return told, told.task.pairs(2048, vary=list(told.variables), seed=0)


def test_the_learned_size_is_as_good_as_the_same_size_given() -> None:
    told, data = equality()
    how: dict[str, Any] = {"steps": 200, "batch": 256}
    found = align(told, method=BoundlessDAS(**how), data=data, controls=(), seed=1)
    dims = {v: sum(s.basis.dims for s in found.hypothesis.sites(v) if s.basis) for v in told.variables}
    given = align(told, method=DAS(dims=dims, **how), data=data, controls=(), seed=1)
    assert found.iia is not None and given.iia is not None
    assert found.iia.value >= given.iia.value - 0.02 and found.iia.value > 0.85
    assert found.chosen["soft"] == pytest.approx(found.chosen["iia"], abs=0.02)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"penalty": "much"}, "penalty is 'much'"),
        ({"penalty": (0.1, float("nan"))}, "penalty is"),
        ({"temperature": (1.0, 0.0)}, r"temperature is \(1.0, 0.0\)"),
        ({"temperature": (1.0,)}, "temperature is"),
        ({"seeds": 0}, "seeds is 0"),
    ],
)
def test_wrong_settings_are_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        BoundlessDAS(**how)


def test_more_variables_than_directions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = family(MLP, "a", "b")
    (place,) = problem.places.at
    monkeypatch.setattr(type(problem), "widths", {place: 1})
    with pytest.raises(SpecError, match="fewer directions than variables"):
        BoundlessDAS().refuse(problem)
