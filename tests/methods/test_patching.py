"""Activation patching is the textbook's loop, a forward pass with plain hooks for each site, and a frame of its means."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import causalmi as cm
from causalmi import Inputs, site
from causalmi.errors import CausalmiError, CausalmiWarning, DataError, ModelError, PositionError, SiteError
from causalmi.methods.patching import activation_patching
from tests.contract.test_invariants import count_hooks
from tests.networks import draw_tokens, gpt2, llama, mlp

MAKERS = {"gpt2": gpt2, "llama": llama}
LAYERS, D_HEAD = {"gpt2": 4, "llama": 3}, {"gpt2": 6, "llama": 8}
every_maker = pytest.mark.parametrize("name", MAKERS)
every_direction = pytest.mark.parametrize("direction", ["denoise", "noise"])
N, LENGTH = 6, 5
MASK = torch.tensor([[1] * 5, [0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1] * 5, [0, 0, 1, 1, 1], [1] * 5]).bool()
NAMES = ["site", "kind", "layer", "head", "position", "effect", "low", "high", "p", "p_adjusted", "value"]


@cache
def model_of(name: str) -> cm.Model:
    return cm.load_model(MAKERS[name]())


@cache
def pairs_of(name: str, padded: bool = False) -> cm.CounterfactualPairs:
    """Pairs whose answer and foil are what the network itself says of base and source, so that there is an effect."""
    base, source = draw_tokens(60, 1, LENGTH), draw_tokens(60, 2, LENGTH)
    source[:, 0] = base[:, 0]
    mask = MASK.repeat(10, 1) if padded else torch.ones(60, LENGTH, dtype=torch.bool)
    answer, foil = (forward(model_of(name).module, x, mask).argmax(-1) for x in (base, source))
    rows = [
        (answer != foil).nonzero()[:, 0][mask[answer != foil].sum(1) == k][:2] for k in mask.sum(1).unique().flip(0)
    ]
    picked = torch.cat(rows)[:N] if padded else (answer != foil).nonzero()[:N, 0]
    given = (x[picked] for x in (base, source, answer, foil, mask))
    base, source, answer, foil, mask = given
    return cm.CounterfactualPairs.from_tokens(base, source, answer=answer, foil=foil, mask=mask)


def forward(net: nn.Module, tokens: Tensor, mask: Tensor, **how: Any) -> Any:
    """The logits at the last real token, by a plain call."""
    positions = (mask.long().cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        out = net.eval()(tokens, attention_mask=mask.long(), position_ids=positions, **how)
    last = (torch.arange(mask.shape[1]) * mask).argmax(1)
    return out.attentions if how else out.logits[torch.arange(len(tokens)), last]


def module_of(net: nn.Module, s: site.Site) -> tuple[nn.Module, bool]:
    """The module of a site, and whether its numbers are the module's input."""
    if hasattr(net, "transformer"):
        block = net.transformer.h[s.layer or 0]
        attention, o, fused = block.attn, block.attn.c_proj, dict.fromkeys("qkv", block.attn.c_attn)
        outside, down = {"embed": net.transformer.wte, "final_norm": net.transformer.ln_f}, block.mlp.c_proj
    else:
        block = net.model.layers[s.layer or 0]
        attention, o, down = block.self_attn, block.self_attn.o_proj, block.mlp.down_proj
        fused = {x: getattr(attention, f"{x}_proj") for x in "qkv"}
        outside = {"embed": net.model.embed_tokens, "final_norm": net.model.norm}
    inputs = {"resid_pre": block, "z": o, "head_out": o, "mlp_hidden": down}
    outputs = {**outside, **fused, "resid_post": block, "attn_out": o, "mlp_out": block.mlp}
    return (inputs[s.kind], True) if s.kind in inputs else (outputs[s.kind], False)


