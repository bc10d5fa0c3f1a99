"""Path patching is the textbook's three passes, written out with plain hooks, for every way to freeze."""

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, ModelError, PositionError, SiteError, SpecError
from causalmi.methods.path_patching import path_patching
from tests.methods.paths_by_hand import Place, textbook
from tests.networks import draw_tokens, gpt2, llama, mlp, reference, seeded

MAKERS = {"gpt2": gpt2, "llama": llama, "reference": reference}
every_maker = pytest.mark.parametrize("name", MAKERS)
MASK = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)
BASE, SOURCE = draw_tokens(4, 1), draw_tokens(4, 2)


@cache
def model_of(name: str) -> cm.Model:
    return cm.load_model(MAKERS[name]())


def pairs_of(base: Tensor = BASE, source: Tensor = SOURCE, mask: Tensor | None = MASK) -> cm.CounterfactualPairs:
    return cm.CounterfactualPairs.from_tokens(base, source, answer=torch.arange(len(base)), foil=5, mask=mask)


def patched_logits(model: cm.Model, pairs: cm.CounterfactualPairs, **how: Any) -> Tensor:
    """The logits that the metric was given under the patch; the metric sees them before those of clean runs."""
    seen: list[Tensor] = []

    def metric(logits: Tensor, target: Any) -> Tensor:
        seen.append(logits)
        return logits[:, 0]

    path_patching(model, pairs, metric=metric, **how)
    assert len(seen) == 3
    return seen[0]


CASES: list[tuple[site.Site, Place, list[tuple[site.Site, Place]]]] = [
    (site.head_out(0, 1), ("z", 0, 1, None), [(site.q(2, 1), ("q", 2, 1, None))]),
    (site.head_out(0, 1, at=-2), ("z", 0, 1, -2), [(site.v(2, 1, at=-2), ("v", 2, 1, -2)), (site.k(1, 0), ("k", 1, 0, None))]),
    (site.z(1, 0, at="last"), ("z", 1, 0, -1), [(site.mlp_in(1, at="last"), ("mlp_in", 1, None, -1)), (site.q(2, 0), ("q", 2, 0, None))]),
    (site.mlp_out(0), ("mlp", 0, None, None), [(site.resid_post(1, at=[-1]), ("resid_post", 1, None, -1))]),
    (site.mlp_out(0, at=-1), ("mlp", 0, None, -1), [(site.logits(), ("final", 0, None, None))]),
    (site.head_out(1, 1), ("z", 1, 1, None), [(site.logits(at="last"), ("final", 0, None, -1))]),
]  # fmt: skip


@every_maker
@pytest.mark.parametrize("frozen", ["none", "attn", "attn+mlp"])
@pytest.mark.parametrize("direction", ["noise", "denoise"])
def test_it_is_the_textbook(name: str, frozen: str, direction: str) -> None:
    model = model_of(name)
    x, other = (BASE, SOURCE) if direction == "noise" else (SOURCE, BASE)
    kinds = {"none": set(), "attn": {"z"}, "attn+mlp": {"z", "mlp"}}[frozen]
    moved = 0
    for sender, place, receivers in CASES:
        places = [r for _, r in receivers]
        wanted = textbook(model.module, (x, other, MASK), place, places, kinds)
        how = dict(sender=sender, receivers=[r for r, _ in receivers], frozen=frozen, direction=direction)
        found = patched_logits(model, pairs_of(), **how)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
        clean = model.record(pairs_of().base if direction == "noise" else pairs_of().source, at="last").logits
        moved += not torch.allclose(found, clean, atol=1e-3)
    assert moved == len(CASES)  # no case is empty


@every_maker
def test_the_ways_to_freeze_differ(name: str) -> None:
    rows = [
        path_patching(model_of(name), pairs_of(), sender=site.z(0, 1), receivers=site.q(2, 1), frozen=f)["raw"][0]
        for f in ("none", "attn", "attn+mlp")
    ]
    assert len({round(x, 6) for x in rows}) == 3


@every_maker
def test_freezing_everything_is_freezing_what_matters(name: str) -> None:
    model = model_of(name)
    layers = range(model.adapter.shape.n_layers)
    senders = [site.head_out(0, 1), site.v(0, 1), site.mlp_out(0), site.mlp_hidden(0), site.resid_pre(1)]
    for frozen, kinds in (("attn", [site.z]), ("attn+mlp", [site.head_out, site.mlp_out])):
        everything = [kind(layer) for kind in kinds for layer in layers]
        how = dict(sender=senders, receivers=[site.k(2, 1), site.mlp_in(2)])
        one, other = (path_patching(model, pairs_of(mask=None), frozen=f, **how) for f in (frozen, everything))
        assert one["raw"].tolist() == pytest.approx(other["raw"].tolist(), abs=1e-12)
        assert (one["raw"].abs() > 1e-6).all()


