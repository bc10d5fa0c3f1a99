"""Every family's sites are where they are said to be: against the model's own records, and by what edits do."""

from functools import cache

import pytest
import torch
from torch import Tensor

import causalmi as cm
from causalmi import Inputs, site
from causalmi.errors import DataError
from tests import family_networks as families
from tests.networks import ENCODERS, FAMILIES, Network, draw_tokens, every_decoder, every_family

ALL = {network.name: network for network in (*FAMILIES, *ENCODERS)}
WITH_SDPA = [n for n in (*FAMILIES, *ENCODERS) if n.name not in ("gptj", "gemma2")]  # those two have eager alone
WINDOWS = {"mistral": (0, 1, 2), "gemma2": (0, 2), "gemma3": (0, 2)}  # the layers that see three positions


@cache
def load(name: str) -> cm.Model:
    return cm.load_model(ALL[name].make())


@every_family
def test_every_site_has_the_shape_that_the_glossary_says(network: Network) -> None:
    model, inputs = load(network.name), network.draw(3, 1)
    s, positions = model.adapter.shape, 5  # five tokens, or four patches and the class token
    head, kv_head = (3, positions, s.n_heads), (3, positions, s.n_kv_heads)
    shapes = {
        "q": (*head, s.d_head), "z": (*head, s.d_head), "k": (*kv_head, s.d_head), "v": (*kv_head, s.d_head),
        "pattern": (*head, positions), "head_out": (*head, s.d_model),
        "mlp_hidden": (3, positions, 20),
        "embed": (3, positions, 12 if network.name == "opt-350m" else s.d_model),
        "logits": (3, positions, 10) if model.adapter.readout_position is None else (3, s.d_out),
    }  # fmt: skip
    run = model.run(inputs, read=model.sites())
    for place in model.sites():
        assert run[place].shape == shapes.get(place.kind, (3, positions, s.d_model)), place


@every_family
def test_the_stream_is_what_the_model_itself_records(network: Network) -> None:
    model, inputs = load(network.name), network.draw(3, 2)
    layers = model.adapter.shape.n_layers
    name = "pixel_values" if model.adapter.family.pixels else "input_ids"
    recorded = model.module.eval()(**{name: inputs}, output_hidden_states=True).hidden_states
    run = model.run(inputs, read=[site.resid_pre(layer) for layer in range(layers)])
    for layer in range(layers):  # what transformers keeps last may be normed already
        torch.testing.assert_close(run[site.resid_pre(layer)], recorded[layer])


@every_family
def test_attention_weights_are_what_the_model_itself_records(network: Network) -> None:
    if network.name == "vit":
        pytest.skip("positions are no inputs")
    model, inputs = load(network.name), network.draw(3, 2)
    how = model.module.config._attn_implementation
    model.module.set_attn_implementation("eager")
    recorded = model.module.eval()(input_ids=inputs, output_attentions=True).attentions
    model.module.set_attn_implementation(how)
    run = model.run(inputs, read=[site.pattern(layer) for layer in range(len(recorded))])
    for layer, wanted in enumerate(recorded):  # [batch, head, query, key]
        pattern = run[site.pattern(layer)].transpose(1, 2)
        torch.testing.assert_close(pattern, wanted.to(pattern.dtype), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern[..., 0]), rtol=1e-6, atol=1e-6)
        width = 3 if layer in WINDOWS.get(network.name, ()) else 5
        seen = torch.ones(5, 5).tril().triu(1 - width) if model.adapter.causal else torch.ones(5, 5)
        assert torch.equal(pattern > 0, seen.bool().expand_as(pattern))


@every_family
def test_each_site_is_passed_on_as_it_is_and_matters(network: Network) -> None:
    model, inputs = load(network.name), network.draw(2, 3)
    for place in model.sites():
        clean = model.run(inputs, read=[place])
        open_as_well = [place] if place.kind == "pattern" else []
        same = model.run(inputs, edits={place: clean[place]}, read=open_as_well)
        assert torch.equal(same.logits, clean.logits), place
        other = model.run(inputs, edits={place: clean[place].flip(-1) + 0.1})
        assert not torch.allclose(other.logits, clean.logits), place


@every_family
def test_blocks_give_the_sum_of_what_their_parts_add(network: Network) -> None:
    model, inputs = load(network.name), network.draw(2, 4)
    if model.adapter.family.post_norm:
        pytest.skip("the stream is normed")
    for layer in range(model.adapter.shape.n_layers):
        parts = [kind(layer) for kind in (site.resid_pre, site.attn_out, site.mlp_out)]
        run = model.run(inputs, read=[*parts, site.resid_post(layer)])
        torch.testing.assert_close(sum(run[part] for part in parts), run[site.resid_post(layer)])
        without = model.run(inputs, edits={parts[1]: 0.0}, read=[parts[2], site.resid_post(layer)])
        torch.testing.assert_close(without[site.resid_post(layer)], run[parts[0]] + without[parts[2]])