def rows_of(s: site.Site, mask: Tensor) -> Tensor:
    """Which positions the site means, bool [n, pos]."""
    count, at = mask.sum(1, keepdim=True), -1 if s.at == "last" else s.at
    index = torch.arange(mask.shape[1]) - mask.int().argmax(1, keepdim=True)
    return torch.ones_like(mask) if at is None else index == (at if at >= 0 else count + at)


def columns_of(net: nn.Module, s: site.Site) -> slice | list[int]:
    """Which columns of its module's tensor the site means."""
    if s.head is None:
        return slice(None) if s.neurons is None else list(s.neurons)
    fused = hasattr(net, "transformer")
    width = D_HEAD["gpt2" if fused else "llama"]
    start = s.head * width + (24 * "qkv".index(s.kind) if fused and s.kind in "qkv" else 0)
    return slice(start, start + width)


def hook(net: nn.Module, s: site.Site, act: Callable[[Tensor], Tensor | None]) -> Any:
    module, before = module_of(net, s)

    def pre(_: nn.Module, args: Any) -> Any:
        new = act(args[0])
        return None if new is None else (new, *args[1:])

    def post(_: nn.Module, args: Any, out: Any) -> Any:
        new = act(out if isinstance(out, Tensor) else out[0])
        return new if new is None or isinstance(out, Tensor) else (new, *out[1:])

    return module.register_forward_pre_hook(pre) if before else module.register_forward_hook(post)


def hooked(net: nn.Module, inputs: Inputs, acts: dict[site.Site, Callable[[Tensor], Tensor | None]]) -> Tensor:
    handles = [hook(net, s, act) for s, act in acts.items()]
    logits = forward(net, inputs.values, inputs.mask)
    [handle.remove() for handle in handles]
    return logits


def replaced(net: nn.Module, s: site.Site, t: Tensor, rows: Tensor, numbers: Tensor) -> Tensor:
    new, mine = t.clone(), t[rows]
    mine[:, columns_of(net, s)] = numbers
    new[rows] = mine
    return new


def textbook(net: nn.Module, run: Inputs, donor: Inputs, patches: list[list[site.Site]]) -> list[Tensor]:
    """The logits of ``run`` with the numbers at each of the patches' sites those of ``donor``: one pass for each."""
    kept: dict[site.Site, Tensor] = {}
    for s in {s for sites in patches for s in sites}:
        hooked(net, donor, {s: lambda t, s=s: kept.update({s: t[rows_of(s, donor.mask)][:, columns_of(net, s)]})})

    def act(s: site.Site) -> Callable[[Tensor], Tensor]:
        return lambda t: replaced(net, s, t, rows_of(s, run.mask), kept[s])

    return [hooked(net, run, {s: act(s) for s in sites}) for sites in patches]


def ends_by_hand(net: nn.Module, *ends: Inputs) -> list[Tensor]:
    return [forward(net, x.values, x.mask) for x in ends]


def frame_by_hand(patched: list[Tensor], ends: list[Tensor], score: Any) -> dict[str, Tensor]:
    """Mean metric, mean difference and share of it, from logits and a metric written out."""
    start, goal = (score(logits).double() for logits in ends)
    value = torch.stack([score(logits).double() for logits in patched])
    raw = (value - start).mean(1)
    return {"value": value.mean(1), "raw": raw, "effect": raw / (goal - start).mean()}


def ends_of(pairs: cm.CounterfactualPairs, direction: str) -> tuple[Inputs, Inputs]:
    """What is run, and the donor."""
    return (pairs.source, pairs.base) if direction == "denoise" else (pairs.base, pairs.source)


def logit_diff(pairs: cm.CounterfactualPairs) -> Callable[[Tensor], Tensor]:
    i = torch.arange(len(pairs))
    return lambda logits: logits[i, pairs.base_labels] - logits[i, pairs.foil]


def check(frame: pd.DataFrame, wanted: dict[str, Tensor], error: float = 1e-9) -> None:
    for column, values in wanted.items():
        np.testing.assert_allclose(frame[column], values.numpy(), rtol=error, atol=error, err_msg=column)