@every_maker
def test_the_direct_edge_to_the_logits_adds_the_difference_to_the_stream(name: str) -> None:
    model = model_of(name)
    last = site.resid_post(model.adapter.shape.n_layers - 1)
    senders = [site.resid_pre(0), site.head_out(1, 0), site.mlp_out(0), site.mlp_out(2), site.attn_out(0)]
    here, there = (model.run(x, read=[*senders, last]) for x in (BASE, SOURCE))
    for sender in senders:
        with torch.no_grad():
            wanted = model.adapter.tail(here[last] + there[sender] - here[sender])[:, -1]
        how = dict(sender=sender, receivers=site.logits(), frozen="attn+mlp")
        torch.testing.assert_close(patched_logits(model, pairs_of(mask=None), **how), wanted, rtol=1e-10, atol=1e-10)


@every_maker
def test_neurons_and_values_leave_through_their_own_layer(name: str) -> None:
    """A sender inside an MLP or a head is not shut in by freezing outputs: the direct edge from it is its share."""
    model, last = model_of(name), site.resid_post(2)
    for inside, out in ((site.mlp_hidden(1)[0:9], site.mlp_out(1)), (site.v(1, 1), site.attn_out(1))):
        value = model.run(SOURCE, read=[inside])[inside]
        moved = model.run(BASE, edits={inside: value}, read=[out])[out] - model.run(BASE, read=[out])[out]
        clean = model.run(BASE, read=[last])[last]
        wanted = model.run(BASE, edits={last: clean + moved}).logits[:, -1]
        how = dict(sender=inside, receivers=[last], frozen="attn+mlp")
        torch.testing.assert_close(patched_logits(model, pairs_of(mask=None), **how), wanted, rtol=1e-10, atol=1e-10)


@every_maker
def test_all_paths_to_a_whole_stream_are_activation_patching(name: str) -> None:
    model, sender = model_of(name), site.z(0, 1, at=2)
    value = model.run(SOURCE, read=[sender])[sender]
    wanted = model.run(BASE, edits={sender: value}).logits[:, -1]
    found = patched_logits(model, pairs_of(mask=None), sender=sender, receivers=site.resid_post(1), frozen="none")
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def every_sender(model: cm.Model) -> list[site.Site]:
    layers, heads = range(model.adapter.shape.n_layers), range(model.adapter.shape.n_heads)
    return [
        site.resid_pre(0),
        *(site.head_out(layer, h) for layer in layers for h in heads),
        *map(site.mlp_out, layers),
    ]


@every_maker
def test_direct_edges_through_a_frozen_norm_add_up(name: str) -> None:
    """From all senders together they make the full replacement of what the unembedding reads; recomputed, they do not."""
    model = model_of(name)
    last = model.adapter.shape.n_layers - 1
    read = [site.resid_post(last), site.final_norm()]
    here, there = (model.run(x, read=read) for x in (BASE, SOURCE))
    moved = centred(there[read[0]] - here[read[0]], name) / scale(here[read[0]], name)
    normed = here[read[1]] + moved * model.adapter.norm_of("logits").weight
    with torch.no_grad():
        logits = model.run(BASE, edits={site.final_norm(): normed}).logits[:, -1]
    full = (logits[torch.arange(4), torch.arange(4)] - logits[:, 5]).mean()
    how = dict(sender=every_sender(model), receivers=site.logits(), frozen="attn+mlp")
    frozen, live = (path_patching(model, pairs_of(mask=None), ln=ln, **how) for ln in ("frozen", "recompute"))
    assert frozen["raw"].sum() == pytest.approx(float(full) - frozen.attrs["base"], abs=1e-10)
    assert abs(live["raw"].sum() - frozen["raw"].sum()) > 1e-3


def centred(x: Tensor, name: str) -> Tensor:
    return x if name == "llama" else x - x.mean(-1, keepdim=True)


def scale(x: Tensor, name: str) -> Tensor:
    eps = 1e-6 if name == "llama" else 1e-5
    return (centred(x, name).square().mean(-1, keepdim=True) + eps).sqrt()


