"""Runs from a recording give what whole runs with hooks give: every family, every site, any positions, padding, edits."""

import pytest
import torch
from torch import Tensor

import causalmi as cm
from causalmi import Inputs, site
from causalmi.spec.site import HEAD_KINDS, Site
from tests.networks import ENCODERS, FAMILIES, NETWORKS, Network

RESUMED = [*FAMILIES, *(n for n in NETWORKS if n.tokens and n.name not in {f.name for f in FAMILIES})]
every_resumed = pytest.mark.parametrize("network", RESUMED, ids=lambda n: n.name)
MASK = torch.tensor([[1] * 8, [0] * 2 + [1] * 6, [0] * 4 + [1] * 4]).bool()
WIDTH = {n.name: 8 if n.name == "classifier" else 1 for n in RESUMED}  # positions that an edit of the last one changes
MODELS: dict[str, cm.Model] = {}


@pytest.fixture(autouse=True)
def _softmax_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models take it in float32, to which the largest negative float64 is infinite, and padded rows are NaN."""
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim, dtype=None: softmax(x, dim, dtype=x.dtype))


def loaded(network: Network) -> cm.Model:
    return MODELS.setdefault(network.name, cm.load_model(network.make()))


def padded(network: Network, seed: int, side: str = "left") -> Inputs:
    tokens = torch.randint(0, 10, (3, 8), generator=torch.Generator().manual_seed(seed))
    return Inputs.of(tokens, MASK if side == "left" else MASK.flip(1))


def drawn(model: cm.Model, inputs: Inputs, place: Site, seed: int = 0) -> Tensor:
    """Random numbers for a site; attention weights only where a position may look."""
    like = model.run(inputs, read=[place])[place]
    value = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return value.abs() * like if place.kind == "pattern" else value


def variants(place: Site) -> list[Site]:
    """The site whole, at one position that differs by example, at two, and of one head."""
    if place.kind == "logits":
        return [place]
    found = [Site(place.kind, place.layer, None, at) for at in (None, -1, (1, -2))]
    return [*found, Site(place.kind, place.layer, 1, 1)] if place.kind in HEAD_KINDS else found


def real(logits: Tensor, inputs: Inputs) -> Tensor:
    return logits[inputs.mask] if logits.ndim == 3 and logits.shape[1] == inputs.mask.shape[1] else logits


def close(a: Tensor, b: Tensor, what: object = "") -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10, msg=lambda m: f"{what}: {m}")


@every_resumed
@pytest.mark.parametrize("side", ["left", "right"])
def test_every_site_at_ragged_positions_with_padding(network: Network, side: str) -> None:
    model, inputs = loaded(network), padded(network, 1, side)
    whole = model.record(inputs, resume=False)
    last = torch.arange(3), model.record(inputs, at="last").readout[:, 0]
    resumed = {at: model.record(inputs, at=at) for at in (None, "last")}
    assert resumed[None].tape is not None
    close(real(resumed[None].logits, inputs), real(whole.logits, inputs))
    for place in [v for s in model.sites() for v in variants(s)]:
        if place.kind == "logits" and model.adapter.readout_position is not None:
            continue
        value = drawn(model, inputs, place)
        wanted = whole.run({place: value}).logits
        at = None if place.at is None else "last"
        found = resumed[at].run({place: value}).logits
        if at is None or wanted.ndim == 2:
            close(real(found, inputs), real(wanted, inputs), place)
        else:
            close(found, wanted[last], place)


@every_resumed
def test_two_edits_and_reads(network: Network) -> None:
    model, inputs = loaded(network), padded(network, 2)
    resumed, whole = model.record(inputs, at="last"), model.record(inputs, at="last", resume=False)
    last = model.adapter.shape.n_layers - 1
    pairs = [
        (site.z(0, 1, at=-1), site.attn_out(last, at=1)),
        (site.resid_post(0, at=1), site.q(1, at=(1, 2))),
        (site.resid_pre(0, at=0), site.resid_post(last, at=-2)),
        (site.v(1, 0), site.attn_out(0, at=-1)),
        (site.embed(at=2), site.k(last, at=-1)),
    ]
    reads = [site.resid_post(0, at=-1), site.resid_post(last, at=-1), site.z(1, at=(0, -1)), site.resid_pre(1, at=2)]
    for number, pair in enumerate(pairs):
        edits = {place: drawn(model, inputs, place, seed=number) for place in pair}
        found, wanted = resumed.run(edits, reads), whole.run(edits, reads)
        close(found.logits, wanted.logits, pair)
        for place in reads:
            close(found[place], wanted[place], (pair, place))
        captured = resumed.capture(edits, reads)
        for place in reads:
            close(captured[place], wanted[place], (pair, place))


@every_resumed
@pytest.mark.parametrize("at", ["last", (1, -1), None])
def test_gradients_flow_through_the_replay(network: Network, at: object) -> None:
    model, inputs = loaded(network), padded(network, 3)
    places = [site.resid_post(0, at=1), site.z(1, 0, at=-2)]
    grads = []
    for resume in (True, False):
        values = [drawn(model, inputs, place).requires_grad_() for place in places]
        run = model.record(inputs, at=at, resume=resume).run(dict(zip(places, values, strict=True)))
        score = real(run.logits, inputs).log_softmax(-1).square().sum()
        grads.append(torch.autograd.grad(score, values))
    for a, b in zip(*grads, strict=True):
        close(a, b)
        assert float(b.abs().max()) > 0


@every_resumed
def test_a_sweep_is_its_runs(network: Network) -> None:
    model, inputs = loaded(network), padded(network, 4)
    places = [site.resid_post(layer, at=at) for layer in range(2) for at in (0, 1, -1)]
    places += [site.z(1, head) for head in range(2)] + [site.z(0, head, at=-1) for head in range(2)]
    edits = [{place: drawn(model, inputs, place, seed=i)} for i, place in enumerate(places)]
    whole = model.record(inputs, at="last", resume=False)
    found = dict(model.record(inputs, at="last").sweep(edits))
    assert sorted(found) == list(range(len(edits)))
    for number, each in enumerate(edits):
        close(found[number], whole.run(each).logits, places[number])


@every_resumed
def test_nothing_is_computed_before_the_edit(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = loaded(network), padded(network, 5)
    recording, place, counts = model.record(inputs, at="last"), site.resid_post(1, at=-1), {}
    value = drawn(model, inputs, place)
    for number, block in enumerate(model.adapter.blocks):

        def counted(hidden, *args, forward=block.forward, number=number, **kwargs):
            counts[number] = hidden.shape[1]
            return forward(hidden, *args, **kwargs)

        monkeypatch.setattr(block, "forward", counted)
    recording.run({place: value})
    assert counts == dict.fromkeys(range(2, model.adapter.shape.n_layers), WIDTH[network.name])


@pytest.mark.parametrize(
    "network", [*(n for n in ENCODERS if n.name != "opt-350m"), NETWORKS[-1]], ids=lambda n: n.name
)
def test_what_cannot_be_resumed_runs_whole_and_says_so(network: Network) -> None:
    model = cm.load_model(network.make())
    inputs = network.draw(2, 0)
    place = site.resid_post(0) if hasattr(model.adapter, "shape") else site.module("layer1")
    recording = model.record(inputs)
    value = drawn(model, inputs, place)
    assert "from a recording: a whole run" in str(cm.plan(model, inputs, edits={place: value}))
    assert torch.equal(recording.run({place: value}).logits, model.run(inputs, edits={place: value}).logits)


@pytest.mark.parametrize("network", RESUMED[:1], ids=lambda n: n.name)
def test_a_sweep_of_a_single_example(network: Network) -> None:
    model, inputs = loaded(network), padded(network, 6).rows(slice(1))
    edits = [{site.z(1, head): drawn(model, inputs, site.z(1, head), seed=head)} for head in range(3)]
    whole = model.record(inputs, at="last", resume=False)
    for number, logits in model.record(inputs, at="last").sweep(edits):
        close(logits, whole.run(edits[number]).logits, number)
