"""Scores and runs of edges on networks small enough to work out with a pencil: auto-circuit's micro model, and two gates.

The micro model is that of test_micro_model.py; with three positions each head looks at its own alone.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import causalmi as cm
from causalmi.methods.circuits.eap import EAP, EAPIG, CleanCorrupted
from causalmi.methods.circuits.exact import ExactPatching
from causalmi.methods.circuits.nodes import AtP
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.scores import edge_scores
from causalmi.models.graph import graph_of
from causalmi.spec.graph import Edge

W = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
CLEAN = (25, 49)
RESAMPLED = {  # edge -> logits, score of the logit difference
    ("input", "a0.h0"): ((15, 21), 18),
    ("input", "a0.h1"): ((-5, -7), 26),
    ("input", "a1.h0"): ((23, 45), 2),
    ("a0.h0", "a1.h0"): ((23, 41), 6),
    ("a0.h1", "a1.h0"): ((19, 33), 10),
    ("input", "a1.h1"): ((19, 41), 2),
    ("a0.h0", "a1.h1"): ((19, 33), 10),
    ("a0.h1", "a1.h1"): ((7, 17), 14),
    ("input", "logits"): ((23, 47), 0),
    ("a0.h0", "logits"): ((23, 45), 2),
    ("a0.h1", "logits"): ((19, 41), 2),
    ("a1.h0", "logits"): ((15, 21), 18),
    ("a1.h1", "logits"): ((-5, -7), 26),
}
RESTORED = [  # in turn, into the corrupt run
    ([], (-25, -49)),
    ([("a0.h1", "logits")], (-19, -41)),
    ([("a0.h1", "logits"), ("a0.h0", "a1.h1")], (-13, -25)),
    ([("a0.h1", "logits"), ("a0.h0", "a1.h1"), ("input", "a0.h0")], (-9, -13)),
]
LINEAR = [EAP(), EAPIG(steps=3), EAPIG(steps=2, path="activations", rule="right"), CleanCorrupted(), ExactPatching()]


def zeroed(**config: Any) -> nn.Module:
    net = cm.Transformer(
        cm.TransformerConfig(n_heads=2, normalization_type=None, positional_embedding_type=None, **config)
    )
    for parameter in net.to(torch.float64).parameters():
        parameter.data.zero_()
    return net


def micro(**config: Any) -> cm.Model:
    """Entries 0 and 1 of the stream are computed with; 2 to 4 say which position it is, which is where heads look."""
    net = zeroed(n_layers=2, d_model=5, d_head=3, d_vocab=6, d_vocab_out=2, n_ctx=3, attn_only=True, **config)
    with torch.no_grad():
        size = torch.tensor([3.0, 2.0, 1.0])[:, None].expand(3, 2)
        net.embed.weight.copy_(torch.cat([torch.cat([x, torch.eye(3)], dim=1) for x in (size, -size)]))
        net.unembed.weight.copy_(torch.eye(5)[:2])
        for block in net.blocks:
            for projection in (block.attn.q, block.attn.k):
                projection.weight.copy_(30 * torch.eye(5)[2:].repeat(2, 1))
            for h in (0, 1):
                block.attn.v.weight[3 * h : 3 * h + 2, :2] = W[h].diag()
                block.attn.o.weight[:2, 3 * h : 3 * h + 2] = torch.eye(2)
    return cm.load_model(net)


@pytest.fixture(scope="module")
def model() -> cm.Model:
    return micro()


@pytest.fixture(scope="module")
def pairs() -> cm.CounterfactualPairs:
    """The input [1, 1], by itself: with more positions zeroed inputs would not know where to look."""
    return cm.CounterfactualPairs.from_tokens([[2]] * 2, [[5]] * 2, answer=1, foil=0)


def entry(index: int) -> Any:
    return lambda logits, target: logits[:, index]


def table(model: cm.Model, pairs: cm.CounterfactualPairs, **how: Any) -> dict[tuple[str, str], float]:
    frame = edge_scores(model, pairs, graph=graph_of(model.adapter, split_qkv=False), **how)
    return {(row.sender, row.receiver): row.score for row in frame.itertuples()}


def test_there_are_thirteen_edges(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    graph = graph_of(model.adapter, split_qkv=False)
    assert {(e.sender, e.receiver) for e in graph.edges} == set(RESAMPLED)
    assert model.run(pairs.base).logits[0, -1].tolist() == pytest.approx(CLEAN)


@pytest.mark.parametrize("index", [0, 1])
def test_each_edge_gives_the_output_in_the_table(model: cm.Model, pairs: cm.CounterfactualPairs, index: int) -> None:
    """Resampled as in the table, and set to zero half of that, for the corrupt run is minus the clean one."""
    for part, ablation in ((1, None), (0.5, cm.Zero())):
        found = table(model, pairs, metric=entry(index), method=ExactPatching(), ablation=ablation)
        for edge, (logits, _) in RESAMPLED.items():
            assert found[edge] == pytest.approx(part * (CLEAN[index] - logits[index]), abs=1e-9)


@pytest.mark.parametrize("method", LINEAR, ids=str)
def test_in_a_linear_network_every_method_is_exact(model: cm.Model, pairs: cm.CounterfactualPairs, method: Any) -> None:
    for part, ablation in ((1, None), (0.5, cm.Zero())):
        found = table(model, pairs, method=method, ablation=ablation)
        assert found == pytest.approx({edge: part * score for edge, (_, score) in RESAMPLED.items()}, abs=1e-9)


def test_nodes_of_a_linear_network_lose_all_that_goes_through_them(
    model: cm.Model, pairs: cm.CounterfactualPairs
) -> None:
    found = table(model, pairs, method=AtP())
    wanted = {"input": 48, "a0.h0": 18, "a0.h1": 26, "a1.h0": 18, "a1.h1": 26}
    assert found == pytest.approx({edge: wanted[edge[0]] for edge in RESAMPLED}, abs=1e-9)


@pytest.mark.parametrize("index", [0, 1])
def test_restored_edges_carry_the_clean_values(model: cm.Model, pairs: cm.CounterfactualPairs, index: int) -> None:
    graph = graph_of(model.adapter, split_qkv=False)
    problem = Problem.of(model, pairs, metric=entry(index), graph=graph, direction="restore")
    keeps = [graph.array([Edge(*edge) for edge in edges]) for edges, _ in RESTORED]
    for row, (_, logits) in zip(problem.losses(keeps), RESTORED, strict=True):
        np.testing.assert_allclose(row, -logits[index], atol=1e-9)
    full, empty = problem.ends()
    np.testing.assert_allclose([full, empty], [[-CLEAN[index]] * 2, [CLEAN[index]] * 2], atol=1e-9)


@pytest.mark.parametrize(("index", "corrupt", "restored"), [(0, -75, -69), (1, -147, -141)])
def test_an_edge_of_one_position(index: int, corrupt: float, restored: float) -> None:
    pairs = cm.CounterfactualPairs.from_tokens([[0, 1, 2]] * 2, [[3, 4, 5]] * 2)
    model = micro(attention_dir="bidirectional", readout_position=0)
    graph = graph_of(model.adapter, split_qkv=False, positions=("0", "1", "2"))
    problem = Problem.of(model, pairs, metric=entry(index), graph=graph, direction="restore")
    at = [graph.array([Edge("input", "logits", p)]) for p in ("0", "1", "2")]
    wanted = [-corrupt, -restored, -corrupt, -corrupt]
    np.testing.assert_allclose(problem.losses([at[0] & False, *at])[:, 0], wanted, atol=1e-9)


def gate(sign: float, rest: float) -> cm.Model:
    """Two heads add 1 each to x; output 1 is ``rest`` + ``sign`` relu(...): 1 - relu(1 - x) is OR, relu(x - 1) AND."""
    net = zeroed(n_layers=1, d_model=2, d_head=1, d_mlp=1, d_vocab=2, d_vocab_out=2, n_ctx=2, act_fn="relu")
    (block,) = net.blocks
    with torch.no_grad():
        net.unembed.weight.copy_(torch.eye(2))
        block.attn.v.bias.fill_(1)
        block.attn.o.weight[0] = 1
        block.mlp.up.weight[0, 0], block.mlp.up.bias[0] = sign, -sign
        block.mlp.down.weight[1, 0], block.mlp.down.bias[1] = sign, rest
    return cm.load_model(net)


def heads_of(model: cm.Model, method: Any) -> list[float]:
    pairs = cm.CounterfactualPairs.from_tokens([[0], [0]], [[1], [1]])
    found = table(model, pairs, metric=entry(1), method=method, ablation=cm.Zero())
    return [found[f"a0.h{h}", "m0"] for h in (0, 1)]


def test_an_or_gate_needs_neither_head_alone_but_one_of_them() -> None:
    model = gate(-1, 1)
    assert model.run(torch.tensor([[0]])).logits[0, 0].tolist() == [2, 1]
    assert heads_of(model, ExactPatching()) == [0, 0]
    assert heads_of(model, EAP()) == heads_of(model, AtP()) == [0, 0]
    graph = graph_of(model.adapter, split_qkv=False)
    pairs = cm.CounterfactualPairs.from_tokens([[0], [0]], [[1], [1]])
    problem = Problem.of(model, pairs, metric=entry(1), ablation=cm.Zero(), graph=graph)
    both = ~graph.array([Edge("a0.h0", "m0"), Edge("a0.h1", "m0")])
    assert problem.losses([both]).tolist() == [[0, 0]]


@pytest.mark.parametrize(("rule", "score"), [("left", 0.6), ("right", 0.4), ("midpoint", 0.4)])
def test_the_integral_over_an_or_gate_depends_on_its_ends(rule: Any, score: float) -> None:
    found = heads_of(gate(-1, 1), EAPIG(steps=5, path="activations", rule=rule))
    assert found == pytest.approx([score, score], abs=1e-12)


def test_an_integral_over_inputs_does_not_see_heads_that_read_none() -> None:
    assert heads_of(gate(-1, 1), EAPIG(steps=5)) == [0, 0]


@pytest.mark.parametrize("method", [ExactPatching(), EAP(), AtP()], ids=str)
def test_an_and_gate_needs_both(method: Any) -> None:
    model = gate(1, 0)
    assert model.run(torch.tensor([[0]])).logits[0, 0].tolist() == [2, 1]
    assert heads_of(model, method) == [1, 1]
