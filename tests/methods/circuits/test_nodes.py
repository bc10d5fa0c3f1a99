"""Attribution of nodes is that of a textbook's network, and AtP* finds what saturation and cancellation hide from AtP."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import causalmi as cm
from causalmi.errors import DataError
from causalmi.methods.circuits.eap import EAP, EAPIG
from causalmi.methods.circuits.exact import ExactPatching
from causalmi.methods.circuits.missed_nodes import without_node
from causalmi.methods.circuits.node_scores import node_scores
from causalmi.methods.circuits.nodes import HISP, AtP, AtPStar, NodeScorer, node_names
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.scores import edge_scores
from tests.family_networks import perturbed
from tests.methods.circuits.worked import MAKE, Worked, loss, network, pairs, worked
from tests.networks import reference

CASES = [
    *((name, dict(ablation=a)) for name in MAKE for a in ("paired", "zero")),
    *((name, dict(positions=("1", "rest"))) for name in MAKE),
    *((name, dict(neurons=True)) for name in ("gpt2", "llama")),
    *((name, dict(split_qkv=False)) for name in ("reference", "neox")),
    ("gpt2", dict(split_embeddings=True)),
]
every_case = pytest.mark.parametrize(("name", "how"), CASES, ids=lambda x: str(x))


def found(method: NodeScorer, problem: Any) -> Tensor:
    (batch,) = problem.batches()
    return method.nodes(batch, problem)


def layer_of(name: str) -> int:
    return int(name[1:].split(".")[0].split(" ")[0])


def values(hand: Worked, dropped: int | None = None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Everything that a node gives on the clean run, and its derivative; what a ``dropped`` layer adds carries none."""
    seen: dict[str, Tensor] = {}

    def touch(name: str, x: Tensor) -> Tensor:
        seen[name] = x.detach().requires_grad_() if name in hand.graph.inputs else x * 1
        added = name in hand.graph.senders and name not in hand.graph.inputs
        return seen[name].detach() if added and layer_of(name) == dropped else seen[name]

    value = loss(hand.book.run(hand.base, hand.graph, touch=touch)).sum()
    slopes = torch.autograd.grad(value, list(seen.values()), allow_unused=True)
    zeros = {name: torch.zeros_like(x) for name, x in seen.items()}
    return {n: x.detach() for n, x in seen.items()}, {
        n: zeros[n] if g is None else g for n, g in zip(seen, slopes, strict=True)
    }


def ablated(hand: Worked) -> dict[str, Tensor]:
    """The nodes' values when all that they read is ablated, and those of senders that are."""
    seen: dict[str, Tensor] = {}
    read = lambda name, outs, bias: sum(hand.ablated[s] for s in hand.graph.senders[: len(outs)]) + bias  # noqa: E731
    hand.book.run(hand.base, hand.graph, read, lambda name, x: seen.setdefault(name, x))
    return seen | hand.ablated


def by_class(hand: Worked, each: Tensor) -> Tensor:
    """[b, pos] to [b, class]."""
    return torch.stack([(each * (hand.classes == p)).sum(-1) for p in range(hand.graph.shape[0])], dim=1)


def plain(hand: Worked, slopes: dict[str, Tensor]) -> Tensor:
    """[b, class, node]."""
    (clean, _), other = values(hand), ablated(hand)
    scores = [by_class(hand, ((other[n] - clean[n]) * slopes[n]).sum(-1)) for n in node_names(hand.graph)]
    return torch.stack(scores, dim=-1)


def fixed(hand: Worked, slopes: dict[str, Tensor]) -> Tensor:
    """The same with the change of attention in place of that of queries and keys, head by head and class by class."""
    (clean, _), other, scores = values(hand), ablated(hand), plain(hand, slopes)
    heads, book = hand.graph.n_heads, hand.book
    for column, name in enumerate(node_names(hand.graph)):
        if not name.endswith(("<q>", "<k>")):
            continue
        layer, groups = layer_of(name), hand.graph.n_kv_heads
        scores[..., column] = 0
        for h in range(heads):
            kind = "h" if groups == heads else "g"
            g = h * groups // heads
            q, k = f"a{layer}.h{h}<q>", f"a{layer}.{kind}{g}<k>"
            if name not in (q, k):
                continue
            for p in range(hand.graph.shape[0]):
                now = {n: clean[n] for n in (q, k)}
                now[name] = torch.where((hand.classes == p)[..., None], other[name], clean[name])
                change = book.pattern(now[q], now[k]) - clean[f"a{layer}.h{h} pattern"]
                scores[:, p, column] += (change * slopes[f"a{layer}.h{h} pattern"]).sum((-1, -2))
    return scores


