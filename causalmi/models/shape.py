"""How large are the parts of a transformer?"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from causalmi.models.family import Family
from causalmi.models.transformer_config import TransformerConfig


@dataclass(frozen=True)
class Shape:
    """The sizes of a transformer; ``n_kv_heads`` is smaller than ``n_heads`` under grouped-query attention.

    ``d_vocab`` and ``n_ctx`` are 0 for a network that takes images.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_model: int
    d_vocab: int
    d_out: int
    n_ctx: int
    has_mlp: bool = True


def reference(c: TransformerConfig) -> Shape:
    """The sizes of a `Transformer`."""
    return Shape(
        c.n_layers,
        c.n_heads,
        c.n_heads,
        c.d_head,
        c.d_model,
        c.d_vocab,
        c.d_vocab_out,
        c.n_ctx,
        has_mlp=not c.attn_only,
    )


def hugging_face(module: nn.Module, family: Family) -> Shape:
    """The sizes of a Hugging Face model, by the names that its family's configuration has for them."""
    config: Any = module.config
    unembed: Any = module.get_submodule(family.head[-1])
    heads = config.num_attention_heads
    return Shape(
        n_layers=config.num_hidden_layers,
        n_heads=heads,
        n_kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        d_head=getattr(config, "head_dim", None) or config.hidden_size // heads,
        d_model=config.hidden_size,
        d_vocab=0 if family.pixels else config.vocab_size,
        d_out=getattr(unembed, "out_features", config.hidden_size),
        n_ctx=0 if family.pixels else config.max_position_embeddings,
    )
