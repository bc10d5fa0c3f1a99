"""Where do decoders keep their parts whose blocks do attention first and then the MLP?"""

from dataclasses import replace

from causalmi.models.family import Family

GPT2 = Family(
    name="GPT-2",
    blocks="transformer.h",
    embed="transformer.wte",
    final_norm="transformer.ln_f",
    head=("lm_head",),
    attention="attn",
    attn_norm="ln_1",
    q="attn.c_attn",
    k="attn.c_attn",
    v="attn.c_attn",
    o="attn.c_proj",
    attn_out="attn.c_proj",
    mlp_norm="ln_2",
    mlp_down="mlp.c_proj",
    mlp_out="mlp",
    fused="side by side",
)

LLAMA = Family(
    name="Llama",
    blocks="model.layers",
    embed="model.embed_tokens",
    final_norm="model.norm",
    head=("lm_head",),
    attention="self_attn",
    attn_norm="input_layernorm",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    o="self_attn.o_proj",
    attn_out="self_attn.o_proj",
    mlp_norm="post_attention_layernorm",
    mlp_down="mlp.down_proj",
    mlp_out="mlp",
    norm="rms",
    rotary="halves",
)

OPT = Family(
    name="OPT",
    blocks="model.decoder.layers",
    embed="model.decoder.embed_tokens",
    final_norm="model.decoder.final_layer_norm",
    head=("model.decoder.project_out", "lm_head"),
    attention="self_attn",
    attn_norm="self_attn_layer_norm",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    o="self_attn.out_proj",
    attn_out="self_attn.out_proj",
    mlp_norm="final_layer_norm",
    mlp_down="fc2",
    mlp_out="fc2",
    mlp_steps=("fc1", "activation_fn", "fc2"),
    flat=True,
    where={"do_layer_norm_before": (True,), "_remove_final_layer_norm": (False, None)},
)

OPT_POST_NORM = replace(
    OPT, name="OPT-350m", final_norm=None, post_norm=True, mlp_in="fc1", where={"do_layer_norm_before": (False,)}
)

REFERENCE = Family(
    name="Transformer",
    blocks="blocks",
    embed="embed",
    final_norm="ln_final",
    head=("unembed",),
    attention="attn",
    attn_norm="ln1",
    q="attn.q",
    k="attn.k",
    v="attn.v",
    o="attn.o",
    attn_out="attn.o",
    mlp_norm="ln2",
    mlp_down="mlp.down",
    mlp_out="mlp",
    cache="cache",
    pattern="attn.pattern",
)
