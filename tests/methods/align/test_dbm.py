"""Masks find the features that carry a variable, in whatever terms they are written, and no feature becomes two's."""

from functools import cache
from typing import Any

import pytest
import torch

import causalmi as cm
from causalmi import site as site_of
from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.engine.featurizers.linear import Turned
from causalmi.engine.featurizers.principal import PCA
from causalmi.errors import SiteError, SpecError
from causalmi.methods.align.align import align
from causalmi.methods.align.dbm import DBM
from causalmi.methods.align.gates import Budget, HardConcrete, Sigmoid
from causalmi.methods.align.masking import Masks
from causalmi.methods.align.method import Fitted, Problem
from causalmi.methods.hard_concrete import uniform
from tests.methods.align.small import family, signs, trained
from tests.networks import Network, draw_numbers, mlp

ORDER = [5, 4, 2, 6, 0, 1, 3, 7]  # u is in neurons 5 and 4, v in 2 and 6
NEURONS = torch.eye(8, dtype=torch.float64)[ORDER]
TURN = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
MLP = Network("mlp", mlp, draw_numbers, tokens=False)


@cache
def planted(turned: bool, *variables: str) -> Problem:
    return signs(TURN if turned else NEURONS, *variables, n=192)


def found(problem: Problem, **how: Any) -> Fitted:
    (fitted,) = DBM(**{"steps": 90, "batch": 64, **how}).fits(problem)
    return fitted


GATES: dict[str, dict[str, Any]] = {
    "sigmoid": {},
    "hard_concrete": {"gate": "hard_concrete"},
    "budget": {"gate": "budget", "features": 4},
}


@pytest.mark.parametrize("gate", GATES)
def test_planted_neurons_are_found(gate: str) -> None:
    """And their masks are 0 or 1 in the end, those of neurons that make no difference aside."""
    training = trained(DBM(**{"steps": 90, "batch": 64, **GATES[gate]}), planted(False, "u", "v"))
    (share,) = training.learner.shares(1.0)[0].values()
    wanted = torch.zeros(2, 8, dtype=torch.float64)
    wanted[0, ORDER[:2]] = wanted[1, ORDER[2:4]] = 1
    torch.testing.assert_close(share.masks[:, ORDER[:4]], wanted[:, ORDER[:4]], rtol=0, atol=0.01)
    (fitted,) = training.fitted()
    neurons = {v: [set(site.neurons or ()) for site in sites] for v, sites in fitted.alignment.items()}
    assert neurons == {"u": [{4, 5}], "v": [{2, 6}]}
    assert fitted.more["dims"] == 2 and fitted.more["empty"] == "" and fitted.more["soft"] > 0.98
    assert not fitted.nonlinear


def test_directions_are_claimed_as_a_subspace() -> None:
    fitted = found(planted(True, "u"), featurizer=Turned(TURN.T))
    (site,) = fitted.alignment["u"]
    assert site.basis is not None and site.neurons is None and site.featurizer is None
    torch.testing.assert_close(torch.tensor(site.basis.columns), TURN[:2].T)


def test_featurizers_are_fitted_on_the_training_pairs() -> None:
    """To vectors of the sources; what is claimed are some of their directions."""
    problem, seen = planted(True, "u", "v"), list[torch.Tensor]()

    def fitted(values: torch.Tensor) -> PCA:
        seen.append(values)
        return PCA.of(values, 5)

    (site,) = found(problem, featurizer=fitted, steps=30).alignment["u"]
    (values,), (place,) = seen, problem.places.at
    assert torch.equal(values, torch.cat([problem.train.swap.source(v).values[place] for v in ("u", "v")]))
    assert site.basis is not None
    inner = (PCA.of(values, 5).columns.numpy().T @ site.basis.columns).round(6)
    assert sorted(inner.sum(0)) == [1] * site.basis.dims and set(inner.ravel()) == {0.0, 1.0}


class Squashed(Featurizer):
    """An invertible map that is not linear."""

    width, size, linear = 8, 8, False

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return x.sinh(), None

    def decode(self, features: torch.Tensor, rest: torch.Tensor | None) -> torch.Tensor:
        return features.asinh()


def test_other_features_are_claimed_as_such() -> None:
    fitted = found(planted(False, "u"), featurizer=Squashed())
    (site,) = fitted.alignment["u"]
    assert isinstance(site.featurizer, Squashed) and site.chosen == (4, 5)
    assert fitted.nonlinear


