"""The loop of training: steps that grow smaller, an end when nothing improves, and the best step kept."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from causalmi.errors import ModelError, SpecError
from causalmi.methods.align.boundless import BoundlessDAS
from causalmi.methods.align.components import PCAAlignment
from causalmi.methods.align.das import DAS
from causalmi.methods.align.dbm import DBM
from causalmi.methods.align.descent import Descent
from causalmi.methods.align.fitting import Training
from causalmi.methods.align.judging import Counts
from causalmi.methods.align.method import Method, Trained
from causalmi.methods.align.multitask import MultiTaskDAS
from tests.methods.align.small import family
from tests.networks import Network, draw_numbers, mlp

MLP = Network("mlp", mlp, draw_numbers, tokens=False)
SETTINGS = {"batch": 8, "steps": 12, "check": 2, "patience": 2}


def training_of(method: Trained) -> Training:
    problem = family(MLP, "a")
    return Training(method, problem, method.learner(problem))


def scripted(monkeypatch: pytest.MonkeyPatch, *checks: Sequence[tuple[float, float]]) -> None:
    """At each check these are the agreement and the loss of each point, whatever it has learned."""
    left = iter(checks)

    def judged(self: Training, points: Sequence[int], *, hard: bool) -> Counts:
        told = next(left)
        hits = torch.tensor([[[100 * told[i][0], 0.0]] for i in points])
        return Counts(hits, torch.tensor([[100.0, 0.0]]), torch.tensor([told[i][1] for i in points]))

    monkeypatch.setattr(Training, "judged", judged)


def test_training_ends_when_nothing_improves_and_the_best_step_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    training = training_of(DAS(dims=(1, 2), **SETTINGS))
    kept = list[torch.Tensor]()
    choose = Training._choose

    def look(self: Training) -> None:
        kept.append(next(iter(self.learner.parameters.values())).detach().clone())
        choose(self)

    monkeypatch.setattr(Training, "_choose", look)
    scripted(
        monkeypatch, [(0.5, 1.0), (0.5, 1.0)], [(0.6, 2.0), (0.4, 0.0)], [(0.6, 2.0), (0.5, 0.9)],
        [(0.6, 3.0), (0.5, 0.9)], [(1.0, 0.0), (0.4, 0.1)],
    )  # fmt: skip
    training.run()
    assert training.step == 10 and training.taken == [4, 6]  # by agreement, then by loss; a point that ended stays so
    assert training.scores == [(pytest.approx(0.6), -2.0), (pytest.approx(0.5), pytest.approx(-0.9))]
    (best,) = training.best.values()
    assert torch.equal(best[0], kept[1][0]) and torch.equal(best[1], kept[2][1])


@pytest.mark.parametrize("variables", [("a",), ("a", "b")], ids=str)
def test_nested_tries_take_their_best_step_together(
    monkeypatch: pytest.MonkeyPatch, variables: tuple[str, ...]
) -> None:
    """The one where their mean is best, though each alone was better at another: 0.7 at 4, 0.4 at 2 and 0.65 at 6."""
    problem, method = family(MLP, *variables), DAS(dims=(1, 4), nested=True, **SETTINGS)
    if len(variables) > 1:
        method = replace(method, dims=({"a": 1, "b": 1}, {"a": 4, "b": 3}))
    training = Training(method, problem, method.learner(problem))
    scripted(
        monkeypatch, [(0.8, 1.0), (0.0, 1.0)], [(0.7, 1.0), (0.7, 2.0)], [(0.4, 1.0), (0.9, 1.0)],
        [(0.7, 1.0), (0.7, 2.0)], [(0.0, 0.0), (0.0, 0.0)],
    )  # fmt: skip
    training.run()
    small, large = training.fitted()
    assert training.step == 8 and training.taken == [4, 4] and training.idle == [2, 2]
    assert small.more["loss"] == pytest.approx(1.0) and large.more["loss"] == pytest.approx(2.0)  # of each its own
    for v in variables:
        one, many = (fitted.alignment[v][0].basis for fitted in (small, large))
        assert one is not None and many is not None and one.dims < many.dims
        torch.testing.assert_close(torch.tensor(many.columns[:, :1]), torch.tensor(one.columns), rtol=0, atol=1e-9)


def test_masks_that_harden_are_trained_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    training = training_of(BoundlessDAS(**SETTINGS))
    scripted(monkeypatch, [(0.1, 9.0)])
    training.run()
    assert training.step == 12 and training.taken == [12]
    for name, value in training.learner.parameters.items():
        assert torch.equal(training.best[name], value)


def test_steps_grow_smaller_and_the_last_is_short() -> None:
    training, rates = training_of(DAS(dims=1, **{**SETTINGS, "patience": 99, "lr": 0.2})), list[float]()
    step = training.optimizer.step
    training.optimizer.step = lambda: (rates.append(training.optimizer.param_groups[0]["lr"]), step())[1]  # type: ignore[method-assign]
    training.run()
    assert rates == pytest.approx([0.2 / 8**0.5 * (1 - i / 12) for i in range(12)])


def test_a_direction_turns_by_about_the_rate() -> None:
    """In the first step of Adam each number moves by the rate, so that the angle is lr whatever the width."""
    training = training_of(DAS(dims=1, **{**SETTINGS, "lr": 0.1}))
    (value,) = training.learner.parameters.values()
    before = value.detach().clone()
    training._learn()
    angle = torch.arccos((before * value.detach()).sum().clamp(max=1))
    assert 0.03 < float(angle) <= 0.11


def test_every_round_uses_every_batch_with_sets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[tuple[int, torch.Tensor]]()
    problem = family(MLP, "a", "b")
    method = DAS(dims=1, **{**SETTINGS, "steps": 6})
    training = Training(method, problem, method.learner(problem))
    own = Descent.set_gradients

    def look(self: Descent, number: int, chosen: torch.Tensor, active: Sequence[int], progress: float) -> None:
        seen.append((number, chosen))
        own(self, number, chosen, active, progress)

    monkeypatch.setattr(Descent, "set_gradients", look)
    training.run()
    assert [number for number, _ in seen] == [0, 1, 2, 0, 1, 2]
    assert torch.equal(seen[0][1], seen[2][1]) and not torch.equal(seen[2][1], seen[3][1])
    assert set(torch.cat([chosen for _, chosen in seen]).tolist()) == {0, 1, 2}


def test_gradients_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    training, losses = training_of(DAS(dims=1, **SETTINGS)), Descent._losses
    monkeypatch.setattr(Descent, "_losses", lambda *given: losses(*given) * torch.nan)
    before = next(iter(training.learner.parameters.values())).detach().clone()
    with pytest.raises(ModelError, match="NaN or infinite at step 0"):
        training.run()
    assert torch.equal(next(iter(training.learner.parameters.values())), before)


def test_the_same_seed_gives_the_same_numbers_and_another_others() -> None:
    problem, method = family(MLP, "a"), DAS(dims=2, **{**SETTINGS, "steps": 4})
    one, same, other = (
        Training(method, p, method.learner(p)) for p in (problem, problem, replace(problem, seed=1))
    )  # fmt: skip
    for training in (one, same, other):
        training.run()
    values = [next(iter(training.learner.parameters.values())) for training in (one, same, other)]
    assert torch.equal(values[0], values[1]) and not torch.allclose(values[0], values[2])


@pytest.mark.parametrize("kind", [DAS, MultiTaskDAS])
@pytest.mark.parametrize("dims", [(), [], "4", 1.5, 0, (1, "a"), True, None, {}, {"a": 0}, (2, {"a": True})], ids=str)
def test_dims_that_are_no_numbers_of_directions_are_refused(kind: type[DAS], dims: Any) -> None:
    with pytest.raises(SpecError, match="dims is .*; give a whole number from 1, one for each variable") as error:
        kind(dims=dims)
    assert len(error.value.problems) == 1


def test_a_list_is_a_tuple() -> None:
    some: Any = [1, 4]
    assert DAS(dims=some) == DAS(dims=(1, 4)) and MultiTaskDAS(dims=some).tries == (1, 4)
    assert PCAAlignment(dims=some).tries == BoundlessDAS(penalty=some).penalties == (1, 4)
    assert DBM(gate="budget", features=some) == DBM(gate="budget", features=(1, 4))


@pytest.mark.parametrize(
    "method",
    [
        DAS(dims=(1, 5)),
        DAS(dims={"a": 1, "c": 1}),
        DAS(dims=({"a": 1, "b": 3}, {"a": 4, "b": 1}), nested=True),
        MultiTaskDAS(dims=5),
        PCAAlignment(dims=(1, 5)),
        DBM(gate="budget", features=(2, 9)),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_before_anything_is_run(method: Method) -> None:
    problem = family(MLP, "a", "b")
    small: Any = 1
    replace(method, **({"features": small} if isinstance(method, DBM) else {"dims": small})).refuse(problem)  # type: ignore[type-var]
    BoundlessDAS().refuse(problem)
    with pytest.raises(SpecError):
        method.refuse(problem)
    with pytest.raises(SpecError):
        method.fits(problem)
