"""One small random network of each Hugging Face family, no weight of which is left at 0 or 1."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

SIZES = dict(
    hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=20, vocab_size=10,
    max_position_embeddings=16, bos_token_id=0, eos_token_id=0, pad_token_id=None, initializer_range=0.2,
)  # fmt: skip
GROUPED = dict(num_key_value_heads=2, head_dim=8)
WINDOWED = dict(layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"])
SMALL_GPT = dict(
    n_embd=24, n_layer=3, n_head=4, n_inner=20, n_positions=16, vocab_size=10, bos_token_id=0, eos_token_id=0,
    initializer_range=0.2, resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1,
)  # fmt: skip


def family(config: str, model: str, **fields: object) -> Callable[..., nn.Module]:
    """A function that makes the network; ``attention`` chooses how attention is computed, ``changes`` other fields."""

    def make(dtype: torch.dtype = torch.float64, attention: str | None = None, **changes: Any) -> nn.Module:
        import transformers

        full = getattr(transformers, config)(**{**fields, **changes}, attn_implementation=attention)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return perturbed(getattr(transformers, model)(full).to(dtype))

    return make


def perturbed(module: nn.Module, scale: float = 0.1) -> nn.Module:
    """The same module with noise on every parameter, so that no bias is 0 and no norm's weight 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(scale * noise.to(parameter.dtype))
    return module


gpt2 = family("GPT2Config", "GPT2LMHeadModel", **SMALL_GPT)
gptj = family("GPTJConfig", "GPTJForCausalLM", **SMALL_GPT, rotary_dim=4)
gpt_neox = family(
    "GPTNeoXConfig", "GPTNeoXForCausalLM", **{**SIZES, "hidden_size": 32},
    rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5),
)  # fmt: skip
opt = family(
    "OPTConfig", "OPTForCausalLM", **{k: v for k, v in SIZES.items() if k not in ("intermediate_size", "pad_token_id")},
    ffn_dim=20, word_embed_proj_dim=24, pad_token_id=1, init_std=0.2,
)  # fmt: skip
llama = family("LlamaConfig", "LlamaForCausalLM", **SIZES, **GROUPED, attention_bias=True, mlp_bias=True)
mistral = family("MistralConfig", "MistralForCausalLM", **SIZES, **GROUPED, sliding_window=3)
qwen2 = family("Qwen2Config", "Qwen2ForCausalLM", **SIZES, num_key_value_heads=2)
qwen3 = family("Qwen3Config", "Qwen3ForCausalLM", **SIZES, **GROUPED)
GEMMA = {**SIZES, **GROUPED, **WINDOWED, "num_hidden_layers": 4, "pad_token_id": 0}
gemma2 = family(
    "Gemma2Config", "Gemma2ForCausalLM", **GEMMA, sliding_window=3, query_pre_attn_scalar=5,
    attn_logit_softcapping=1.5, final_logit_softcapping=2.0,
)  # fmt: skip
gemma3 = family(
    "Gemma3TextConfig", "Gemma3ForCausalLM", **GEMMA, sliding_window=3, query_pre_attn_scalar=5,
    final_logit_softcapping=2.0,
)  # fmt: skip
phi = family("PhiConfig", "PhiForCausalLM", **{**SIZES, "hidden_size": 32}, num_key_value_heads=2)
bert = family("BertConfig", "BertForMaskedLM", **{**SIZES, "pad_token_id": 0})
bert_classifier = family("BertConfig", "BertForSequenceClassification", **{**SIZES, "pad_token_id": 0}, num_labels=3)
vit = family(
    "ViTConfig", "ViTForImageClassification", hidden_size=24, num_hidden_layers=3, num_attention_heads=4,
    intermediate_size=20, image_size=8, patch_size=4, num_channels=3, num_labels=5, initializer_range=0.2,
)  # fmt: skip


def draw_images(n: int, seed: int) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