@every_maker
def test_a_frozen_norm_by_hand(name: str) -> None:
    model, layer = model_of(name), 2
    stream, mid = site.resid_pre(layer), site.mlp_in(layer)
    sender = site.head_out(0, 1)
    here, there = (model.run(x, read=[sender, stream, mid]) for x in (BASE, SOURCE))
    moved = centred(there[sender] - here[sender], name)
    wanted = {}
    for kind, place in (("q", stream), ("mlp_in", mid)):
        norm = model.adapter.norm_of(kind, layer)
        path = next(p for p, m in model.module.named_modules() if m is norm)
        y = norm(here[place]) + moved / scale(here[place], name) * norm.weight
        read = site.q(layer, 1, at=3) if kind == "q" else site.mlp_out(layer, at=-1)
        wanted[read] = model.run(BASE, edits={site.module(path): y.detach()}, read=[read])[read]
    logits = model.run(BASE, edits=wanted).logits[:, -1]
    receivers = [site.q(layer, 1, at=3), site.mlp_in(layer, at=-1)]
    how = dict(sender=sender, receivers=receivers, frozen="attn+mlp")
    torch.testing.assert_close(
        patched_logits(model, pairs_of(mask=None), ln="frozen", **how), logits, rtol=1e-9, atol=1e-9
    )
    assert not torch.allclose(patched_logits(model, pairs_of(mask=None), **how), logits, atol=1e-6)


def gptj() -> nn.Module:
    from transformers import GPTJConfig, GPTJForCausalLM

    config = GPTJConfig(n_embd=24, n_layer=3, n_head=4, rotary_dim=4, vocab_size=10, n_positions=32, initializer_range=0.3,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    return seeded(lambda: GPTJForCausalLM(config)).to(torch.float64)


def test_in_parallel_blocks_attention_does_not_reach_its_own_mlp() -> None:
    model, last = cm.load_model(gptj()), site.resid_post(2)
    sender, hidden = site.attn_out(0), site.mlp_hidden(0)
    with pytest.raises(SpecError, match="no path leads"):
        path_patching(model, pairs_of(), sender=sender, receivers=hidden)
    here, there = (model.run(x, read=[sender, last]) for x in (BASE, SOURCE))
    wanted = model.run(BASE, edits={last: here[last] + there[sender] - here[sender]}).logits[:, -1]
    how = dict(sender=sender, receivers=site.logits(), frozen="attn+mlp")
    torch.testing.assert_close(patched_logits(model, pairs_of(mask=None), **how), wanted, rtol=1e-10, atol=1e-10)
    how = dict(sender=[site.resid_pre(0), site.head_out(0, 1)], receivers=site.mlp_hidden(2), frozen="attn+mlp")
    rows = [path_patching(model, pairs_of(), ln=ln, **how)["raw"] for ln in ("recompute", "frozen")]
    assert (rows[0] - rows[1]).abs().min() > 1e-6


def test_a_stream_as_receiver_has_no_norm_of_its_own() -> None:
    model = model_of("gpt2")
    how = dict(sender=site.head_out(0, 1), receivers=site.resid_post(2, at=-1), frozen="attn+mlp")
    one, other = (path_patching(model, pairs_of(), ln=ln, **how)["raw"][0] for ln in ("frozen", "recompute"))
    assert one == pytest.approx(other, abs=1e-12)


@settings(max_examples=8, deadline=None)
@given(layer=st.integers(0, 1), head=st.integers(0, 1), kind=st.sampled_from("qkv"), at=st.sampled_from([None, -1, 1]))
def test_denoising_is_noising_the_other_way_round(layer: int, head: int, kind: str, at: int | None) -> None:
    model = model_of("reference")
    how = dict(sender=site.z(layer, head, at=at), receivers=[getattr(site, kind)(2, head, at=at)])
    one = path_patching(model, pairs_of(BASE, SOURCE), direction="denoise", **how)
    other = path_patching(model, pairs_of(SOURCE, BASE), direction="noise", **how)
    assert one["value"][0] == pytest.approx(other["value"][0], abs=1e-12)
    assert (one.attrs["base"], one.attrs["source"]) == (other.attrs["source"], other.attrs["base"])
    same = path_patching(model, pairs_of(BASE, BASE), **how)
    assert same["raw"][0] == pytest.approx(0, abs=1e-12)


@every_maker
def test_the_same_numbers_for_every_batch_size_and_without_resuming(name: str) -> None:
    how = dict(sender=site.grid("head_out"), receivers=[site.q(2, 1), site.v(2, 0)], metric="kl", seed=3)
    one = path_patching(model_of(name), pairs_of(), **how)
    for change in (dict(batch_size=1), dict(batch_size=3), dict(resume=False)):
        other = path_patching(model_of(name), pairs_of(), **how, **change)
        assert one["sender"].equals(other["sender"])
        assert one["raw"].to_numpy() == pytest.approx(other["raw"].to_numpy(), abs=1e-10)
        assert one["p"].equals(other["p"])


def test_a_row_for_each_sender_that_comes_before_a_receiver() -> None:
    frame = path_patching(
        model_of("gpt2"), pairs_of(), sender=site.grid("head_out", at=[-1, "last"]), receivers=[site.q(1), site.k(0)]
    )
    assert frame["sender"].tolist() == [f"head_out(0, {h}, at={at})" for h in range(4) for at in ("-1", "'last'")]
    assert frame[["layer", "head", "position"]].values.tolist()[:3] == [[0, 0, -1], [0, 0, "last"], [0, 1, -1]]
    assert {"value", "raw", "effect", "p_adjusted", "n"} <= set(frame)
    asked = {"metric": "logit_diff", "direction": "noise", "frozen": "attn", "ln": "recompute"}
    assert {k: frame.attrs[k] for k in asked} == asked and frame.attrs["receivers"] == ["q(1)", "k(0)"]


def test_the_past_hears_nothing_of_a_later_token() -> None:
    how = dict(sender=site.z(0, 0, at="last"), receivers=[site.k(2, 0, at=0), site.v(2, 0, at=1)])
    assert path_patching(model_of("gpt2"), pairs_of(mask=None), **how)["raw"][0] == pytest.approx(0, abs=1e-12)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    (dict(frozen="heads"), SpecError, "'none', 'attn', 'attn\\+mlp', or a list of sites"),
    (dict(frozen=[site.module("transformer")]), SpecError, "no place in the network's order"),
    (dict(ln="live"), SpecError, "'recompute', 'frozen'"),
    (dict(ln="frozen"), SpecError, "frozen='attn\\+mlp' alone"),
    (dict(ln="frozen", frozen="attn+mlp", receivers=[site.mlp_in(2)[0:3]]), SpecError, "mixes all entries"),
    (dict(direction="up"), SpecError, "'noise', 'denoise'"),
    (dict(direction="up", ln="live"), SpecError, "2 problems"),
    (dict(receivers=[]), SpecError, "no receiver"),
    (dict(sender=[]), SpecError, "no sender"),
    (dict(receivers=["q"]), SpecError, "no site"),
    (dict(receivers=[site.z(2)]), SpecError, "not what a node reads"),
    (dict(receivers=[site.logits(), site.q(2)]), SpecError, "patch it alone"),
    (dict(sender=site.module("lm_head")), SpecError, "no place in the network's order"),
    (dict(sender=[site.z(0, 1), site.z(2, 1)]), SpecError, r"no path leads from z\(2, 1\) to q\(2, 1\)"),
    (dict(sender=site.grid("z", layers=[2, 3])), SpecError, "no path leads"),
    (dict(sender=site.resid_post(1), receivers=site.resid_pre(2)), SpecError, "no path leads"),
    (dict(sender=site.v(2, 1), receivers=site.pattern(2, 1)), SpecError, "no path leads"),
    (dict(sender=site.z(0, 9)), SiteError, "no head 9"),
    (dict(receivers=[site.q(9, 0)]), SiteError, "no layer 9"),
    (dict(receivers=[site.q(2), site.q(2, 1)]), SiteError, "write the same numbers"),
    (dict(sender=site.z(0, 1, at=7)), PositionError, "position 7"),
    (dict(metric="size"), DataError, "the metric is 'size'"),
    (dict(batch_size=0), DataError, "batch_size"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "said"), WRONG, ids=lambda x: str(x)[:40])