@every_case
def test_atp_is_change_times_derivative_of_what_a_node_gives(name: str, how: dict) -> None:
    hand, problem = worked(name, **how)
    wanted = plain(hand, values(hand)[1])
    torch.testing.assert_close(found(AtP(), problem), wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(found(HISP(), problem), wanted.abs(), rtol=0, atol=1e-9)
    columns = len(hand.graph.senders)
    (batch,) = problem.batches()
    edges = AtP().examples(batch, problem)
    assert all(torch.equal(edges[:, :, r], found(AtP(), problem)[..., :columns]) for r in range(edges.shape[2]))


@every_case
def test_atp_star_fixes_attention_and_drops_layers(name: str, how: dict) -> None:
    hand, problem = worked(name, **how)
    layers = hand.graph.n_layers
    each = torch.stack([fixed(hand, values(hand, dropped=layer)[1]).abs() for layer in range(layers)])
    inputs = torch.tensor([n in hand.graph.inputs for n in node_names(hand.graph)])
    wanted = each.sum(0) / torch.where(inputs, layers, layers - 1)
    torch.testing.assert_close(found(AtPStar(), problem), wanted, rtol=0, atol=1e-9)


def test_the_mlp_is_scored_at_its_output() -> None:
    """Its input's derivative times its output's change has another size and sign."""
    hand, problem = worked("gpt2")
    frame = node_scores(problem.model, pairs(), method=AtP()).set_index("node")["score"]
    (clean, slopes), wrong = values(hand), hand.slopes()
    for name in ("m0", "m1"):
        right = float(((hand.ablated[name] - clean[name]) * slopes[name]).sum() / 3)
        other = float(((hand.ablated[name] - clean[name]) * wrong[name]).sum() / 3)
        assert frame[name] == pytest.approx(right, abs=1e-9)
        assert abs(right - other) > 1e-3


def test_node_scores_say_what_they_are() -> None:
    model, _ = network("gpt2")
    frame = node_scores(model, pairs(), method=AtP(), ablation=cm.Zero())
    assert tuple(frame["node"]) == node_names(frame.attrs["graph"])
    assert (frame.attrs["method"], frame.attrs["metric"], frame.attrs["n"]) == ("AtP()", "logit_diff", 3)
    assert bool((frame["low"] <= frame["score"]).all()) and bool((frame["score"] <= frame["high"]).all())
    graph = worked("gpt2", positions=("1", "rest"))[0].graph
    frame = node_scores(model, pairs(), graph=graph)
    assert list(frame["position"].unique()) == ["1", "rest"]


@pytest.mark.parametrize("name", ["reference", "llama"])
def test_ablating_a_node_takes_all_its_edges(name: str) -> None:
    hand, problem = worked(name)
    other = ablated(hand)
    for node in node_names(hand.graph)[1:]:
        touch = lambda n, x: other[n] if n == node else x  # noqa: B023, E731
        wanted = loss(hand.book.run(hand.base, hand.graph, touch=touch))
        np.testing.assert_allclose(problem.losses([without_node(hand.graph, node)])[0], wanted, atol=1e-9)


def test_of_one_layer_nothing_is_dropped() -> None:
    model = cm.load_model(perturbed(reference(n_layers=1)))
    problem = Problem.of(model, pairs(), metric="logit_diff")
    star, plain = (found(method, problem) for method in (AtPStar(), AtP()))
    rest = [i for i, name in enumerate(node_names(problem.graph)) if not name.endswith(("<q>", "<k>"))]
    torch.testing.assert_close(star[..., rest], plain[..., rest].abs(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", [AtP(), AtPStar(), EAP(), EAPIG(steps=2), ExactPatching()], ids=str)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(method: Any, side: str) -> None:
    for name in ("reference", "llama"):
        model, _ = network(name)
        short = cm.CounterfactualPairs.from_tokens([[3, 4, 5]], [[6, 7, 8]], answer=1, foil=2)
        pad, real = ([[0, 0]], [[False, False]]), [[True, True, True]]
        order = 1 if side == "right" else -1
        base, source, mask = (
            torch.cat([torch.tensor(x) for x in [content, filler][::order]], dim=1)
            for content, filler in (([[3, 4, 5]], pad[0]), ([[6, 7, 8]], pad[0]), (real, pad[1]))
        )
        long = cm.CounterfactualPairs.from_tokens(base, source, answer=1, foil=2, mask=mask)
        scores = [edge_scores(model, given, method=method)["score"] for given in (short, long)]
        np.testing.assert_allclose(*scores, atol=1e-9)


def test_a_metric_without_derivative_is_refused() -> None:
    with pytest.raises(DataError, match="no derivative"):
        node_scores(network("reference")[0], pairs(), metric="accuracy")
