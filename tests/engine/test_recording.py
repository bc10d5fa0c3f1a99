"""A recording gives what whole runs give, says what it computes, computes no more, and is not believed untried."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import causalmi as cm
from causalmi import Inputs, Transformer, site
from causalmi.errors import CausalmiError, ModelError, PositionError
from causalmi.models.transformer import Block
from causalmi.spec.site import Site
from tests.contract.test_invariants import count_hooks
from tests.networks import draw_tokens, gpt2, llama, reference, seeded

TOKENS, OTHERS = draw_tokens(3, 1), draw_tokens(3, 2)
KINDS = ["embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_in", "mlp_hidden", "mlp_out"]
KINDS += ["z", "q", "k", "v", "pattern", "head_out", "final_norm", "logits"]


@cache
def loaded(make: Callable[[], nn.Module]) -> cm.Model:
    return cm.load_model(make().eval())


def place_of(kind: str, layer: int = 1, **how: Any) -> Site:
    return Site(kind, None if kind in ("embed", "final_norm", "logits") else layer, **how)


def drawn(model: cm.Model, place: Site, seed: int = 0) -> Tensor:
    """Numbers of the shape of the site; attention weights that sum to 1."""
    like = model.run(TOKENS, read=[place])[place]
    value = torch.rand(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return value * (like > 0) / (value * (like > 0)).sum(-1, keepdim=True) if place.kind == "pattern" else value


def close(a: Tensor, b: Tensor, what: object = "") -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10, msg=lambda m: f"{what}: {m}")


@contextmanager
def instead(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Within, the module does something else; no hook, after which nothing is resumed."""
    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def bomb(module: nn.Module) -> Any:
    """Within, the module cannot be run."""

    def explode(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    return instead(module, explode)


@contextmanager
def memory_for(module: nn.Module, rows: int) -> Iterator[list[int]]:
    """Within, the module runs out of memory on more than some rows; the rows of each call are kept."""
    sizes: list[int] = []
    forward = module.forward

    def weigh(*args: Any, **kwargs: Any) -> Any:
        sizes.append(len(args[0] if args else kwargs["hidden_states"]))
        if sizes[-1] > rows:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(*args, **kwargs)

    with instead(module, weigh):
        yield sizes


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ([site.resid_post(1, at="last")], "replays blocks 2 to 3 of 4, 1 of 5 positions, from 4 on: 10.0% of all"),
        ([site.z(1, 2, at=1)], "replays blocks 1 to 3 of 4, 4 of 5 positions, from 1 on: 60.0% of all"),
        ([site.embed()], "replays blocks 0 to 3 of 4, 5 of 5 positions, from 0 on: 100.0% of all"),
        ([site.mlp_out(3, at=2), site.q(2, 0, at=3)], "replays blocks 2 to 3 of 4, 3 of 5 positions"),
        ([site.final_norm(at="last")], "replays no block of 4, 1 of 5 positions, from 4 on: 0.0% of all"),
        ([site.resid_post(3, at=0)], "replays no block of 4, 5 of 5 positions"),
        ([site.module("transformer.h.2.mlp")], "replays blocks 2 to 3 of 4, 5 of 5 positions"),
        ([site.module("transformer.drop")], "a whole run: module('transformer.drop') is outside the blocks"),
    ],
    ids=str,
)
def test_a_plan_says_what_is_computed(edits: list[Site], says: str) -> None:
    model = loaded(gpt2)
    shown = str(model.record(TOKENS, at="last").plan(dict.fromkeys(edits, 0.0)))
    assert f"from a recording: {says}" in shown
    assert all(f"edit {place}" in shown for place in edits)
    whole = str(model.record(TOKENS, at="last", resume=False).plan(dict.fromkeys(edits, 0.0)))
    assert "from a recording: a whole run: resume=False was asked for" in whole


def test_positions_that_differ_are_said_to() -> None:
    mask = torch.tensor([[1, 1, 1, 0, 0], [1] * 5, [1, 1, 0, 0, 0]]).bool()
    plan = loaded(gpt2).record(Inputs.of(TOKENS, mask), at="last").plan({site.z(2, at=-2): 0.0})
    assert "2 of 5 positions, from 0 to 3 on" in str(plan)