class Trying(torch.nn.Module):
    """Directions in float32, of which training mode would drop some."""

    width, size, linear = 8, 8, True

    def __init__(self, dropped: float) -> None:
        super().__init__()
        self.columns, self.dropout = torch.nn.Parameter(TURN.T.float().clone()), torch.nn.Dropout(dropped)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.dropout(x @ self.columns)
        return features, x - features @ self.columns.T

    def decode(self, features: torch.Tensor, rest: torch.Tensor | None) -> torch.Tensor:
        return features @ self.columns.T + rest


@pytest.mark.parametrize("made", [False, True])
def test_a_module_is_a_constant(made: bool) -> None:
    """In evaluation mode, in the network's precision, without gradients in its weights; it stays as it was."""
    masks = []
    for dropped in (0.0, 0.5):
        module = Trying(dropped)
        training = trained(
            DBM(steps=30, batch=64, featurizer=(lambda values: Trying(dropped)) if made else module),  # noqa: B023
            planted(True, "u"),
        )
        (share,) = training.learner.shares(1.0)[0].values()
        masks.append(share.masks.detach())
        features, _ = share.featurizer.encode(torch.ones(2, 8, dtype=torch.float64))
        assert features.dtype == torch.float64 and not features.requires_grad
        (site,) = training.fitted()[0].alignment["u"]
        assert isinstance(site.featurizer, Trying) and (made or site.featurizer is module)
        assert site.featurizer.training and site.featurizer.columns.grad is None
        assert site.featurizer.columns.dtype == torch.float32
    assert torch.equal(*masks) and masks[0].min() < 0.4 < 0.6 < masks[0].max()


def test_several_penalties_and_budgets_are_rows_of_their_own() -> None:
    problem = family(MLP, "a")
    rows = DBM(penalty=(0.0, 50.0), steps=60, batch=8).fits(problem)
    assert [row.label["penalty"] for row in rows] == [0.0, 50.0]
    assert rows[1].more["empty"] == "a" and rows[1].more["dims"] == 1 < rows[0].more["dims"]
    (site,) = rows[1].alignment["a"]
    assert len(site.neurons or ()) == 1
    rows = DBM(gate="budget", features=(2, 8), steps=10, batch=8).fits(problem)
    assert [row.more["dims"] for row in rows] == [2, 8]
    assert [site.neurons is None for row in rows for site in row.alignment["a"]] == [False, True]


def masks_of(variables: int, gate: Any, points: int = 1, size: int = 4) -> Masks:
    problem = family(MLP, *("a", "b")[:variables])
    method = DBM(penalty=tuple(range(points)), temperature=(1.0, 0.1), **gate)
    return method.learner(problem)  # type: ignore[return-value]


@pytest.mark.parametrize("gate", GATES)
def test_masks_of_several_variables_add_up_to_at_most_one(gate: str) -> None:
    learner = masks_of(2, GATES[gate])
    for value in learner.parameters.values():
        value.copy_(4 + torch.randn(value.shape, generator=torch.Generator().manual_seed(2)))
    for progress, hard in ((0.0, False), (0.9, False), (1.0, True)):
        (share,) = learner.shares(progress, hard=hard)[0].values()
        assert share.masks.shape == (2, 8) and (share.masks >= 0).all()
        assert (share.masks.sum(0) <= 1 + 1e-6).all() and share.masks.sum() > 0
        assert not hard or set(share.masks.unique().tolist()) <= {0.0, 1.0}


def test_a_variable_without_a_feature_has_the_nearest_one() -> None:
    """Even where that is another's, but never the only one of another."""
    learner = masks_of(2, {})
    (place,) = learner.places.at
    gates, owners = learner.parameters[str(place)], learner.parameters[f"{place} owners"]
    gates.fill_(-5.0)
    gates[0, :2] = torch.tensor([2.0, 1.0])
    owners[0, 0] = 1.0
    owners[0, 1, 1] = 0.5  # the nearest to b, which a has without needing it
    masks, empty = learner.hard(place)
    assert [m.nonzero()[:, 0].tolist() for m in masks[0]] == [[0], [1]] and empty[0].tolist() == [False, True]
    assert learner.more(0) == {"dims": 1, "empty": "b"}
    gates[0, 1] = -6.0  # a has one feature alone, also the nearest to b
    owners[0, 1] = torch.arange(8.0, 0.0, -1.0) / 10
    masks, _ = learner.hard(place)
    assert [m.nonzero()[:, 0].tolist() for m in masks[0]] == [[0], [2]]
    gates.fill_(-5.0)
    masks, empty = learner.hard(place)
    assert masks[0].sum(-1).tolist() == [1, 1] and masks[0].sum(0).max() == 1 and empty.all()


