"""An adapter that does not fit its network is refused, with the check that failed; sound ones are taken."""

from dataclasses import replace

import pytest
import torch

import causalmi as cm
from causalmi.engine.model import Model
from causalmi.errors import ModelError
from causalmi.models import family
from causalmi.models.adapt import decoder
from causalmi.models.decoder import DecoderAdapter
from tests.networks import every_network, gpt2, llama, reference


@every_network
def test_sound_networks_are_taken(network) -> None:
    assert cm.load_model(network.make()).module.training


def wrong(module: torch.nn.Module, **paths: str) -> DecoderAdapter:
    right = decoder(module)
    assert right is not None
    return DecoderAdapter(module, replace(right.family, **paths), right.shape)


@pytest.mark.parametrize(
    ("make", "paths", "says"),
    [
        (gpt2, {"mlp_norm": "ln_1"}, "resid_mid|senders before"),
        (gpt2, {"mlp": "ln_2"}, "mlp_out|senders"),
        (llama, {"o": "mlp.down_proj"}, "self-check"),
        (llama, {"mlp_norm": "input_layernorm"}, "senders before|resid_mid"),
        (reference, {"mlp": "ln1"}, "senders"),
        (reference, {"v": "attn.k", "k": "attn.v"}, "times values"),
        (llama, {"v": "self_attn.k_proj", "k": "self_attn.v_proj"}, "times values"),
    ],
)
def test_a_table_with_a_wrong_path_is_refused(make, paths, says) -> None:
    with pytest.raises(ModelError, match=says):
        Model(wrong(make(), **paths))


def test_weights_that_are_not_finite_are_refused() -> None:
    net = llama()
    with torch.no_grad():
        net.model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match=r"model\.layers\.1\.mlp\.up_proj\.weight has NaN"):
        cm.load_model(net)


def test_unknown_families_are_refused_with_what_to_do() -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=8
    )
    net = GPTNeoXForCausalLM(config)
    with pytest.raises(ModelError, match="gpt_neox.*known families are gpt2, llama.*as_module"):
        cm.load_model(net)
    assert cm.load_model(net, as_module=True).sites()


def test_the_family_tables_name_real_parts() -> None:
    for make, table in ((gpt2, family.GPT2), (llama, family.LLAMA), (reference, family.REFERENCE)):
        net = make()
        block = net.get_submodule(table.blocks)[0]
        for path in (table.attention, table.q, table.k, table.v, table.o, table.mlp, table.mlp_norm, table.mlp_down):
            assert block.get_submodule(path) is not None


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