def test_what_cannot_be_patched_is_told(change: dict[str, Any], error: type[Exception], said: str) -> None:
    how = dict(sender=site.z(0, 1), receivers=[site.q(2, 1)]) | change
    with pytest.raises(error, match=said):
        path_patching(model_of("gpt2"), pairs_of(mask=None), **how)


def test_whole_sequences_of_unequal_lengths_are_told() -> None:
    task = cm.Task(
        cm.CausalModel(inputs={"x": range(3)}, mechanisms={"y": lambda x: x}, output="y"),
        encode=lambda s: [1] * (3 + s["x"]),
        label=lambda s: s["y"],
    )
    pairs = task.pairs(n=8, vary=["x"], seed=0)
    assert not pairs.base.lengths.equal(pairs.source.lengths)
    with pytest.raises(SiteError, match="unequal lengths"):
        path_patching(model_of("gpt2"), pairs, sender=site.z(0, 1), receivers=[site.q(2, 1)], metric="logprob")


def test_too_few_pairs_are_told_before_anything_runs() -> None:
    def metric(logits: Tensor, target: Any) -> Tensor:
        raise AssertionError("computed")

    one = pairs_of(BASE[:1], SOURCE[:1], mask=None)
    with pytest.raises(DataError, match="an interval needs"):
        path_patching(model_of("gpt2"), one, sender=site.z(0, 1), receivers=[site.q(2, 1)], metric=metric)


def test_a_network_without_layers_is_told() -> None:
    with pytest.raises(ModelError, match="addressed by module paths"):
        path_patching(cm.load_model(mlp()), pairs_of(), sender=site.z(0, 1), receivers=[site.q(2, 1)])
