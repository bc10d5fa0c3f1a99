"""A set of paths gives what the network unfolded path by path gives, and for the paths of a circuit what the circuit does."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import causalmi as cm
from causalmi import Estimate, site
from causalmi.errors import DataError, ModelError, SiteError, SpecError
from causalmi.methods.path_sets import PathsExplained, paths_explained
from tests.methods.test_path_patching import gptj
from tests.networks import draw_tokens, llama, mlp, reference

BASE, SOURCE = draw_tokens(3, 1), draw_tokens(3, 2)
Route = tuple[site.Site, ...]


@cache
def model_of(name: str) -> cm.Model:
    makers = {
        "two": lambda: reference(n_layers=2),
        "attention": lambda: reference(n_layers=2, attn_only=True, normalization_type=None),
        "llama": two_layers_of_llama,
        "gptj": gptj,
    }
    return cm.load_model(makers[name]())


def two_layers_of_llama() -> nn.Module:
    net = llama()
    net.model.layers, net.config.num_hidden_layers = net.model.layers[:2], 2
    return net


def explain(model: cm.Model, paths: Iterable[Route], **how: Any) -> tuple[PathsExplained, Tensor]:
    """The result, and the logits of the hypothesis."""
    seen: list[Tensor] = []

    def metric(logits: Tensor, target: Any) -> Tensor:
        seen.append(logits)
        return logits[:, 1] - logits[:, 0]

    pairs = cm.CounterfactualPairs.from_tokens(BASE, SOURCE, answer=1, foil=0)
    result = paths_explained(model, pairs, paths, metric=metric, **how)
    return result, torch.cat(seen[2::3])


class Unfolded:
    """The reference network as a tree, one copy of a node for each path from it; none is computed twice the same way."""

    def __init__(self, model: cm.Model, kept: Any):
        self.net, self.kept = model.module, kept

    def embed(self, tokens: Tensor) -> Tensor:
        return self.net.embed(tokens) + self.net.pos_embed(torch.arange(tokens.shape[1]))

    def senders(self, layer: int, place: str) -> Iterator[tuple[int, int | None] | None]:
        """The nodes before a place: the input (None), heads (layer, head), MLPs (layer, None)."""
        yield None
        for before, block in enumerate(self.net.blocks):
            if before < layer or (before == layer and place == "mlp"):
                yield from ((before, head) for head in range(self.net.config.n_heads))
            if before < layer and block.mlp is not None:
                yield (before, None)

    def stream(self, layer: int, place: str, after: Route) -> Tensor:
        biased = self.net.blocks[: layer + (place == "mlp")]
        return sum(self.value(u, after) for u in self.senders(layer, place)) + sum(b.attn.o.bias for b in biased)

    def value(self, node: tuple[int, int | None] | None, after: Route) -> Tensor:
        """What a node adds to the stream in its copy from which the path ``after`` leads on."""
        if node is None:
            return self.embed(BASE if self.kept(after) else SOURCE)
        layer, head = node
        block = self.net.blocks[layer]
        if head is None:
            return block.mlp(block.ln2(self.stream(layer, "mlp", (site.mlp_in(layer), *after))))
        q, k, v = (self.projected(slot, layer, head, after) for slot in "qkv")
        scores = q @ k.transpose(-1, -2) / self.net.config.attn_scale
        later = torch.ones(5, 5, dtype=torch.bool).triu(1)
        z = scores.masked_fill(later, -torch.inf).softmax(-1) @ v
        return z @ block.attn.o.weight.T[head * 5 : (head + 1) * 5]

    def projected(self, slot: str, layer: int, head: int, after: Route) -> Tensor:
        block = self.net.blocks[layer]
        stream = self.stream(layer, "attn", (getattr(site, slot)(layer, head), *after))
        return getattr(block.attn, slot)(block.ln1(stream))[..., head * 5 : (head + 1) * 5]

    def logits(self) -> Tensor:
        with torch.no_grad():
            stream = self.stream(len(self.net.blocks), "end", (site.logits(),))
            return self.net.unembed(self.net.ln_final(stream))[:, -1]


class Circuit(Unfolded):
    """Only the edges in ``kept`` carry what their sender gives; all others what it gives on the sources."""

    def __init__(self, model: cm.Model, kept: Any):
        super().__init__(model, kept)
        read = [s for s in model.sites() if s.kind in ("head_out", "mlp_out")]
        self.corrupt = model.run(SOURCE, read=read)

    def value(self, node: tuple[int, int | None] | None, after: Route) -> Tensor:
        if (node, after[0]) in self.kept:
            return super().value(node, after[:1]) if node else self.embed(BASE)
        if node is None:
            return self.embed(SOURCE)
        layer, head = node
        return self.corrupt[site.mlp_out(layer)] if head is None else self.corrupt[site.head_out(layer)][:, :, head]


def all_paths(layers: int, heads: int, has_mlp: bool) -> list[Route]:
    """Every path of the network, head by head and input by input."""
    found: list[Route] = [()]
    for layer in range(layers):
        through = [getattr(site, slot)(layer, h) for slot, h in product("qkv", range(heads))]
        found += [(*path, node) for path in found for node in through]
        if has_mlp:
            found += [(*path, site.mlp_in(layer)) for path in found]
    return [(*path, site.logits()) for path in found]


@pytest.mark.parametrize("name", ["two", "attention"])
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_it_is_the_unfolded_network(name: str, data: st.DataObject) -> None:
    model = model_of(name)
    every = all_paths(2, 2, model.adapter.shape.has_mlp)
    chosen = data.draw(st.sets(st.sampled_from(every), max_size=len(every)))
    _, found = explain(model, chosen)
    wanted = Unfolded(model, lambda path: path in chosen).logits()
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["two", "attention"])
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_the_paths_of_a_circuit_give_the_circuit(name: str, data: st.DataObject) -> None:
    model = model_of(name)
    every = all_paths(2, 2, model.adapter.shape.has_mlp)
    edges = sorted({edge for path in every for edge in edges_of(path)}, key=str)
    kept = data.draw(st.sets(st.sampled_from(edges), min_size=len(edges) // 2))
    closed = [path for path in every if edges_of(path) <= kept]
    _, found = explain(model, closed)
    torch.testing.assert_close(found, Circuit(model, kept).logits(), rtol=1e-10, atol=1e-10)


def edges_of(path: Route) -> set[tuple[tuple[int, int | None] | None, site.Site]]:
    senders = [None, *((s.layer, s.head) for s in path[:-1])]
    return set(zip(senders, path, strict=True))


def test_paths_are_finer_than_edges() -> None:
    """Two paths that share a node's copy in a circuit can be told apart: recombined, they explain something else."""
    model = model_of("two")
    two = [(site.v(0, 0), site.mlp_in(0), site.v(1, 1), site.logits()), (site.v(0, 1), site.mlp_in(0), site.logits())]
    kept = set().union(*map(edges_of, two))
    closed = [path for path in all_paths(2, 2, True) if edges_of(path) <= kept]
    assert len(closed) == 4
    (_, a), (_, b) = explain(model, two), explain(model, closed)
    assert float((a - b).abs().max()) > 1e-6