def same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(a, b, rtol=1e-9, atol=1e-9)


def every_kind(name: str) -> list[site.Site]:
    layers = range(LAYERS[name])
    found = [site.embed(), site.embed(at=1), site.final_norm(at="last"), site.resid_pre(1), site.mlp_out(0, at=0)]
    found += [site.resid_post(layer, at=at) for layer in layers for at in (-2, "last")]
    found += [kind(layer, at=2) for layer in layers for kind in (site.attn_out, site.mlp_out)]
    found += [kind(1, h, at=at) for kind in (site.z, site.head_out) for h, at in ((0, None), (1, 2))]
    found += [kind(layer, h) for kind in (site.q, site.k, site.v) for layer, h in ((0, 1), (2, 0))]
    return [*found, site.v(1, 1, at=0), site.mlp_hidden(1, neurons=[3, 7]), site.mlp_hidden(2, at=1, neurons=range(9))]


@every_maker
@pytest.mark.parametrize(("direction", "padded"), [("denoise", False), ("noise", True)])
def test_every_kind_of_site_is_the_textbook(name: str, direction: str, padded: bool) -> None:
    model, pairs, sites = model_of(name), pairs_of(name, padded), every_kind(name)
    run, donor = ends_of(pairs, direction)
    patched = textbook(model.module, run, donor, [[s] for s in sites])
    ends = ends_by_hand(model.module, run, donor)
    frame = activation_patching(model, pairs, sites, direction=direction)
    check(frame, frame_by_hand(patched, ends, logit_diff(pairs)))
    assert frame["site"].tolist() == [str(s) for s in sites]
    assert (frame["raw"].abs() > 1e-6).mean() > 0.6  # most sites are no dead ones


@every_maker
def test_attention_patterns_by_hand(name: str) -> None:
    """A head's pattern from another input is its z with that input's pattern and its own values."""
    model, pairs, eager = model_of(name), pairs_of(name), MAKERS[name]()
    eager.set_attn_implementation("eager")
    run, donor = ends_of(pairs, "noise")
    theirs = forward(eager, donor.values, donor.mask, output_attentions=True)  # by layer, [n, head, query, key]
    sites, patched, kept = [site.pattern(0, 1), site.pattern(1, 2), site.pattern(2, 3, at="last")], [], {}
    for s in sites:
        values = site.v(s.layer, s.head // (1 if name == "gpt2" else 2))
        hooked(eager, run, {values: lambda t, s=values: kept.update(v=t[..., columns_of(eager, s)])})
        z, rows = theirs[s.layer][:, s.head] @ kept["v"], rows_of(s, run.mask)
        place = site.z(s.layer, s.head)
        patched.append(
            hooked(eager, run, {place: lambda t, p=place, z=z[rows], rows=rows: replaced(eager, p, t, rows, z)})
        )
    frame = activation_patching(model, pairs, sites, direction="noise")
    wanted = frame_by_hand(patched, ends_by_hand(eager, run, donor), logit_diff(pairs))
    check(frame, wanted, error=1e-9 if name == "gpt2" else 1e-5)  # Llama's softmax is in float32
    assert (frame["raw"].abs() > 1e-3).all()


def first_logit(logits: Tensor, target: Any) -> Tensor:
    return logits[:, 0]


@every_direction
@pytest.mark.parametrize("metric", ["logit_diff", "kl", "prob", "accuracy", first_logit])
def test_metrics_by_hand(metric: Any, direction: str) -> None:
    model, pairs = model_of("gpt2"), pairs_of("gpt2")
    run, donor = ends_of(pairs, direction)
    i, clean = torch.arange(N), forward(model.module, pairs.base.values, pairs.base.mask).log_softmax(-1)
    by_hand = {
        "logit_diff": logit_diff(pairs),
        "kl": lambda logits: (clean.exp() * (clean - logits.log_softmax(-1))).sum(-1),
        "prob": lambda logits: logits.softmax(-1)[i, pairs.base_labels],
        "accuracy": lambda logits: logits.argmax(-1) == pairs.base_labels,
        first_logit: lambda logits: logits[:, 0],
    }[metric]
    sites = [site.resid_post(1, at="last"), site.resid_post(2, at="last"), site.mlp_out(3, at="last"), site.z(3, 1)]
    patched = textbook(model.module, run, donor, [[s] for s in sites])
    ends = ends_by_hand(model.module, run, donor)
    wanted = frame_by_hand(patched, ends, by_hand)
    frame = activation_patching(model, pairs, sites, metric=metric, direction=direction, batch_size=4)
    if metric is first_logit:  # of which base and source differ by chance only
        assert frame["effect"].isna().all() and "not significantly" in frame.attrs["undefined"]
        del wanted["effect"]
    check(frame, wanted)
    named = "first_logit" if callable(metric) else metric
    untested = metric == "kl" and direction == "noise"  # from the base on, it can only rise
    assert ("untested" in frame.attrs) == untested and frame["p"].isna().all() == untested
    means = [float(by_hand(x).double().mean()) for x in ends_by_hand(model.module, pairs.base, pairs.source)]
    attrs = dict(metric=named, direction=direction, window=1, base=means[0], source=means[1])
    assert {name: frame.attrs[name] for name in attrs} == pytest.approx(attrs)


AROUND = {
    1: [[0], [1], [2], [3]],
    2: [[0], [0, 1], [1, 2], [2, 3]],
    3: [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3]],
}


