"""What every network must obey under edits, whatever its family: the relations that a peer's user tests first."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import causalmi as cm
from causalmi import Inputs, site
from causalmi.errors import CausalmiError, ModelError
from tests.networks import Network, every_network, every_transformer


def last_state(model: cm.Model) -> site.Site:
    """The whole last hidden state: what the read-out alone computes from."""
    if hasattr(model.adapter, "shape"):
        return site.resid_post(model.adapter.shape.n_layers - 1)
    return site.module("layer2")


def middle(model: cm.Model, at: object = None) -> site.Site:
    return site.resid_post(1, at=at) if hasattr(model.adapter, "shape") else site.module("layer1")  # type: ignore[arg-type]


@every_network
def test_last_state_from_source_gives_the_source_output(network: Network) -> None:
    model = cm.load_model(network.make())
    base, source = network.draw(3, 1), network.draw(3, 2)
    there = model.run(source, read=[last_state(model)])
    edited = model.run(base, edits={last_state(model): there[last_state(model)]})
    assert torch.equal(edited.logits, there.logits)
    assert not torch.equal(edited.logits, model.run(base).logits)


@every_network
def test_self_interchange_is_the_clean_run_at_every_site(network: Network) -> None:
    model = cm.load_model(network.make())
    base = network.draw(3, 1)
    for place in model.sites():
        if place.kind == "module" and "." in str(place.path):
            continue
        clean = model.run(base, read=[place])
        read = [place] if place.kind == "pattern" else []  # the same attention function in both runs
        assert torch.equal(model.run(base, edits={place: clean[place]}, read=read).logits, clean.logits), place


@every_network
def test_foreign_hooks_fire_and_stay(network: Network) -> None:
    module = network.make()
    fired: list[str] = []
    inner = next(m for name, m in module.named_modules() if "." in name or (name and not list(m.children())))
    inner.register_forward_hook(lambda *_: fired.append("out"))
    inner.register_forward_pre_hook(lambda *_: fired.append("in"))
    model = cm.load_model(module)
    before = count_hooks(module)
    what = {"edits": {middle(model): 0.0}, "read": [last_state(model)]}
    model.run(network.draw(2, 0), **what)  # sites by module path prove themselves on the first run
    fired.clear()
    model.run(network.draw(2, 0), **what)
    assert fired == ["in", "out"]
    assert count_hooks(module) == before == 2


@every_network
def test_nothing_stays_when_the_network_raises(network: Network) -> None:
    module = network.make()
    model = cm.load_model(module)
    model.run(network.draw(2, 0), edits={middle(model): 0.0})
    module.train()
    weights = {name: w.clone() for name, w in module.state_dict().items()}
    last = list(module.modules())[-1]
    bomb = last.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("bomb")))
    with pytest.raises(RuntimeError, match="bomb"):
        model.run(network.draw(2, 0), edits={middle(model): 0.0})
    bomb.remove()
    assert count_hooks(module) == 0
    assert all(part.training for part in module.modules())
    assert all(torch.equal(w, weights[name]) for name, w in module.state_dict().items())


@every_network
def test_the_users_tensors_are_untouched(network: Network) -> None:
    model = cm.load_model(network.make())
    base, source = network.draw(3, 1), network.draw(3, 2)
    value = model.run(source, read=[middle(model)])[middle(model)]
    copies = [x.clone() for x in (base, source, value)]
    got = model.run(base, edits={middle(model): value}, read=[last_state(model), middle(model)])
    got[middle(model)].zero_()
    assert all(torch.equal(a, b) for a, b in zip((base, source, value), copies, strict=True))


@every_network
@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 6), batch_size=st.integers(1, 7), seed=st.integers(0, 99))
def test_a_batch_is_its_rows_in_any_order(network: Network, n: int, batch_size: int, seed: int) -> None:
    model = MODELS.setdefault(network.name, cm.load_model(network.make()))
    base, source = network.draw(n, seed), network.draw(n, seed + 1)
    place = middle(model)
    value = model.run(source, read=[place])[place]
    whole = model.run(base, edits={place: value}, batch_size=n).logits
    rows = [model.run(base[i : i + 1], edits={place: value[i : i + 1]}).logits for i in range(n)]
    torch.testing.assert_close(whole, torch.cat(rows), rtol=1e-12, atol=1e-12)
    split = model.run(base, edits={place: value}, batch_size=batch_size).logits
    torch.testing.assert_close(whole, split, rtol=1e-12, atol=1e-12)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    permuted = model.run(base[order], edits={place: value[order]}).logits
    torch.testing.assert_close(whole[order], permuted, rtol=1e-12, atol=1e-12)


MODELS: dict[str, cm.Model] = {}


@every_transformer
@pytest.mark.parametrize(
    ("place", "says"),
    [
        (site.resid_post(9), "no layer 9"),
        (site.resid_post(1, at=5), "5"),
        (site.resid_post(1, at=-6), "-6"),
        (site.resid_post(1, at="verb"), "verb"),
        (site.resid_post(1, neurons=[99]), "neuron 99"),
        (site.z(1, 4), "no head 4"),
        (site.module("nowhere"), "no submodule 'nowhere'"),
    ],
    ids=str,
)
def test_what_is_out_of_range_is_refused_before_any_pass(network: Network, place: site.Site, says: str) -> None:
    model = cm.load_model(network.make())
    passes: list[int] = []
    handle = model.module.register_forward_pre_hook(lambda *_: passes.append(1))
    with pytest.raises(CausalmiError, match=says):
        model.run(network.draw(2, 0), read=[place])
    with pytest.raises(CausalmiError, match=says):
        model.run(network.draw(2, 0), edits={place: 0.0})
    handle.remove()
    assert passes == []


@every_transformer
def test_padding_on_either_side_changes_nothing(network: Network) -> None:
    model = cm.load_model(network.make())
    short, long = network.draw(1, 1)[:, :3], network.draw(1, 2)
    noise = network.draw(1, 3)[:, :2]
    right = (torch.cat([torch.cat([short, noise], 1), long]), torch.tensor([[1, 1, 1, 0, 0], [1] * 5]).bool())
    left = (torch.cat([torch.cat([noise, short], 1), long]), torch.tensor([[0, 0, 1, 1, 1], [1] * 5]).bool())
    place = site.resid_post(1, at="last")
    alone = model.run(short, read=[place], edits={site.attn_out(0, at=1): 0.5})
    for values, mask in (right, left):
        padded = model.run(Inputs.of(values, mask), read=[place], edits={site.attn_out(0, at=1): 0.5})
        torch.testing.assert_close(padded[place][:1], alone[place], rtol=1e-10, atol=1e-10)


class Twice(nn.Module):
    """A network that calls one submodule twice, and never another."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.unused = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(self.shared(x))


def test_a_site_that_does_not_fire_once_is_refused() -> None:
    model = cm.load_model(Twice())
    with pytest.raises(ModelError, match="2 times"):
        model.run(torch.zeros(2, 6), read=[site.module("shared")])
    with pytest.raises(CausalmiError, match="never called"):
        model.run(torch.zeros(2, 6), read=[site.module("unused")])


def count_hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())
