"""Where do decoders keep their parts whose attention and MLP read the same stream?"""

from dataclasses import replace

from causalmi.models.family import Family

GPT_NEOX = Family(
    name="GPT-NeoX",
    blocks="gpt_neox.layers",
    embed="gpt_neox.embed_in",
    final_norm="gpt_neox.final_layer_norm",
    head=("lm_head",),
    attention="attention",
    attn_norm="input_layernorm",
    q="attention.query_key_value",
    k="attention.query_key_value",
    v="attention.query_key_value",
    o="attention.dense",
    attn_out="attention.dense",
    mlp_norm="post_attention_layernorm",
    mlp_down="mlp.dense_4h_to_h",
    mlp_out="mlp",
    fused="per head",
    rotary="halves",
    parallel=True,
    cache="layer_past",
    where={"use_parallel_residual": (True,)},
)

GPT_NEOX_SEQUENTIAL = replace(
    GPT_NEOX, name="GPT-NeoX, sequential", parallel=False, where={"use_parallel_residual": (False,)}
)

GPTJ = Family(
    name="GPT-J",
    blocks="transformer.h",
    embed="transformer.wte",
    final_norm="transformer.ln_f",
    head=("lm_head",),
    attention="attn",
    attn_norm="ln_1",
    q="attn.q_proj",
    k="attn.k_proj",
    v="attn.v_proj",
    o="attn.out_proj",
    attn_out="attn.out_proj",
    mlp_norm="ln_1",
    mlp_down="mlp.fc_out",
    mlp_out="mlp",
    rotary="pairs",
    parallel=True,
    cache="layer_past",
    pattern="attn.attn_dropout",  # it computes attention itself, and its weights pass through this
)

PHI = Family(
    name="Phi",
    blocks="model.layers",
    embed="model.embed_tokens",
    final_norm="model.final_layernorm",
    head=("lm_head",),
    attention="self_attn",
    attn_norm="input_layernorm",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    o="self_attn.dense",
    attn_out="self_attn.dense",
    mlp_norm="input_layernorm",
    mlp_down="mlp.fc2",
    mlp_out="mlp",
    qk_norm=("self_attn.q_layernorm", "self_attn.k_layernorm"),
    rotary="halves",
    parallel=True,
)