@pytest.mark.parametrize("name", ["two", "llama", "gptj"])
def test_all_paths_explain_everything_and_none_nothing(name: str) -> None:
    model = model_of(name)
    layers = range(model.adapter.shape.n_layers)
    routes: list[Route] = [()]
    for layer in layers:
        attention = [(*path, site.head_out(layer)) for path in routes]
        before = routes if model.adapter.family.parallel else routes + attention
        routes = routes + attention + [(*path, site.mlp_in(layer)) for path in before]
    everything, logits = explain(model, [(*path, site.logits()) for path in routes])
    torch.testing.assert_close(logits, model.run(BASE).logits[:, -1], rtol=1e-10, atol=1e-10)
    assert everything.aue.value == pytest.approx(0, abs=1e-10)
    nothing, logits = explain(model, [])
    torch.testing.assert_close(logits, model.run(SOURCE).logits[:, -1], rtol=1e-10, atol=1e-10)
    assert nothing.aue.value == pytest.approx(nothing.ate.value)


@pytest.mark.parametrize("slot", ["q", "k", "v"])
def test_a_path_by_hand_under_grouped_queries(slot: str) -> None:
    """input -> a key-value group (or a query head) of layer 1 -> logits, the values carried along one by one."""
    model, last = model_of("llama"), site.resid_post(1)
    start, pre, out = site.resid_pre(0), site.resid_pre(1), site.attn_out(1)
    here, there = model.run(BASE, read=[start]), model.run(SOURCE, read=[start, pre, out, last])
    stream = there[pre] + here[start] - there[start]
    place = getattr(site, slot)(1, 1)
    value = model.run(SOURCE, edits={pre: stream}, read=[place])[place]
    moved = model.run(SOURCE, edits={place: value}, read=[out])[out] - there[out]
    wanted = model.run(SOURCE, edits={last: there[last] + moved}).logits[:, -1]
    found = explain(model, [(place, site.logits())])[1]
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_the_same_numbers_for_every_batch_size_and_without_resuming() -> None:
    paths = [(site.head_out(0, 1), site.mlp_in(1), site.logits()), (site.logits(),)]
    one, _ = explain(model_of("two"), paths)
    for change in (dict(batch_size=1), dict(batch_size=2), dict(resume=False)):
        other, _ = explain(model_of("two"), paths, **change)
        assert one.aue.value == pytest.approx(other.aue.value, abs=1e-10)
        assert one.frame["hypothesis"].tolist() == pytest.approx(other.frame["hypothesis"].tolist(), abs=1e-10)