def test_a_budget_is_kept_at_every_temperature() -> None:
    """Its gates add up to it, its gradient is that of gates that go on adding up to it."""
    a = torch.randn(2, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gate = Budget(torch.tensor([2.0, 5.0]))
    for t in (3.0, 0.5, 0.05):
        torch.testing.assert_close(gate.soft(a, t, None).sum(-1), gate.features.double(), rtol=1e-9, atol=1e-9)
    assert torch.autograd.gradcheck(lambda a: gate.soft(a, 0.7, None), a.requires_grad_())
    assert gate.hard(a).sum(-1).tolist() == [2, 5]
    assert a[1][gate.hard(a)[1]].min() > a[1][~gate.hard(a)[1]].max()
    assert gate.hard(torch.zeros(2, 9)).nonzero()[:2, 1].tolist() == [0, 1]


def test_costs_are_means_of_gates() -> None:
    a = torch.tensor([[-1.0, 0.0, 3.0]], dtype=torch.float64)
    assert float(Sigmoid().cost(a, 0.5)) == pytest.approx(float(torch.sigmoid(a / 0.5).mean()))
    draw = uniform((20000, 3), torch.Generator().manual_seed(0))
    drawn = HardConcrete().soft(a.expand(20000, 3), 1.0, draw)
    assert float(HardConcrete().cost(a, 1.0)) == pytest.approx(float((drawn > 0).double().mean()), abs=0.01)
    assert Sigmoid().hard(a).tolist() == HardConcrete().hard(a).tolist() == [[False, False, True]]


def test_the_draws_of_a_step_are_its_own() -> None:
    """By the seed of the point and the step alone, so that a fit that is gone on with is the same."""
    one, other = masks_of(1, {"gate": "hard_concrete"}, points=2), masks_of(1, {"gate": "hard_concrete"})
    (place,) = one.places.at
    torch.testing.assert_close(one.soft(place, 0.5)[1:], other.soft(place, 0.5))
    assert not torch.equal(one.soft(place, 0.5), one.soft(place, 0.52))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"gate": "soft"}, "gate is 'soft'"),
        ({"gate": "budget"}, "features is None"),
        ({"gate": "budget", "features": (2, 0)}, r"features is \(2, 0\)"),
        ({"features": 3}, "features is 3"),
        ({"penalty": -1.0}, "penalty is -1.0"),
        ({"penalty": ()}, r"penalty is \(\)"),
        ({"temperature": (0.1, 1.0)}, r"temperature is \(0.1, 1.0\)"),
        ({"temperature": 1.0}, "temperature is 1.0"),
        ({"featurizer": 3}, "featurizer is 3"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_wrong_settings_are_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        DBM(**how)


def test_what_does_not_fit_the_place_is_refused() -> None:
    problem = family(MLP, "a", "b")
    with pytest.raises(SpecError, match="is no featurizer of the 8 numbers"):
        DBM(featurizer=Turned(torch.eye(5))).refuse(problem)
    DBM(featurizer=Turned(torch.eye(8))).refuse(problem)
    with pytest.raises(SpecError, match="is no featurizer"):
        DBM(featurizer=lambda values: values.mean(0)).learner(problem)
    with pytest.raises(SpecError, match="there are 1 features at .*, and 2 would be needed"):
        DBM(featurizer=Turned(torch.eye(8)[:, :1])).learner(problem)
    with pytest.raises(SpecError, match="there are 8 features at .*, and 9 would be needed"):
        DBM(gate="budget", features=9).learner(problem)

    class Lossy(Squashed):
        def decode(self, features: torch.Tensor, rest: torch.Tensor | None) -> torch.Tensor:
            return features

    with pytest.raises(SiteError, match="does not give a vector back"):
        DBM(featurizer=Lossy()).learner(problem)


def test_it_is_an_alignment_method() -> None:
    """The whole call; neurons are compared with random subspaces of their number."""
    problem = planted(False, "u", "v")
    claim = cm.Hypothesis(
        claim="they are somewhere",
        task=problem.train.swap.pairs.task,  # type: ignore[arg-type]
        alignment={"u": site_of.module("layer")[0:4], "v": site_of.module("layer")[4:8]},
        rule=cm.AtLeast(iia=0.95, above_control=0.2),
    )
    result = align(claim, problem.model, method=DBM(steps=90), n=300, seed=1)
    assert result.iia is not None and result.iia.value > 0.95 and "not available" not in str(result.test)
    assert {site.neurons for sites in result.hypothesis.alignment.values() for site in sites} == {(4, 5), (2, 6)}
