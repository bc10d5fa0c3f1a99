"""Edge attribution and its integrals are what a textbook's network gives, with one derivative for each receiver's own input."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from causalmi.errors import DataError
from causalmi.methods.circuits.eap import EAP, EAPIG, CleanCorrupted
from causalmi.methods.circuits.exact import ExactPatching
from causalmi.methods.circuits.nodes import HISP, AtP, AtPStar
from causalmi.methods.circuits.scores import PerExample, edge_scores
from tests.methods.circuits.worked import MAKE, Worked, network, pairs, worked

CASES = [
    *((name, dict(ablation=a)) for name in MAKE for a in ("paired", "mean")),
    *((name, dict(positions=("1", "rest"))) for name in MAKE),
    *((name, dict(neurons=True)) for name in ("gpt2", "llama")),
    *((name, dict(split_qkv=False)) for name in ("reference", "neox")),
    ("gpt2", dict(split_embeddings=True, ablation="zero")),
]
every_case = pytest.mark.parametrize(("name", "how"), CASES, ids=lambda x: str(x))
every_network = pytest.mark.parametrize("name", MAKE)


def found(method: PerExample, problem: Any) -> Tensor:
    """Scores of examples, [b, class, receiver, sender]."""
    (batch,) = problem.batches()
    return method.examples(batch, problem) * torch.tensor(problem.graph.exists)


def agree(one: Tensor, other: Tensor) -> None:
    assert float(other.abs().max()) > 1e-4
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def start(hand: Worked, share: float) -> dict[str, Tensor]:
    """The inputs at a share of the clean value."""
    clean = hand.senders(hand.base)
    return {s: share * clean[s] + (1 - share) * hand.ablated[s] for s in hand.graph.inputs}


def points(steps: int, rule: str) -> list[float]:
    return {
        "left": [k / steps for k in range(steps)],
        "right": [(k + 1) / steps for k in range(steps)],
        "midpoint": [(2 * k + 1) / (2 * steps) for k in range(steps)],
    }[rule]


@every_case
def test_eap(name: str, how: dict) -> None:
    hand, problem = worked(name, **how)
    agree(found(EAP(), problem), hand.products(hand.slopes()))


@every_network
def test_clean_corrupted_is_the_mean_of_both_ends(name: str) -> None:
    hand, problem = worked(name)
    ends = [hand.products(hand.slopes(start(hand, share))) for share in (1, 0)]
    agree(found(CleanCorrupted(), problem), (ends[0] + ends[1]) / 2)


@every_network
@pytest.mark.parametrize("rule", ["left", "midpoint", "right"])
def test_eap_ig_of_inputs(name: str, rule: str) -> None:
    hand, problem = worked(name)
    wanted = sum(hand.products(hand.slopes(start(hand, share))) for share in points(3, rule)) / 3
    agree(found(EAPIG(steps=3, rule=rule), problem), wanted)


@pytest.mark.parametrize(
    ("name", "rule"), [*((name, "left") for name in MAKE), ("gpt2", "midpoint"), ("gpt2", "right")]
)
def test_eap_ig_of_activations(name: str, rule: str) -> None:
    """What a layer's heads, an MLP or the inputs add goes from ablated to clean, for the edges that leave it."""
    hand, problem = worked(name)
    clean, graph = hand.senders(hand.base), hand.graph
    wanted = torch.zeros(3, *graph.shape, dtype=torch.float64)
    for part in {name.split(".")[0] for name in graph.senders}:
        mine = [s for s in graph.senders if s.split(".")[0] == part]
        columns = [graph.senders.index(s) for s in mine]
        for share in points(2, rule):
            fixed = {s: share * clean[s] + (1 - share) * hand.ablated[s] for s in mine}
            wanted[..., columns] += hand.products(hand.slopes(fixed))[..., columns] / 2
    agree(found(EAPIG(steps=2, rule=rule, path="activations"), problem), wanted)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("reference", {}),
        ("llama", {}),
        ("neox", {}),
        ("reference", dict(positions=("1", "rest"))),
    ],
)
def test_exact_patching_runs_without_each_edge(name: str, how: dict) -> None:
    hand, problem = worked(name, **how)
    scores, graph = found(ExactPatching(), problem), hand.graph
    clean = hand.losses(np.ones(graph.shape))
    for p, r, s in list(zip(*np.nonzero(graph.exists), strict=True))[:: 1 if graph.exists.sum() < 100 else 9]:
        keep = np.ones(graph.shape)
        keep[p, r, s] = 0
        torch.testing.assert_close(scores[:, p, r, s], hand.losses(keep) - clean, rtol=0, atol=1e-9)


def test_eap_is_the_derivative_of_exact_patching() -> None:
    """With the ablated value eps of the way from clean, exact / eps -> EAP, and the difference shrinks as eps does."""
    _, problem = worked("reference")
    (batch,), wanted, off = problem.batches(), found(EAP(), problem), []
    scene = batch.net.scene
    clean = problem.model.capture(pairs().base, [*scene.replaced])
    for eps in (1e-2, 1e-3):
        near = {site: clean[site] + eps * (x - clean[site]) for site, x in scene.replaced.items()}
        net = dataclasses.replace(batch.net, scene=dataclasses.replace(scene, replaced=near))
        scores = ExactPatching().examples(dataclasses.replace(batch, net=net), problem)
        off.append(float((scores / eps - wanted).norm() / wanted.norm()))
    assert off[0] < 0.1
    assert off[1] == pytest.approx(off[0] / 10, rel=0.2)


@pytest.mark.parametrize("method", [EAP(), AtP(), AtPStar(), HISP()])
@pytest.mark.parametrize("metric", ["kl", "js"])
def test_a_metric_at_its_minimum_is_refused(method: PerExample, metric: str) -> None:
    model, _ = network("reference")
    with pytest.raises(DataError, match="at its minimum"):
        edge_scores(model, pairs(), metric=metric, method=method)


@pytest.mark.parametrize("method", [EAPIG(), CleanCorrupted(), ExactPatching()])
def test_others_take_it(method: PerExample) -> None:
    model, _ = network("reference")
    frame = edge_scores(model, pairs(), metric="kl", method=method)
    assert float(frame["score"].abs().max()) > 1e-4


@pytest.mark.parametrize("method", [EAP(), EAPIG(steps=2), ExactPatching(), AtP(), AtPStar(), HISP()], ids=str)
def test_batches_change_nothing_and_intervals_are_of_the_examples(method: PerExample) -> None:
    _, problem = worked("reference")
    frames = [edge_scores(problem.model, pairs(), method=method, batch_size=size) for size in (1, 2, 3)]
    each = found(method, problem).numpy()[:, problem.graph.exists]
    for frame in frames:
        np.testing.assert_allclose(frame["score"], each.mean(0), atol=1e-12)
        student = 4.302652730  # of 3 examples, 2 degrees of freedom
        half = student * each.std(0, ddof=1) / np.sqrt(3)
        np.testing.assert_allclose((frame["high"] - frame["low"]) / 2, half, atol=1e-9)