@pytest.mark.parametrize("resume", [True, False])
def test_mistakes_are_found_before_any_pass(resume: bool) -> None:
    net = loaded(gpt2).module
    recording = loaded(gpt2).record(TOKENS, resume=resume)
    good, wrong = {site.z(0): 0.0}, [site.z(9), site.z(0, 9), site.z(0, at=5), site.z(0, at="verb"), "z(0)"]
    with bomb(net.transformer.h[0].attn), bomb(net.transformer.h[3]):
        for place in wrong:
            with pytest.raises(CausalmiError):
                recording.run({place: 0.0})
            with pytest.raises(CausalmiError):
                list(recording.sweep([good, {place: 0.0}]))
            with pytest.raises(CausalmiError):
                recording.run({}, read=[place])
            with pytest.raises(CausalmiError):
                recording.capture({}, [place])
        with pytest.raises(CausalmiError, match=r"shape \(2,\)"):
            recording.run({site.z(0): torch.zeros(2)})
    with pytest.raises(PositionError, match="7"):
        loaded(gpt2).record(TOKENS, at=7)
    with pytest.raises(CausalmiError, match="no examples"):
        loaded(gpt2).record(TOKENS[:0])


@pytest.mark.parametrize("make", [gpt2, llama, reference])
def test_stacked_runs_are_runs_of_their_own(make: Any) -> None:
    """Edits of every kind of place, two of each with their own values, many of whose runs begin together."""
    model = loaded(make)
    recording = model.record(TOKENS, at="last")
    places = [place for kind in KINDS for place in 2 * [place_of(kind)]]
    places += [site.q(0), site.embed(at=0), site.resid_pre(0), site.mlp_in(1, at=-1), site.resid_mid(1, at=-1)]
    edits = [{place: drawn(model, place, seed)} for seed, place in enumerate(places)]
    clean = recording.logits.clone()
    found = dict(recording.sweep(edits))
    assert sorted(found) == list(range(len(edits)))
    for number, each in enumerate(edits):
        wanted = model.run(TOKENS, edits=each).logits[:, -1]
        close(found[number], wanted, each.keys())
        close(recording.run(each).logits, wanted, each.keys())  # what is kept is as it was before the sweep
        assert not found[number].requires_grad and float((wanted - clean).abs().max()) > 1e-3
    assert torch.equal(recording.run({}).logits, clean) and torch.equal(recording.logits, clean)
    assert list(recording.sweep([])) == []


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("at", [None, "last", (1, -1), 2])
def test_logits_are_those_at_the_positions_asked_for(at: Any, resume: bool) -> None:
    model = loaded(gpt2)
    recording = model.record(TOKENS, at=at, resume=resume)
    index = {None: slice(None), "last": -1, (1, -1): [1, 4], 2: 2}[at]
    close(recording.logits, model.run(TOKENS).logits[:, index])
    for place in (site.z(1, 0), site.resid_post(2, at=3), site.mlp_out(0, at=1), site.logits(at=-1)):
        edits = {place: drawn(model, place)}
        close(recording.run(edits).logits, model.run(TOKENS, edits=edits).logits[:, index], place)


@pytest.mark.parametrize("resume", [True, False])
def test_reads_before_at_and_after_an_edit(resume: bool) -> None:
    model = loaded(llama)
    recording = model.record(TOKENS, at="last", resume=resume)
    for edited in (site.attn_out(1, at=-1), site.z(1, 2), site.embed(at=3), site.resid_post(2, at=-1)):
        edits = {edited: drawn(model, edited)}
        reads = [site.embed(at=0), site.resid_post(0), site.q(1, 0, at=-1), site.attn_out(1), site.mlp_hidden(1)]
        reads += [site.resid_post(2, at=(0, -1)), site.pattern(2, 3), site.final_norm(at=-1), edited]
        found, wanted = recording.run(edits, reads), model.run(TOKENS, edits=edits, read=reads)
        captured = recording.capture(edits, reads)
        close(found.logits, wanted.logits[:, -1])
        for place in reads:
            close(found[place], wanted[place], (edited, place))
            close(captured[place], wanted[place], (edited, place))
        for place in reads:
            close(recording.run(edits, place)[place], wanted[place], (edited, place))
            close(recording.capture(edits, place)[place], wanted[place], (edited, place))


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    "read", [site.embed(), site.resid_pre(0), site.resid_post(1), site.v(1), site.mlp_out(1, at=0)]
)
def test_nothing_after_the_deepest_read_is_run(read: Site, resume: bool) -> None:
    model = loaded(gpt2)
    net = model.module
    recording = model.record(TOKENS, at="last", resume=resume)
    clean = model.run(TOKENS, read=read)[read]
    edits = {site.resid_post(0, at=-1): 0.5, site.z(3, 1): 0.0}  # one of them is after the read, or both are
    wanted = model.run(TOKENS, edits=edits, read=read)[read]
    with bomb(net.transformer.h[2]), bomb(net.transformer.ln_f):
        close(recording.capture({}, read)[read], clean)
        close(recording.capture({}, [read, site.embed()])[read], clean)
        close(recording.capture(edits, read)[read], wanted)
        close(model.capture(TOKENS, read, batch_size=2)[read], clean)
        with pytest.raises(ZeroDivisionError):
            recording.capture({}, site.q(2))
        with pytest.raises(ZeroDivisionError):
            model.capture(TOKENS, [read, site.q(2)])
    assert count_hooks(net) == 0