def test_the_share_and_its_interval() -> None:
    base, source = draw_tokens(60, 3), draw_tokens(60, 4)
    pairs = cm.CounterfactualPairs.from_tokens(base, source, answer=1, foil=0)
    found = paths_explained(model_of("two"), pairs, [(site.logits(),), (site.mlp_in(1), site.logits())])
    assert isinstance(found.explained, Estimate) and found.reason is None
    frame = found.frame
    assert found.explained.value == pytest.approx(1 - frame["unexplained"].mean() / frame["total"].mean())
    assert found.explained.low < found.explained.value < found.explained.high < 1
    assert found.paths == ("input -> logits()", "input -> mlp_in(1) -> logits()")
    assert str(found).startswith("2 paths: 0.") and "explained" in str(found)
    same = cm.CounterfactualPairs.from_tokens(base, base, answer=1, foil=0)
    none = paths_explained(model_of("two"), same, [(site.logits(),)])
    assert none.explained is None and "not significantly" in str(none.reason)


WRONG: list[tuple[list[Any], type[Exception], str]] = [
    ([(site.mlp_in(0),)], SpecError, "does not end in logits"),
    ([()], SpecError, "does not end in logits"),
    ([("mlp_in(0)", site.logits())], SpecError, "no site"),
    ([(site.resid_pre(1), site.logits())], SpecError, "no input of a node"),
    ([(site.mlp_in(0, at=0), site.logits())], SpecError, "all positions"),
    ([(site.mlp_in(0), site.q(0, 0), site.logits())], SpecError, r"no path leads from mlp_in\(0\) to q\(0, 0\)"),
    ([(site.v(1, 0), site.q(1, 1), site.logits())], SpecError, r"no path leads from v\(1, 0\) to q\(1, 1\)"),
    ([(site.q(1, 7), site.logits())], SiteError, "no head 7"),
]


@pytest.mark.parametrize(("paths", "error", "said"), WRONG, ids=lambda x: str(x)[:30])
def test_what_is_no_path_is_told(paths: list[Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        explain(model_of("two"), paths)


def test_networks_and_pairs_without_paths_are_told() -> None:
    pairs = cm.CounterfactualPairs.from_tokens(BASE, SOURCE, answer=1, foil=0)
    with pytest.raises(ModelError, match="module paths"):
        paths_explained(cm.load_model(mlp()), pairs, [(site.logits(),)])
    task = cm.Task(
        cm.CausalModel(inputs={"x": range(3)}, mechanisms={"y": lambda x: x}, output="y"),
        encode=lambda s: [1] * (3 + s["x"]),
        label=lambda s: s["y"],
    )
    with pytest.raises(DataError, match="unequal lengths"):
        paths_explained(model_of("two"), task.pairs(n=8, vary=["x"], seed=0), [(site.logits(),)], metric="logprob")
