"""What plain attribution passes over: nodes behind saturated attention, and nodes whose paths cancel. And a bound on it."""

from functools import cache

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi.errors import SpecError
from causalmi.methods.circuits.missed_nodes import false_negative_bound, without_node
from causalmi.methods.circuits.nodes import AtP, AtPStar, node_names
from causalmi.methods.circuits.problem import Problem
from tests.family_networks import perturbed
from tests.methods.circuits.worked import network, pairs
from tests.networks import reference

PAIRS = 50
Q, K, V, SEEN, X, COPY, LESS, REST = 0, 1, 2, 3, 4, 5, 6, slice(7, 10)  # entries of the stream


def hiding(seed: int) -> tuple[cm.Model, cm.CounterfactualPairs]:
    """A random network with a saturated query and a head that a later MLP cancels, and pairs with tokens of their own.

    a2.h1 looks at position 0 as its query says, by far; the sources' queries say position 1, whose value is another.
    a0.h0 copies x / 2 > 0 to where the output reads it, and m2 takes relu of it away; the sources' x is below 0.
    a0.h1 and a2.h0 do random linear things of their own, beside. Layer 1 does nothing: with two layers GradDrop
    would see of a node in the first one nothing but its direct path.
    """
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: 0.5 + torch.rand(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    noise = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    config = cm.TransformerConfig(
        n_layers=3, n_heads=2, d_model=10, d_head=3, d_mlp=3, d_vocab=3 * PAIRS, d_vocab_out=1, n_ctx=2,
        normalization_type=None, positional_embedding_type=None,
    )  # fmt: skip
    net = cm.Transformer(config).to(torch.float64)
    for parameter in net.parameters():
        parameter.data.zero_()
    first, base, source = (slice(i * PAIRS, (i + 1) * PAIRS) for i in range(3))
    with torch.no_grad():
        table, (one, _, two) = net.embed.weight, net.blocks
        table[:, REST] = noise(3 * PAIRS, 3)
        table[first, K], table[base, K], table[source, K] = 1, -1, -1
        table[base, Q], table[source, Q] = draw(PAIRS), -draw(PAIRS)
        table[first, V], table[base, V], table[source, V] = draw(PAIRS), -draw(PAIRS), -draw(PAIRS)
        table[base, X], table[source, X] = draw(PAIRS), -draw(PAIRS)
        two.attn.q.weight[3, Q], two.attn.k.weight[3, K] = 60 * draw(()), 1
        two.attn.v.weight[3, V], two.attn.o.weight[SEEN, 3] = 1, draw(())
        one.attn.v.weight[0, X], one.attn.o.weight[COPY, 0] = 1, 1
        two.mlp.up.weight[0, COPY], two.mlp.down.weight[LESS, 0] = 1, -1
        net.unembed.weight[0, [SEEN, COPY, LESS]] = torch.stack([draw(()), *[draw(())] * 2])
        net.unembed.weight[0, REST] = 0.3 * noise(3)
        for attention, rows in ((one.attn, slice(3, 6)), (two.attn, slice(0, 3))):
            attention.v.weight[rows, REST] = 0.5 * noise(3, 3)
            attention.o.weight[REST, rows] = 0.5 * noise(3, 3)
    number = torch.arange(PAIRS)
    tokens = [torch.stack([number, number + part.start], dim=1) for part in (base, source)]
    return cm.load_model(net), cm.CounterfactualPairs.from_tokens(*tokens)


@cache
def effects() -> dict[str, np.ndarray]:
    """By node, of 200 cases: [exact effect, AtP, AtP*]."""
    rows = []
    for seed in range(4):
        problem = Problem.of(*hiding(seed), metric=lambda logits, target: logits[:, 0])
        names = node_names(problem.graph)
        full = np.ones(problem.graph.shape, dtype=bool)
        clean, *ablated = problem.losses([full, *(without_node(problem.graph, name) for name in names)])
        (batch,) = problem.batches()
        scores = [method.nodes(batch, problem)[:, 0].T.numpy() for method in (AtP(), AtPStar())]
        rows.append(np.stack([np.stack(ablated) - clean, *scores]))
    return dict(zip(names, np.concatenate(rows, axis=2).swapaxes(0, 1), strict=True))


@pytest.mark.parametrize("node", ["a2.h1<q>", "a0.h0"])
def test_atp_passes_over_saturated_queries_and_cancelled_heads(node: str) -> None:
    exact, atp, star = np.abs(effects()[node])
    assert exact.shape == (200,)
    assert exact.min() > 0.05
    assert (atp < 1e-6 * exact).all()
    assert (star > 0.5 * exact).all()


def test_atp_star_passes_over_no_node() -> None:
    """Of all nodes in all cases: whatever has an effect has a score of its size. Inputs alone reach saturated queries."""
    for node, (exact, _, star) in effects().items():
        assert (star >= 0.45 * np.abs(exact) - 1e-9).all() or node == "input"


def test_the_bound_covers_the_effects_of_nodes_that_do_not_interact() -> None:
    """Heads of one layer without a norm: their effects add, and the intervals hold each one's effect alone."""
    model = cm.load_model(perturbed(reference(n_layers=1, n_heads=6, attn_only=True, normalization_type=None)))
    names = [f"a0.h{h}" for h in range(6)]
    problem = Problem.of(model, pairs(), metric="logit_diff")
    clean, *ablated = problem.losses(
        [np.ones(problem.graph.shape, dtype=bool), *(without_node(problem.graph, n) for n in names)]
    )
    alone = np.stack(ablated).mean(1) - clean.mean()
    rest = [name for name in node_names(problem.graph) if name not in names]
    few, many = (false_negative_bound(model, pairs(), verified=rest, subsets=n, share=0.3, seed=1) for n in (30, 300))
    for frame in (few, many):
        assert frame["node"].tolist() == names
        assert (frame["low"] <= alone).all() and (alone <= frame["high"]).all()
        assert frame["bound"].tolist() == frame[["low", "high"]].abs().max(axis=1).tolist()
        assert frame.attrs["bound"] == frame["bound"].max() >= np.abs(alone).max()
    assert many.attrs["bound"] < few.attrs["bound"]
    again = false_negative_bound(model, pairs(), verified=rest, subsets=30, share=0.3, seed=1, batch_size=1)
    np.testing.assert_allclose(again["effect"], few["effect"], atol=1e-12)


def test_nodes_that_do_nothing_have_the_bound_0() -> None:
    net = reference(n_layers=1)
    for parameter in net.parameters():
        parameter.data.zero_()
    frame = false_negative_bound(cm.load_model(net), pairs(), metric="kl")
    assert frame["bound"].tolist() == [0] * len(frame)
    assert frame.attrs["bound"] == 0


@pytest.mark.parametrize("wrong", [dict(verified=["a9.h9"]), dict(share=0.0), dict(share=1.0), dict(subsets=10)])
def test_what_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(SpecError):
        false_negative_bound(network("reference")[0], pairs(), **wrong)


@pytest.mark.parametrize("wrong", [("a9.h0", None), ("input", "0")])
def test_a_node_that_is_not_there_is_refused(wrong: tuple) -> None:
    with pytest.raises(SpecError, match="there is no"):
        without_node(Problem.of(network("reference")[0], pairs()).graph, *wrong)
