"""Path patching finds the effect of every edge of a network small enough to work out with a pencil.

Two layers of two heads; a head gives W[h] x, entry by entry, with W = [[1, 2], [3, 4]] in both layers; no norm, no MLP. On
inputs of one position a head looks at itself alone, so the real network computes this exactly: [1, 1] -> [25, 49]. The
corrupt input is [-1, -1]. The table is that of auto-circuit's micro model.
"""

from itertools import product

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.methods.path_patching import path_patching
from causalmi.methods.path_sets import paths_explained

W = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
CLEAN, CORRUPT = (25, 49), (-25, -49)
START, END = site.resid_pre(0), site.logits()
RESAMPLED = {  # edge -> logits
    (START, site.v(0, 0)): (15, 21),
    (START, site.v(0, 1)): (-5, -7),
    (START, site.v(1, 0)): (23, 45),
    (START, site.v(1, 1)): (19, 41),
    (START, END): (23, 47),
    (site.head_out(0, 0), site.v(1, 0)): (23, 41),
    (site.head_out(0, 0), site.v(1, 1)): (19, 33),
    (site.head_out(0, 0), END): (23, 45),
    (site.head_out(0, 1), site.v(1, 0)): (19, 33),
    (site.head_out(0, 1), site.v(1, 1)): (7, 17),
    (site.head_out(0, 1), END): (19, 41),
    (site.head_out(1, 0), END): (15, 21),
    (site.head_out(1, 1), END): (-5, -7),
}
edges = pytest.mark.parametrize("edge", RESAMPLED, ids=lambda edge: f"{edge[0]}->{edge[1]}")


@pytest.fixture(scope="module")
def model() -> cm.Model:
    config = cm.TransformerConfig(
        n_layers=2, n_heads=2, d_model=2, d_head=2, d_vocab=9, d_vocab_out=2, n_ctx=4, attn_only=True,
        normalization_type=None, positional_embedding_type=None,
    )  # fmt: skip
    net = cm.Transformer(config).to(torch.float64)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        other = torch.arange(10.0).view(5, 2) / 10
        net.embed.weight.copy_(torch.cat([torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(2, 1), other]))
        net.unembed.weight.copy_(torch.eye(2))
        for block in net.blocks:
            block.attn.q.weight.copy_(torch.eye(2).repeat(2, 1))
            block.attn.k.weight.copy_(torch.eye(2).repeat(2, 1))
            block.attn.v.weight.copy_(torch.cat([W[0].diag(), W[1].diag()]))
            block.attn.o.weight.copy_(torch.cat([torch.eye(2), torch.eye(2)], dim=1))
    return cm.load_model(net)


@pytest.fixture(scope="module")
def pairs() -> cm.CounterfactualPairs:
    """Two pairs, for an interval needs two: tokens 0 and 2 are the clean input, 1 and 3 the corrupt one."""
    return cm.CounterfactualPairs.from_tokens([[0], [2]], [[1], [3]], answer=1, foil=0)


def entry(index: int):
    return lambda logits, target: logits[:, index]


def test_the_network_is_the_one_in_the_table(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    assert model.run(pairs.base).logits[:, 0].tolist() == [list(map(float, CLEAN))] * 2
    assert model.run(pairs.source).logits[:, 0].tolist() == [list(map(float, CORRUPT))] * 2


@edges
@pytest.mark.parametrize("ln", ["recompute", "frozen"])
@pytest.mark.parametrize("direction", ["noise", "denoise"])
def test_an_edge_gives_the_output_in_the_table(
    model: cm.Model, pairs: cm.CounterfactualPairs, edge: tuple[site.Site, site.Site], ln: str, direction: str
) -> None:
    """The network is odd, so restoring an edge in the corrupt run gives minus what corrupting it gives."""
    how = dict(sender=edge[0], receivers=[edge[1]], frozen="attn+mlp", ln=ln, direction=direction)
    sign = 1 if direction == "noise" else -1
    for index in (0, 1):
        frame = path_patching(model, pairs, metric=entry(index), **how)
        assert frame["value"][0] == pytest.approx(sign * RESAMPLED[edge][index], abs=1e-12)
    frame = path_patching(model, pairs, **how)
    lost = (RESAMPLED[edge][1] - RESAMPLED[edge][0]) - (CLEAN[1] - CLEAN[0])
    assert frame["raw"][0] == pytest.approx(sign * lost, abs=1e-12)
    assert frame["effect"][0] == pytest.approx(lost / -48, abs=1e-12)


def test_all_heads_at_once_are_rows_of_one_table(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    frame = path_patching(model, pairs, sender=site.grid("head_out"), receivers=[site.v(1, 0), site.v(1, 1)])
    assert frame["sender"].tolist() == ["head_out(0, 0)", "head_out(0, 1)"]  # layer 1 comes after the receivers' inputs
    assert frame["raw"].tolist() == pytest.approx([-6 - 10, -10 - 14])  # joint receivers: the network is linear


def test_the_edges_into_the_end_make_up_the_whole_effect(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    senders = [sender for sender, receiver in RESAMPLED if receiver == END]
    frame = path_patching(model, pairs, sender=senders, receivers=END, frozen="attn+mlp")
    assert frame["effect"].sum() == pytest.approx(1)


def test_a_set_of_paths_carries_the_sum_of_its_products(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    """The network is the sum over its nine paths of the products of the heads on them; a path left out turns its sign."""
    share = {(a, b): (W[a] if a is not None else 1) * (W[b] if b is not None else torch.ones(2))
             for a, b in product((None, 0, 1), repeat=2)}  # fmt: skip
    assert sum(share.values()).tolist() == list(map(float, CLEAN))
    for seed in range(10):
        chosen = [path for path, one in zip(share, np.random.default_rng(seed).random(9) < 0.5, strict=True) if one]
        steps = [[site.v(layer, h) for layer, h in enumerate(path) if h is not None] for path in chosen]
        wanted = sum(((1 if path in chosen else -1) * x for path, x in share.items()), torch.zeros(2)).tolist()
        for index in (0, 1):
            found = paths_explained(model, pairs, [[*path, END] for path in steps], metric=entry(index))
            assert found.frame["hypothesis"].tolist() == pytest.approx([wanted[index]] * 2)
            assert found.explained.value == pytest.approx(1 - (CLEAN[index] - wanted[index]) / (2 * CLEAN[index]))


def test_queries_and_keys_carry_nothing(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    frame = path_patching(model, pairs, sender=START, receivers=[site.q(0), site.k(1), site.pattern(1)])
    assert frame["raw"][0] == 0
