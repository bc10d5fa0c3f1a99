"""Trained masks find the edges that matter on problems with a known answer, and are the same for every batch size."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit

import causalmi as cm
from causalmi.errors import DataError, ModelError, SpecError
from causalmi.methods.circuits.masks import EdgePruning, SampledMasks, SubnetworkProbing
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.scores import edge_scores
from causalmi.methods.circuits.training import derivative
from causalmi.methods.hard_concrete import kept, log_alpha_of, sampled, uniform
from causalmi.rng import torch_stream
from causalmi.spec.graph import Graph
from tests.methods.circuits.worked import network, pairs, worked

GRAPH = Graph(n_layers=1, n_heads=2)
TRUE = [("input", "a0.h0<q>"), ("input", "m0"), ("a0.h1", "m0"), ("m0", "logits")]
METHODS = [
    SubnetworkProbing(steps=150, penalty=2.0),
    EdgePruning(edges=4, steps=150),
    SampledMasks(steps=300, penalty=2.0),
]
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)


def matter() -> np.ndarray:
    return np.array([[[(s, r) in TRUE for s in GRAPH.senders] for r in GRAPH.receivers]])


class Known:
    """A problem whose loss is 1 for each true edge that is missing, times a number near 1 of the example."""

    graph, seed, metric = GRAPH, 3, SimpleNamespace(name="missing")
    pairs = range(6)

    def __init__(self, size: int = 6, worth: float = 1.0) -> None:
        self.size, self.worth = size, worth

    def run(self, rows: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return self.worth * (0.9 + 0.04 * rows[:, None]) * ((1 - keep) * torch.tensor(matter())).sum()

    def batches(self) -> Any:
        for first in range(0, 6, self.size):
            rows = torch.arange(first, min(first + self.size, 6))
            scene = SimpleNamespace(start=torch.zeros((), dtype=torch.float64))
            yield SimpleNamespace(
                loss=lambda logits: logits[:, 0], net=SimpleNamespace(run=partial(self.run, rows), scene=scene)
            )


@every_method
def test_true_edges_come_first_and_are_told_from_the_rest(method: Any) -> None:
    scores = method.moments(Known()).mean
    assert scores[matter()].min() > 0 > scores[GRAPH.exists & ~matter()].max()
    assert (scores[~GRAPH.exists] == 0).all()


@every_method
def test_batches_change_nothing_and_seeds_do(method: Any) -> None:
    short = type(method)(**{**vars(method), "steps": 10})
    one, other = (short.moments(Known(size)).mean for size in (6, 2))
    np.testing.assert_allclose(one, other, atol=1e-9)
    changed = Known()
    changed.seed = 4
    assert not np.allclose(one, short.moments(changed).mean)


@pytest.mark.parametrize("edges", [1, 4, 7, 11, 12])
def test_edge_pruning_ends_at_its_size(edges: int) -> None:
    scores = EdgePruning(edges=edges, steps=60).moments(Known()).mean
    assert int((scores > 0).sum()) == min(edges, int(GRAPH.exists.sum()))


def test_edge_pruning_leads_the_expected_share_to_the_target() -> None:
    """Not by the cut alone: what is above 0 is rather kept, and what is below rather not."""
    method = EdgePruning(edges=4, steps=150)
    problem, seen = Known(), []
    object.__setattr__(method, "_scores", lambda logits, setting: seen.append(logits.detach().clone()) or logits)
    method.moments(problem)  # type: ignore[arg-type]
    share = kept(seen[0])[torch.tensor(GRAPH.exists)]
    assert float(share.sum()) == pytest.approx(4, abs=0.6)
    assert float(kept(seen[0])[torch.tensor(matter())].min()) > 0.8


@every_method
def test_on_a_network_they_are_reproducible(method: Any) -> None:
    model, _ = network("reference")
    short = type(method)(**{**vars(method), "steps": 3})
    frames = [edge_scores(model, pairs(), method=short, seed=5, batch_size=size) for size in (None, 1)]
    np.testing.assert_allclose(frames[0]["score"], frames[1]["score"], atol=1e-7)
    assert frames[0]["low"].isna().all() and frames[0]["score"].nunique() > 10


def test_the_derivative_is_that_of_the_mean_loss() -> None:
    hand, problem = worked("reference")
    keep = torch.rand(hand.graph.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = derivative(problem, keep)
    for p, r, s in list(zip(*np.nonzero(hand.graph.exists), strict=True))[::5]:
        step = np.zeros(hand.graph.shape)
        step[p, r, s] = 1e-5
        ends = [float(hand.losses(keep.numpy() + sign * step).mean()) for sign in (1, -1)]
        assert float(slope[p, r, s]) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


def test_hard_concrete_masks_are_zero_and_one_as_often_as_said() -> None:
    draw = uniform((200_000,), torch_stream(0, "test"))
    for log_alpha in (-2.0, 0.0, 1.5):
        mask = sampled(torch.tensor(log_alpha), draw)
        positive = expit(log_alpha - 2 / 3 * np.log(0.1 / 1.1))
        whole = expit(log_alpha + 2 / 3 * np.log(0.1 / 1.1))
        assert float((mask > 0).double().mean()) == pytest.approx(positive, abs=0.005)
        assert float((mask == 1).double().mean()) == pytest.approx(whole, abs=0.005)
        assert float(kept(torch.tensor(log_alpha))) == pytest.approx(positive, abs=1e-6)
    assert float(kept(torch.tensor(log_alpha_of(0.3)))) == pytest.approx(0.3)


@every_method
def test_a_loss_that_is_not_finite_stops_the_training(method: Any) -> None:
    with pytest.raises(ModelError, match="not finite"):
        method.moments(Known(worth=float("nan")))


@every_method
def test_a_metric_without_derivative_is_refused(method: Any) -> None:
    model, _ = network("reference")
    with pytest.raises(DataError, match="no derivative"):
        edge_scores(model, pairs(), metric="accuracy", method=method)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (SubnetworkProbing, dict(steps=0)),
        (SubnetworkProbing, dict(rate=0.0)),
        (SubnetworkProbing, dict(penalty=-1.0)),
        (SampledMasks, dict(penalty=-1.0)),
        (EdgePruning, dict(edges=0)),
    ],
)
def test_wrong_fields_are_refused(kind: Any, fields: dict) -> None:
    with pytest.raises(SpecError, match=next(iter(fields))):
        kind(**fields)


def test_more_edges_than_there_are_is_refused() -> None:
    with pytest.raises(SpecError, match="edges is 10000"):
        EdgePruning(edges=10_000).moments(Problem.of(network("reference")[0], pairs(), metric="kl"))


def test_kl_can_be_trained_on() -> None:
    frame = edge_scores(
        network("reference")[0], pairs(), metric="kl", method=SubnetworkProbing(steps=2), ablation=cm.Zero()
    )
    assert frame["score"].notna().all()
