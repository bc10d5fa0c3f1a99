"""Where does each family of transformers keep its parts? A table of module paths for each, and nothing else."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Module paths of a decoder: from the root for the first four, from one block for the others.

    ``q``, ``k``, ``v`` are the projections; the same path three times means one fused projection that gives queries,
    keys and values side by side. ``attention`` is the module that calls the attention function, ``pattern`` the module
    through which attention weights pass, where there is one.
    """

    name: str
    blocks: str
    embed: str
    final_norm: str
    unembed: str
    attention: str
    q: str
    k: str
    v: str
    o: str
    mlp: str
    mlp_norm: str
    mlp_down: str
    pattern: str | None = None


GPT2 = Family(
    name="GPT-2",
    blocks="transformer.h",
    embed="transformer.wte",
    final_norm="transformer.ln_f",
    unembed="lm_head",
    attention="attn",
    q="attn.c_attn",
    k="attn.c_attn",
    v="attn.c_attn",
    o="attn.c_proj",
    mlp="mlp",
    mlp_norm="ln_2",
    mlp_down="mlp.c_proj",
)

LLAMA = Family(
    name="Llama",
    blocks="model.layers",
    embed="model.embed_tokens",
    final_norm="model.norm",
    unembed="lm_head",
    attention="self_attn",
    q="self_attn.q_proj",
    k="self_attn.k_proj",
    v="self_attn.v_proj",
    o="self_attn.o_proj",
    mlp="mlp",
    mlp_norm="post_attention_layernorm",
    mlp_down="mlp.down_proj",
)

REFERENCE = Family(
    name="Transformer",
    blocks="blocks",
    embed="embed",
    final_norm="ln_final",
    unembed="unembed",
    attention="attn",
    q="attn.q",
    k="attn.k",
    v="attn.v",
    o="attn.o",
    mlp="mlp",
    mlp_norm="ln2",
    mlp_down="mlp.down",
    pattern="attn.pattern",
)

HUGGING_FACE = {"gpt2": GPT2, "llama": LLAMA}  # by the configuration's model_type
