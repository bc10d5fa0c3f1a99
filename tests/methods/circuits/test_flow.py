"""Shares of what is read, sizes of changes, and scores of chance."""

from typing import Any

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi.methods.circuits.flow import InformationFlow, Magnitude, RandomScores
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.scores import edge_scores
from causalmi.models.graph import graph_of
from tests.methods.circuits.worked import MAKE, Worked, network, pairs, worked

CASES = [
    *((name, {}) for name in MAKE),
    *((name, dict(positions=("1", "rest"))) for name in MAKE),
    *((name, dict(neurons=True)) for name in ("gpt2", "llama")),
    ("neox", dict(split_qkv=False)),
    ("gpt2", dict(split_embeddings=True)),
]
every_case = pytest.mark.parametrize(("name", "how"), CASES, ids=lambda x: str(x))


def found(method: Any, problem: Any) -> np.ndarray:
    (batch,) = problem.batches()
    return method.examples(batch, problem).numpy() * problem.graph.exists


def reads(hand: Worked) -> dict[str, np.ndarray]:
    """What each receiver reads on the clean run."""
    seen: dict[str, np.ndarray] = {}

    def read(name: str, outs: list[Any], bias: Any) -> Any:
        x = sum(outs) + bias
        seen[name] = x.numpy()
        return x

    hand.book.run(hand.base, hand.graph, read)
    return seen


@every_case
def test_a_senders_share_is_its_proximity_among_all(name: str, how: dict) -> None:
    hand, problem = worked(name, **how)
    clean = {s: x.numpy() for s, x in hand.senders(hand.base).items()}
    graph, inputs, wanted = hand.graph, reads(hand), np.zeros((3, *hand.graph.shape))
    for r, receiver in enumerate(graph.receivers):
        y = inputs[receiver]
        near = [abs(y).sum(-1) - abs(clean[s] - y).sum(-1) for s in graph.senders[: graph.reads[r]]]
        near = np.maximum(np.stack(near), 0)
        share = near / (near.sum(0) + 1e-12)
        for p in range(graph.shape[0]):
            real = hand.classes.numpy() == p
            if receiver == "logits":
                real = real & (np.arange(real.shape[1]) == real.shape[1] - 1)
            wanted[:, p, r, : len(near)] = ((share * real).sum(-1) / np.maximum(real.sum(-1), 1)).T
    np.testing.assert_allclose(found(InformationFlow(), problem), wanted, atol=1e-9)


@every_case
def test_magnitude_is_the_mean_length_of_the_change(name: str, how: dict) -> None:
    hand, problem = worked(name, **how)
    clean, graph = hand.senders(hand.base), hand.graph
    scores = found(Magnitude(), problem)
    for s, sender in enumerate(graph.senders):
        size = np.linalg.norm((hand.ablated[sender] - clean[sender]).numpy(), axis=-1)
        for p in range(graph.shape[0]):
            real = hand.classes.numpy() == p
            wanted = np.where(real, size, 0).sum(-1) / real.sum(-1)
            rows = graph.exists[p, :, s]
            np.testing.assert_allclose(scores[:, p, rows, s], np.repeat(wanted[:, None], rows.sum(), 1), atol=1e-9)


def test_flow_knows_neither_metric_nor_ablation() -> None:
    model, _ = network("gpt2")
    scores = [
        edge_scores(model, pairs(), method=InformationFlow(), metric=metric, ablation=ablation)["score"]
        for metric, ablation in (("kl", None), ("logit_diff", cm.Zero()))
    ]
    np.testing.assert_array_equal(*scores)


def test_nothing_to_read_gives_no_share_instead_of_nan() -> None:
    net = cm.Transformer(cm.TransformerConfig(n_layers=1, n_heads=1, d_model=4, d_vocab=5, n_ctx=3))
    for parameter in net.to(torch.float64).parameters():
        parameter.data.zero_()
    given = cm.CounterfactualPairs.from_tokens([[1, 2]], [[2, 1]])
    frame = edge_scores(cm.load_model(net), given, method=InformationFlow(), metric="kl")
    assert frame["score"].tolist() == [0] * len(frame)


@pytest.mark.parametrize("method", [InformationFlow(), Magnitude()], ids=str)
@pytest.mark.parametrize("positions", [(), ("0", "rest")])
def test_padding_changes_nothing(method: Any, positions: tuple[str, ...]) -> None:
    model, _ = network("reference")
    graph = graph_of(model.adapter, positions=positions)
    short = cm.CounterfactualPairs.from_tokens([[3, 4, 5]], [[6, 7, 8]])
    mask = [[True, True, True, False, False]]
    long = cm.CounterfactualPairs.from_tokens([[3, 4, 5, 0, 0]], [[6, 7, 8, 0, 0]], mask=mask)
    scores = [edge_scores(model, x, method=method, metric="kl", graph=graph)["score"] for x in (short, long)]
    np.testing.assert_allclose(*scores, atol=1e-12)


def test_random_scores_are_the_seeds() -> None:
    model, _ = network("reference")
    draw = lambda **how: edge_scores(model, pairs(), method=RandomScores(), metric="kl", **how)["score"]  # noqa: E731
    np.testing.assert_array_equal(draw(seed=1), draw(seed=1, batch_size=1))
    assert not np.allclose(draw(seed=1), draw(seed=2))
    assert draw(seed=1).between(0, 1).all() and draw(seed=1).nunique() == len(Problem.of(model, pairs()).graph.edges)