@pytest.mark.parametrize("resume", [True, False])
def test_an_edit_is_a_number_or_of_one_example_or_of_all(resume: bool) -> None:
    model = loaded(reference)
    recording = model.record(TOKENS, at="last", resume=resume)
    for place in (
        site.resid_post(0, at=1),
        site.z(1, 0),
        site.embed(),
        site.k(1, at=(0, 2)),
        site.mlp_out(1, at="last"),
    ):
        one = drawn(model, place)[0]
        each = {
            "a number": (0.5, torch.full_like(drawn(model, place), 0.5)),
            "a tensor of one": (torch.tensor(2), torch.full_like(drawn(model, place), 2.0)),
            "an example": (one, one.expand(3, *one.shape)),
            "float32": (one.float(), one.float().double().expand(3, *one.shape)),
        }
        wanted = [model.run(TOKENS, edits={place: full}).logits[:, -1] for _, full in each.values()]
        found = dict(recording.sweep([{place: short} for short, _ in each.values()]))
        for number, (what, (short, _)) in enumerate(each.items()):
            close(recording.run({place: short}).logits, wanted[number], what)
            close(found[number], wanted[number], what)


def test_sweeps_go_on_in_parts_where_memory_runs_out() -> None:
    model = loaded(gpt2)
    net = model.module
    recording = model.record(TOKENS, at="last")
    place = site.resid_post(1, at=1)
    edits = [{place: drawn(model, place, seed)} for seed in range(11)]
    wanted = dict(recording.sweep(edits))
    with memory_for(net.transformer.h[3], 10) as sizes:
        found = dict(recording.sweep(edits))
    assert sizes == [33, 15, *[6] * 5, 3]  # stacks of 11, of 5 and of 2 runs of three examples, and the one left
    assert sorted(found) == list(range(11))
    for number in found:
        close(found[number], wanted[number], number)
    with memory_for(net.transformer.h[3], 2), pytest.raises(RuntimeError, match="out of memory"):
        list(recording.sweep(edits))
    assert count_hooks(net) == 0