@pytest.mark.parametrize("window", AROUND)
@pytest.mark.parametrize("at", [None, 3])
def test_windows_of_layers_are_patched_together(window: int, at: int | None) -> None:
    model, pairs = model_of("gpt2"), pairs_of("gpt2")
    run, donor = ends_of(pairs, "denoise")
    patched = textbook(model.module, run, donor, [[site.mlp_out(i, at=at) for i in some] for some in AROUND[window]])
    ends = ends_by_hand(model.module, run, donor)
    frame = activation_patching(model, pairs, site.grid("mlp_out", at=at), window=window)
    check(frame, frame_by_hand(patched, ends, logit_diff(pairs)))
    assert frame["layer"].tolist() == [0, 1, 2, 3] and frame.attrs["window"] == window


@every_maker
def test_neither_batches_nor_resuming_change_a_number(name: str) -> None:
    model, pairs = model_of(name), pairs_of(name, True)
    sites = [
        site.embed(),
        site.resid_post(0, at=0),
        site.resid_post(1, at=-1),
        site.z(1, 0),
        site.k(2, 1),
        site.pattern(1),
    ]
    frame = activation_patching(model, pairs, sites)
    for how in ({"batch_size": 1}, {"batch_size": 5}, {"resume": False}):
        same(activation_patching(model, pairs, sites, **how), frame)


@every_maker
def test_the_last_position_of_unequal_lengths(name: str) -> None:
    """Bases and sources whose lengths differ match at a named position, and at no whole example."""
    model, pairs = model_of(name), pairs_of(name, True)
    source = Inputs.of(pairs.source.values, pairs.source.mask.roll(1, 0))
    pairs = replace(pairs, tensors=replace(pairs.tensors, sources={"source": source}))
    sites = [site.resid_post(1, at="last"), site.z(1, 1, at="last"), site.attn_out(0, at=-2), site.mlp_out(1, at=0)]
    for direction in ("denoise", "noise"):
        run, donor = ends_of(pairs, direction)
        patched = textbook(model.module, run, donor, [[s] for s in sites])
        ends = ends_by_hand(model.module, run, donor)
        wanted = frame_by_hand(patched, ends, logit_diff(pairs))
        frame = activation_patching(model, pairs, sites, direction=direction)
        assert frame["effect"].notna().all() or "undefined" in frame.attrs
        check(frame, {c: v for c, v in wanted.items() if frame[c].notna().all()})
    for whole in (site.z(1, 1), site.resid_post(0), site.pattern(0, at="last")):
        with pytest.raises(SiteError, match="unequal lengths"):
            activation_patching(model, pairs, whole)