@every_family
def test_a_position_sees_later_ones_only_in_an_encoder(network: Network) -> None:
    model = load(network.name)
    if model.adapter.family.pixels:
        pytest.skip("no tokens")
    base = network.draw(2, 5)
    other = base.clone()
    other[:, -1] = (base[:, -1] + 1) % 10
    last = site.resid_post(model.adapter.shape.n_layers - 1)
    a, b = (model.capture(x, last)[last][:, :-1] for x in (base, other))
    assert torch.allclose(a, b) is model.adapter.causal


@pytest.mark.parametrize("network", WITH_SDPA, ids=lambda n: n.name)
def test_both_attention_functions_give_the_same(network: Network) -> None:
    inputs, runs = network.draw(2, 6), []
    for attention in ("eager", "sdpa"):
        net = network.make()
        net.set_attn_implementation(attention)
        model = cm.load_model(net)
        assert model.module.config._attn_implementation == attention
        runs.append(model.run(inputs, read=model.sites()))
    for place in model.sites():  # eager attention takes its softmax in float32
        torch.testing.assert_close(runs[0][place], runs[1][place], rtol=1e-4, atol=1e-5)


def padded(network: Network) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """One short example alone, and beside a longer one with padding of noise on the right and on the left."""
    short, long, noise = network.draw(1, 1)[:, :3], network.draw(1, 2), network.draw(1, 3)[:, :2]
    right = (torch.cat([torch.cat([short, noise], 1), long]), torch.tensor([[1, 1, 1, 0, 0], [1] * 5]).bool())
    left = (torch.cat([torch.cat([noise, short], 1), long]), torch.tensor([[0, 0, 1, 1, 1], [1] * 5]).bool())
    return short, {"right": right, "left": left}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("network", [*FAMILIES, *ENCODERS[:2]], ids=lambda n: n.name)
def test_padding_changes_nothing_at_real_positions(network: Network, side: str) -> None:
    model = cm.load_model(families.gemma2(torch.float32, "eager")) if network.name == "gemma2" else load(network.name)
    close = dict(rtol=1e-4, atol=1e-4) if network.name == "gemma2" else dict(rtol=1e-9, atol=1e-9)  # see OFTEN
    short, sides = padded(network)
    places = [p for p in model.sites() if p.kind != "pattern"]
    alone = model.run(short, read=places)
    values, mask = sides[side]
    run = model.run(Inputs.of(values, mask), read=places)
    real = slice(0, 3) if side == "right" else slice(2, 5)
    for place in places:
        torch.testing.assert_close(run[place][:1, real], alone[place], **close)


def test_a_classifier_by_its_first_position_is_padded_on_the_right() -> None:
    model, (short, sides) = load("bert-classifier"), padded(ALL["bert-classifier"])
    torch.testing.assert_close(model.run(Inputs.of(*sides["right"])).logits[:1], model.run(short).logits)
    with pytest.raises(DataError, match="pad on the right"):
        model.run(Inputs.of(*sides["left"]))


@every_decoder
def test_the_tail_leads_from_the_last_block_to_the_logits(network: Network) -> None:
    model, inputs = load(network.name), network.draw(2, 7)
    last = site.resid_post(model.adapter.shape.n_layers - 1)
    other = model.run(inputs, read=[last])[last].flip(0) * 1.5
    torch.testing.assert_close(model.adapter.tail(other), model.run(inputs, edits={last: other}).logits)
    torch.testing.assert_close(model.adapter.tail(other[:, 1]), model.adapter.tail(other)[:, 1])


@every_decoder
def test_what_receivers_read_through_is_what_feeds_them(network: Network) -> None:
    model, inputs, a = load(network.name), draw_tokens(2, 8), load(network.name).adapter
    read = model.run(inputs, read=[site.resid_pre(1), site.resid_post(a.shape.n_layers - 1), site.final_norm()])
    norm = a.norm_of("q", 1)
    normed = norm(read[site.resid_pre(1)])
    projected = a.blocks[1].get_submodule(a.family.q)(normed)
    with_q = model.run(inputs, read=[site.q(1)])[site.q(1)]
    assert torch.isin(with_q.float().round(decimals=4), projected.float().round(decimals=4)).all()
    assert a.norm_of("k", 1) is norm and a.norm_of("v", 1) is norm
    assert (a.norm_of("mlp_in", 1) is norm) is a.family.one_norm
    final = a.norm_of("logits")(read[site.resid_post(a.shape.n_layers - 1)])
    torch.testing.assert_close(final, read[site.final_norm()])


@every_family
def test_an_untrained_network_is_of_the_same_family(network: Network) -> None:
    model = load(network.name)
    fresh = model.untrained(0)
    assert fresh.adapter.family == model.adapter.family
    assert fresh.adapter.shape == model.adapter.shape
    assert not torch.equal(fresh.run(network.draw(2, 0)).logits, model.run(network.draw(2, 0)).logits)
