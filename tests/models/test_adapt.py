"""What is not known is refused, with what to do instead."""

import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.errors import CausalmiError, DataError, ModelError, SiteError
from causalmi.models.adapt import decoder
from tests import family_networks as families
from tests.networks import draw_tokens


def bloom() -> torch.nn.Module:
    from transformers import BloomConfig, BloomForCausalLM

    return BloomForCausalLM(BloomConfig(hidden_size=8, n_layer=1, n_head=2, vocab_size=8))


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"bloom.*known families are gpt2, gpt_neox.*as_module"):
        cm.load_model(bloom())
    assert cm.load_model(bloom(), as_module=True).sites()


def test_a_head_that_is_not_known_is_refused() -> None:
    from transformers import GPT2Config, GPT2Model

    net = GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=8, bos_token_id=0, eos_token_id=0))
    with pytest.raises(ModelError, match="GPT2Model.*of no known family and head.*as_module"):
        cm.load_model(net)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: families.gemma3(use_bidirectional_attention=True), "use_bidirectional_attention=True"),
        (lambda: families.opt(_remove_final_layer_norm=True), "_remove_final_layer_norm=True"),
    ],
)
def test_a_configuration_that_no_table_is_for_is_refused(make, says) -> None:
    with pytest.raises(ModelError, match=f"{says}, which is not known.*as_module"):
        cm.load_model(make())


def test_capped_scores_are_not_computed_by_a_function_without_the_cap() -> None:
    net = families.gemma2(attention="eager")
    net.config._attn_implementation = "sdpa"
    with pytest.raises(ModelError, match="attn_implementation='eager'"):
        cm.load_model(net)
    net.config.attn_logit_softcapping = None
    assert decoder(net) is not None


@pytest.mark.parametrize(
    ("make", "place", "says"),
    [
        (families.gpt_neox, site.resid_mid(0), "both read resid_pre"),
        (families.gptj, site.mlp_in(0), "one norm for attention and MLP"),
        (families.phi, site.resid_mid(1), "both read resid_pre"),
        (families.bert, site.final_norm(), "no norm after its last block"),
        (families.vit, site.pattern(0), "between patches"),
        (families.vit, site.resid_post(0, at=1), "leave out at="),
        (families.vit, site.z(0, 1, at="last"), "leave out at="),
        (families.phi, site.k(0, 2), "2 key-value heads"),
    ],
)
def test_a_site_that_a_family_lacks_is_refused_with_a_reason(make, place, says) -> None:
    model = cm.load_model(make())
    with pytest.raises(SiteError, match=says):
        model.run(model.adapter.example(), read=[place])


def test_where_the_stream_itself_is_normed_nothing_reads_through_a_norm() -> None:
    adapter = cm.load_model(families.bert()).adapter
    with pytest.raises(ModelError, match="norms the stream itself"):
        adapter.norm_of("q", 0)
    with pytest.raises(SiteError, match="no layer 9"):
        cm.load_model(families.llama()).adapter.norm_of("q", 9)


def test_an_image_is_no_text() -> None:
    model = cm.load_model(families.vit())
    with pytest.raises(DataError, match=r"images, floats \[batch, 3, 8, 8\]"):
        model.run(draw_tokens(2, 0))
    with pytest.raises(CausalmiError, match="images"):
        model.run(torch.zeros(2, 3, 4, 4))


def test_heads_on_both_sides_of_a_norm() -> None:
    assert decoder(families.llama()).family.heads_add
    assert not decoder(families.gemma3()).family.heads_add
    assert not decoder(families.bert()).family.heads_add