def test_a_single_pair_has_effects_without_intervals() -> None:
    model, pairs = model_of("gpt2"), pairs_of("gpt2")
    with pytest.warns(CausalmiWarning, match="one base"):
        frame = activation_patching(model, pairs.rows([0]), site.grid("resid_post", at="last"))
    several = activation_patching(model, pairs, site.grid("resid_post", at="last"), batch_size=1)
    assert list(frame) == list(several) and "one base" in frame.attrs["uncertain"] and "uncertain" not in several.attrs
    assert frame[["raw_low", "raw_high", "low", "high", "p", "p_adjusted"]].isna().all(axis=None)
    run, donor = ends_of(pairs.rows([0]), "denoise")
    ends = ends_by_hand(model.module, run, donor)
    patched = textbook(model.module, run, donor, [[site.resid_post(i, at="last")] for i in range(4)])
    check(frame, frame_by_hand(patched, ends, logit_diff(pairs.rows([0]))))
    repeated = activation_patching(model, pairs.rows([0, 0, 0]), site.resid_post(1, at="last"))
    assert "one base" in repeated.attrs["uncertain"]


@every_maker
@pytest.mark.parametrize(("dtype", "direction"), [(torch.float64, "denoise"), (torch.float32, "noise")])
def test_nothing_is_0_and_everything_is_1(name: str, direction: str, dtype: torch.dtype) -> None:
    """Position 0 is the same in base and source, and after the last block only the last position is read."""
    model, last = cm.load_model(MAKERS[name](dtype)), LAYERS[name] - 1
    dead = [site.resid_post(layer, at=0) for layer in range(last)]
    dead += [site.z(1, 0, at=0), site.v(1, 1, at=0), site.embed(at=0), site.resid_post(last, at=2), site.logits(at=1)]
    everything = [
        site.embed(),
        site.resid_pre(0),
        site.resid_post(1),
        site.resid_post(last),
        site.resid_post(last, at="last"),
    ]
    places, error = [*dead, *everything], 1e-12 if dtype == torch.float64 else 1e-5
    for batch_size in (None, 4):
        frame = activation_patching(model, pairs_of(name), places, direction=direction, batch_size=batch_size)
        none, all_of_it = frame[: len(dead)], frame[len(dead) :]
        for column in ("raw", "raw_low", "raw_high", "effect", "low", "high"):
            assert (none[column] == 0).all(), column
        assert (none["p"] == 1).all() and (none["p_adjusted"] == 1).all()
        for column in ("effect", "low", "high"):
            assert all_of_it[column].tolist() == pytest.approx([1] * len(everything), abs=error), column
        assert (all_of_it["p"] == 2 / 2**N).all()  # all of one sign


