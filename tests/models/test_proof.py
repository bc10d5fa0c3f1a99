"""An adapter that does not fit its network is refused, with the check that failed; sound ones are taken."""

from dataclasses import replace

import pytest
import torch

import causalmi as cm
from causalmi.engine.model import Model
from causalmi.errors import ModelError
from causalmi.models.adapt import decoder
from causalmi.models.decoder import DecoderAdapter
from tests import family_networks as families
from tests.networks import ENCODERS, FAMILIES, REFERENCES, every_network, gpt2, llama, reference


@every_network
def test_sound_networks_are_taken(network) -> None:
    assert cm.load_model(network.make()).module.training


def wrong(module: torch.nn.Module, **fields: object) -> DecoderAdapter:
    right = decoder(module)
    assert right is not None
    return DecoderAdapter(module, replace(right.family, **fields), right.shape)


def opt_350m() -> torch.nn.Module:
    return families.opt(do_layer_norm_before=False, word_embed_proj_dim=12)


WRONG = {
    "the MLP's norm is attention's": (gpt2, dict(mlp_norm="ln_1"), "resid_mid|senders before"),
    "the MLP is its norm": (gpt2, dict(mlp_out="ln_2"), "mlp_out|senders"),
    "o is in the MLP": (llama, dict(o="mlp.down_proj"), "self-check"),
    "llama: the MLP's norm is attention's": (llama, dict(mlp_norm="input_layernorm"), "senders before|resid_mid"),
    "reference: the MLP is a norm": (reference, dict(mlp_out="ln1"), "senders"),
    "values are keys": (reference, dict(v="attn.k", k="attn.v"), "times values"),
    "llama: values are keys": (llama, dict(v="self_attn.k_proj", k="self_attn.v_proj"), "times values"),
    "queries are keys": (reference, dict(q="attn.k", k="attn.q"), "with queries edited"),
    "opt: queries are keys": (families.opt, dict(q="self_attn.k_proj", k="self_attn.q_proj"), "with queries edited"),
    "fused side by side": (families.gpt_neox, dict(fused="side by side"), "times values"),
    "fused per head": (families.gpt2, dict(fused="per head"), "times values"),
    "sequential": (families.gpt_neox, dict(parallel=False), "senders before"),
    "parallel": (families.llama, dict(parallel=True), "mlp_in"),
    "attn_out without the norm after it": (families.gemma3, dict(attn_out="self_attn.o_proj"), "senders"),
    "mlp_out without the norm after it": (families.gemma3, dict(mlp_out="mlp"), "all senders"),
    "attention's norm is the one after it": (
        families.gemma3,
        dict(attn_norm="post_attention_layernorm"),
        "projection of q",
    ),
    "norms without 1 +": (families.gemma3, dict(norm="rms"), "the norm of"),
    "norms with 1 +": (families.qwen3, dict(norm="rms1p"), "the norm of"),
    "norms without a mean": (families.phi, dict(norm="rms"), "the norm of"),
    "no bound on the logits": (families.gemma3, dict(softcap=None), "the last block and the logits"),
    "the final norm left out": (families.mistral, dict(final_norm="lm_head"), "self-check"),
    "a part of the head left out": (opt_350m, dict(head=("lm_head",)), "self-check"),
    "an encoder that looks back": (families.bert, dict(causal=True), "looks at later positions"),
    "BERT's norms swapped": (families.bert, dict(mlp_norm="attention.output.LayerNorm"), "resid_post"),
    "the class token is elsewhere": (families.vit, dict(readout=1), "the last block and the logits"),
}


@pytest.mark.parametrize(("make", "fields", "says"), WRONG.values(), ids=WRONG)
def test_a_table_with_a_wrong_entry_is_refused(make, fields, says) -> None:
    with pytest.raises(ModelError, match=says):
        Model(wrong(make(), **fields))


def test_weights_that_are_not_finite_are_refused() -> None:
    net = llama()
    with torch.no_grad():
        net.model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"model\.layers\.1\.mlp\.up_proj\.weight has NaN"):
        cm.load_model(net)


def test_the_tables_name_parts_that_are_there() -> None:
    for network in (*FAMILIES, *ENCODERS, *REFERENCES[:1]):
        adapter = decoder(network.make())
        assert adapter is not None
        f = adapter.family
        for path in (f.attention, f.attn_norm, f.q, f.k, f.v, f.o, f.attn_out, f.mlp_norm, f.mlp_down, f.mlp_out):
            assert adapter.blocks[0].get_submodule(path) is not None


@every_network
def test_untrained_networks_have_the_shape_and_not_the_weights(network) -> None:
    model = cm.load_model(network.make())
    state = torch.random.get_rng_state()
    a, b, c = model.untrained(0), model.untrained(0), model.untrained(1)
    assert torch.equal(torch.random.get_rng_state(), state)
    x = network.draw(2, 0)
    assert torch.equal(a.run(x).logits, b.run(x).logits)
    assert not torch.equal(a.run(x).logits, c.run(x).logits)
    assert a.run(x).logits.shape == model.run(x).logits.shape
    assert next(a.module.parameters()).dtype == torch.float64
