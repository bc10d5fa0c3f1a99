"""Where do Gemma 2 and 3 keep their parts, whose attention and MLP are normed once more before they are added?"""

from dataclasses import replace

from causalmi.models.families.sequential import LLAMA

GEMMA3 = replace(
    LLAMA,
    name="Gemma 3",
    attn_out="post_attention_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    mlp_out="post_feedforward_layernorm",
    norm="rms1p",
    softcap="final_logit_softcapping",
    where={"use_bidirectional_attention": (False, None)},
)

GEMMA2 = replace(GEMMA3, name="Gemma 2", scores_capped="attn_logit_softcapping")