def test_a_grid_is_a_row_for_each_layer_and_position_or_head() -> None:
    model, pairs = model_of("gpt2"), pairs_of("gpt2")
    frame = activation_patching(model, pairs, site.grid("resid_post"))
    assert list(frame) == [*NAMES, "raw", "raw_low", "raw_high", "n"] and list(frame.index) == list(range(20))
    assert list(zip(frame["layer"], frame["position"], strict=True)) == [(i, p) for i in range(4) for p in range(5)]
    assert set(frame["kind"]) == {"resid_post"} and set(frame["head"]) == {None} and set(frame["n"]) == {N}
    listed = [site.resid_post(i, at=p) for i in range(4) for p in range(5)]
    same(frame, activation_patching(model, pairs, listed))
    heads = activation_patching(model, pairs, site.grid("z"))
    assert list(zip(heads["layer"], heads["head"], strict=True)) == [(i, h) for i in range(4) for h in range(4)]
    assert set(heads["position"]) == {None}
    some = activation_patching(model, pairs, site.grid("v", layers=[2, 0], heads=[1], at=["last", 0]))
    assert some["site"].tolist() == ["v(2, 1, at='last')", "v(2, 1, at=0)", "v(0, 1, at='last')", "v(0, 1, at=0)"]
    together = activation_patching(model, pairs, site.grid("attn_out", at=None))
    assert together["site"].tolist() == [f"attn_out({i})" for i in range(4)]
    grouped = activation_patching(model_of("llama"), pairs_of("llama"), site.grid("k"))
    assert list(zip(grouped["layer"], grouped["head"], strict=True)) == [(i, h) for i in range(3) for h in range(2)]
    once = activation_patching(model, pairs, [site.z(0, 1), site.z(0, 1)])
    assert once["site"].tolist() == ["z(0, 1)"]