def test_whole_runs_go_on_in_parts_where_memory_runs_out() -> None:
    model, tokens = loaded(gpt2), draw_tokens(10, 3)
    net = model.module
    recording = model.record(tokens, at="last", resume=False)
    place, read = site.resid_post(1, at=1), site.resid_post(2)
    value = torch.rand(10, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = model.run(tokens, edits={place: value}, read=read)
    with memory_for(net.transformer.h[2], 3) as sizes:
        runs = [recording.run({place: value}, read), model.run(tokens, edits={place: value}, read=read)]
        assert sizes == 2 * [10, 5, *[2] * 5]
        swept = dict(recording.sweep([{place: value}, {}]))
        captured = [recording.capture({place: value}, read)[read], model.capture(tokens, site.resid_post(2))[read]]
    close(runs[0].logits, wanted.logits[:, -1])
    close(swept[0], wanted.logits[:, -1])
    close(runs[1].logits, wanted.logits)
    for found in (runs[0][read], runs[1][read], captured[0]):
        close(found, wanted[read])
    close(captured[1], model.run(tokens, read=read)[read])


def test_other_faults_are_not_taken_for_memory() -> None:
    net = loaded(gpt2).module
    recording = loaded(gpt2).record(TOKENS)
    with bomb(net.transformer.h[3]), pytest.raises(ZeroDivisionError):
        list(recording.sweep([{site.z(1, head): 0.0} for head in range(4)]))
    assert count_hooks(net) == 0


@pytest.mark.parametrize("make", [gpt2, llama])
def test_half_precision_agrees_up_to_its_rounding(make: Any) -> None:
    model = cm.load_model(make(torch.bfloat16))
    recording = model.record(TOKENS, at="last")
    assert recording.tape is not None and recording.logits.dtype == torch.bfloat16
    places = [site.resid_post(0, at=1), site.z(1, 0), site.embed(at=2), site.v(2, 1), site.attn_out(1, at=-1)]
    edits = [{place: drawn(model, place).bfloat16()} for place in places]
    found = dict(recording.sweep(edits))
    for number, each in enumerate(edits):
        wanted = model.run(TOKENS, edits=each).logits[:, -1].float()
        assert float((found[number].float() - wanted).abs().max()) <= 0.05 * float(wanted.abs().max()), places[number]


class Gained(Block):
    """A block whose MLP has an argument of its own, a factor for each position."""

    def forward(self, x: Tensor, attention_mask: Tensor, gain: Tensor | None = None, cache: Any = None) -> Tensor:
        x = x + self.attn(self.ln1(x), attention_mask, cache)
        return x + self.mlp(self.ln2(x) * (1 if gain is None else gain[..., None]))


class Gains(Transformer):
    """Gives its blocks a factor that differs by position, always or for padded inputs alone."""

    always = True

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        mask = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
        gain = torch.linspace(0.5, 2, tokens.shape[1], dtype=torch.float64).expand(tokens.shape)
        x, allowed = self.embed(tokens) + self.pos_embed(mask.cumsum(-1) - 1), self._allowed(mask)
        for block in self.blocks:
            x = block(x, attention_mask=allowed, gain=gain if self.always or not bool(mask.all()) else None)
        return self.unembed(self.ln_final(x))


class Unpadded(Gains):
    always = False


def other(kind: type[Transformer], block: type[Block], **changes: object) -> nn.Module:
    """The reference network with another forward pass and other blocks."""
    config = reference(**changes).config

    def make() -> nn.Module:
        net = kind(config)
        net.blocks = nn.ModuleList(block(config) for _ in range(config.n_layers))
        return net

    return seeded(make).to(torch.float64)


def agrees(model: cm.Model, inputs: Any = TOKENS) -> bool:
    """Whether runs from a recording of the network are those that it gives; not with numbers, but by assertion."""
    recording, whole = (model.record(inputs, at="last", resume=resume) for resume in (True, False))
    close(recording.logits, whole.logits)
    layers = range(model.adapter.shape.n_layers)
    edits = [{site.resid_post(i, at=at): 0.3} for i in layers for at in (1, "last")] + [{site.z(layers[-1], 1): 0.5}]
    for number, logits in recording.sweep(edits):
        close(logits, whole.run(edits[number]).logits, edits[number])
    return recording.tape is not None


def test_blocks_that_are_given_what_is_not_known_are_run_whole() -> None:
    model = cm.load_model(other(Gains, Gained))
    assert not agrees(model)
    shown = str(model.record(TOKENS).plan({site.z(1): 0.0}))
    assert "a whole run: " in shown and "its blocks are called with gain, a Tensor of which it is not known" in shown
    assert "called with gain" in str(cm.plan(model, TOKENS, edits={site.z(1): 0.0}))


def test_inputs_that_cannot_be_resumed_hold_no_others_back() -> None:
    model = cm.load_model(other(Unpadded, Gained))
    padded = Inputs.of(TOKENS, torch.tensor([[1, 1, 1, 0, 0], [1] * 5, [1] * 5]).bool())
    assert agrees(model)
    assert not agrees(model, padded)
    assert "called with gain" in str(model.record(padded).plan({site.z(1): 0.0}))
    assert agrees(model)


CALLS = [0]


class Counted(Block):
    """A block that computes what depends on how many blocks were called before it."""

    first = False

    def forward(self, x: Tensor, attention_mask: Tensor, cache: Any = None) -> Tensor:
        CALLS[0] = 0 if self.first else CALLS[0] + 1
        x = x + self.attn(self.ln1(x), attention_mask, cache)
        return x + self.mlp(self.ln2(x) * (1 + 0.1 * CALLS[0]))


class Counts(Transformer):
    """Counts its blocks' calls from the start of each forward pass."""

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        CALLS[0] = 0
        return super().forward(tokens, mask)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_a_replay_that_is_wrong_is_found_out(n_layers: int) -> None:
    model = cm.load_model(other(Counts, Counted, n_layers=n_layers))
    assert not agrees(model)
    assert "does not give the same numbers" in str(model.record(TOKENS).plan({site.z(0): 0.0}))


def test_a_replay_that_is_wrong_from_the_middle_on_is_found_out() -> None:
    net = other(Transformer, Counted)
    net.blocks[0].first = True  # so that runs from the first block on are right
    assert not agrees(cm.load_model(net))


@pytest.mark.parametrize("recorded_before", [False, True])
def test_blocks_that_are_wrapped_are_run_whole(recorded_before: bool) -> None:
    net = gpt2().eval()
    model = cm.load_model(net)
    assert not recorded_before or agrees(model)
    with memory_for(net.transformer.h[1], 99):
        assert not agrees(model)
        assert "forward is wrapped" in str(model.record(TOKENS).plan({site.z(1): 0.0}))


class Placed(Block):
    """A block that counts positions from the first that it is given."""

    def forward(self, x: Tensor, attention_mask: Tensor, cache: Any = None) -> Tensor:
        x = x + self.attn(self.ln1(x), attention_mask, cache)
        return x + self.mlp(self.ln2(x) * (1 + torch.arange(x.shape[1])[:, None]))


def test_a_replay_that_is_wrong_in_the_first_block_alone_is_found_out() -> None:
    net = other(Transformer, Block)
    net.blocks[0].__class__ = Placed
    assert not agrees(cm.load_model(net))


def test_a_right_network_of_one_layer_is_resumed() -> None:
    assert agrees(cm.load_model(reference(n_layers=1))) and agrees(cm.load_model(other(Transformer, Block)))


def doubled(_: nn.Module, args: Any, out: Any) -> Any:
    return 2 * out if isinstance(out, Tensor) else (2 * out[0], *out[1:])


def scaled(_: nn.Module, args: Any, out: Any) -> Any:
    out.logits = 2 * out.logits
    return out


def muted(_: nn.Module, args: Any, out: Any) -> Any:
    """Position 0 is set, wherever a replay begins."""
    x = out if isinstance(out, Tensor) else out[0]
    new = x.index_fill(1, torch.tensor([0]), 0.5)
    return new if isinstance(out, Tensor) else (new, *out[1:])


@pytest.mark.parametrize(
    ("part", "hook"),
    [
        ("transformer.h.1", doubled),
        ("", scaled),
        ("transformer.h.0", muted),
        ("transformer.h.3.mlp", muted),
        ("transformer.ln_f", muted),
    ],
)
def test_the_users_own_hooks_act_and_stay(part: str, hook: Any) -> None:
    """A replay would pass over a hook on the whole network, and show others only some positions."""
    net = gpt2().eval()
    model = cm.load_model(net)
    assert agrees(model)
    edits = {site.z(1, 0, at=2): 0.5}
    before = model.record(TOKENS).run(edits).logits
    handle = net.get_submodule(part).register_forward_hook(hook)
    recording, wanted = model.record(TOKENS), model.run(TOKENS, edits=edits).logits
    assert float((wanted - before).abs().max()) > 1e-3
    close(recording.run(edits).logits, wanted)
    close(dict(recording.sweep([{}, edits]))[1], wanted)
    assert not agrees(model) and "hooks of the user's own" in str(recording.plan(edits))
    assert count_hooks(net) == 1
    handle.remove()
    assert agrees(model)


@pytest.mark.parametrize("change", ["hook", "weight"])
def test_a_recording_is_of_the_network_as_it_was(change: str) -> None:
    net = gpt2().eval()
    recording = cm.load_model(net).record(TOKENS)
    recording.run({site.z(1, 0): 0.5})
    if change == "hook":
        net.transformer.h[1].register_forward_hook(doubled)
    else:
        with torch.no_grad():
            net.transformer.h[1].mlp.c_proj.weight.mul_(2)
    for call in (lambda: recording.run({site.z(1, 0): 0.5}), lambda: list(recording.sweep([{site.z(1, 0): 0.5}]))):
        with pytest.raises(ModelError, match="record again"):
            call()