def test_networks_without_layers_are_patched_by_module() -> None:
    base, source = (torch.randn(8, 6, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    pairs = cm.CounterfactualPairs.from_tokens(base.double(), source.double(), answer=0, foil=1)
    net = mlp()
    frame = activation_patching(net, pairs, [site.module("layer2"), site.module("layer1", neurons=[0])])
    with torch.no_grad():
        start, goal = net(source.double()), net(base.double())
        hidden = net.layer1(source.double())
        hidden[:, 0] = net.layer1(base.double())[:, 0]
        patched = [goal, net.head(net.layer2(hidden))]
    wanted = frame_by_hand(patched, (start, goal), lambda logits: logits[:, 0] - logits[:, 1])
    check(frame, {"value": wanted["value"], "raw": wanted["raw"]})
    assert frame["site"].tolist() == ["module('layer2')", "module('layer1', neurons=[0])"]
    with pytest.raises(ModelError, match="no layers"):
        activation_patching(net, pairs, site.grid("z"))
    with pytest.raises(DataError, match="no window"):
        activation_patching(net, pairs, site.module("layer1"), window=2)


MISTAKES = [
    (dict(direction="forward"), "direction is 'forward'; give one of denoise, noise"),
    (dict(window=0), "window is 0"),
    (dict(window=1.5), "window is 1.5"),
    (dict(window=True), "window is True"),
    (dict(window=3, sites=site.grid("resid_post")), "no window of layers"),
    (dict(window=2, sites=site.embed()), "no window of layers"),
    (dict(sites=[]), "at least one site"),
    (dict(sites="resid_post(0)"), "made with causalmi.site"),
    (dict(sites=[site.z(0), "z(1)"]), "made with causalmi.site"),
    (dict(sites=[site.z(0), site.z(9)]), "no layer 9"),
    (dict(sites=[site.z(0), site.z(1, 4)]), "no head 4"),
    (dict(sites=[site.z(0), site.resid_post(1, at=5)]), "5"),
    (dict(sites=[site.z(0), site.resid_post(1, at="verb")]), "verb"),
    (dict(sites=site.grid("z", layers=[0, 9])), "no layer 9"),
    (dict(sites=[site.z(0), site.module("nowhere")]), "nowhere"),
    (dict(metric="bleu"), "the metric is 'bleu'"),
    (dict(pairs=draw_tokens(3, 1)), "give pairs of a task"),
    (dict(batch_size=0), "batch_size is 0"),
    (dict(pairs=cm.CounterfactualPairs.from_tokens(draw_tokens(3, 1), draw_tokens(3, 2), answer=1)), "needs a wrong answer"),
    (dict(pairs=cm.CounterfactualPairs.from_tokens(draw_tokens(3, 1), draw_tokens(3, 2))), "needs the right answers"),
    (dict(pairs=cm.CounterfactualPairs.from_tokens(draw_tokens(3, 1), draw_tokens(3, 2), answer=1, foil=1)), "one token"),
    (dict(pairs=cm.CounterfactualPairs.from_tokens(draw_tokens(3, 1), draw_tokens(3, 2) + 8, answer=1, foil=2)), "outside 0 to 9"),
    (dict(pairs=cm.CounterfactualPairs.from_tokens(*draw_tokens(12, 1).view(2, 6, 5), mask=MASK, answer=1, foil=2), sites=site.grid("resid_post")), "3 to 5 positions"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "says"), MISTAKES, ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_mistakes_are_found_before_any_pass(wrong: dict[str, Any], says: str, direction: str) -> None:
    model, passes = model_of("gpt2"), []
    how = {"pairs": pairs_of("gpt2"), "sites": site.z(0), "direction": direction, "batch_size": 2, **wrong}
    handle = model.module.register_forward_pre_hook(
        lambda *_: passes.append(1)
    )  # after the pairs, whose answers it gives
    try:
        with pytest.raises(CausalmiError, match=says):
            activation_patching(model, how.pop("pairs"), how.pop("sites"), **how)
    finally:
        handle.remove()
    assert passes == []


def test_an_empty_position_is_named() -> None:
    with pytest.raises(PositionError, match="-4"):
        activation_patching(model_of("gpt2"), pairs_of("gpt2", True), site.resid_post(0, at=-4))


@pytest.mark.parametrize("batch_size", [None, 4])
def test_progress_counts_up_to_the_end(batch_size: int | None) -> None:
    told: list[tuple[str, int, int]] = []
    sites = [site.z(0), site.resid_post(1, at=1), site.resid_post(1, at=2)]
    tell = lambda *what: told.append(what)  # noqa: E731
    activation_patching(model_of("gpt2"), pairs_of("gpt2"), sites, batch_size=batch_size, progress=tell)
    done = [d for _, d, _ in told]
    assert done == sorted(set(done)) and done[-1] == 3 * N == told[0][2] and len({(s, t) for s, _, t in told}) == 1
    assert len(done) == (3 if batch_size is None else 6)


@pytest.mark.parametrize("resume", [True, False])
def test_an_interrupt_leaves_the_network_as_it_was(resume: bool) -> None:
    net = gpt2().train()
    weights = {name: w.clone() for name, w in net.state_dict().items()}

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        activation_patching(net, pairs_of("gpt2"), [site.z(0), site.pattern(1)], resume=resume, progress=interrupt)
    assert count_hooks(net) == 0 and all(part.training for part in net.modules())
    assert all(torch.equal(w, weights[name]) for name, w in net.state_dict().items())
    assert net.config._attn_implementation == "sdpa"


def test_a_seed_gives_one_frame_and_moves_p_alone() -> None:
    model = model_of("gpt2")
    base, source = draw_tokens(20, 3), draw_tokens(20, 4)
    pairs = cm.CounterfactualPairs.from_tokens(base, source, answer=1, foil=2)
    frames = [activation_patching(model, pairs, site.grid("z", layers=[2]), seed=seed) for seed in (0, 0, 1)]
    pd.testing.assert_frame_equal(frames[0], frames[1], check_exact=True)
    p = ["p", "p_adjusted"]
    pd.testing.assert_frame_equal(frames[0].drop(columns=p), frames[2].drop(columns=p), check_exact=True)
    assert (frames[0]["p"] != frames[2]["p"]).any()  # flips are drawn from 15 clusters on


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_score(value: float) -> None:
    net = gpt2()
    model = cm.load_model(net)
    with torch.no_grad():
        net.transformer.h[2].mlp.c_proj.weight[0, 0] = value
    with pytest.raises(ModelError):
        cm.load_model(net)
    for place in (site.resid_post(0, at="last"), site.z(3, 0)):
        with pytest.raises((ModelError, SiteError), match=r"NaN|not finite|nan|inf"):
            activation_patching(model, pairs_of("gpt2"), place)
