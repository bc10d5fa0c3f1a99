"""Which adapter does a network need, and what are its sizes?"""

from typing import Any

from torch import nn

from causalmi.errors import ModelError
from causalmi.models.adapter import Adapter, ModuleAdapter
from causalmi.models.decoder import DecoderAdapter, Shape
from causalmi.models.family import HUGGING_FACE, REFERENCE
from causalmi.models.transformer import Transformer


def adapter_of(module: nn.Module, *, as_module: bool = False) -> Adapter:
    """The adapter of its family if ``module`` is a known decoder, else (or ``as_module``) one by module paths."""
    return (None if as_module else decoder(module)) or ModuleAdapter(module)


def decoder(module: nn.Module) -> DecoderAdapter | None:
    """The adapter of a `Transformer` or of a Hugging Face model of a known family; None for any other module.

    Raises ModelError for a Hugging Face model of a family that is not known.
    """
    if isinstance(module, Transformer):
        c = module.config
        shape = Shape(
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
        return DecoderAdapter(module, REFERENCE, shape)
    config: Any = getattr(module, "config", None)
    if not hasattr(config, "model_type"):
        return None
    family = HUGGING_FACE.get(config.model_type)
    if family is None or not hasattr(module, "lm_head"):
        known = ", ".join(HUGGING_FACE)
        raise ModelError(
            f"{type(module).__name__} (model_type {config.model_type!r}) is not a known decoder with a language-model "
            f"head; known families are {known}. Any network works by module path: load_model(model, as_module=True)"
        )
    return DecoderAdapter(module, family, _hugging_face_shape(module, config))


def _hugging_face_shape(module: Any, config: Any) -> Shape:
    heads = config.num_attention_heads
    return Shape(
        n_layers=config.num_hidden_layers,
        n_heads=heads,
        n_kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        d_head=getattr(config, "head_dim", None) or config.hidden_size // heads,
        d_model=config.hidden_size,
        d_vocab=config.vocab_size,
        d_out=module.lm_head.weight.shape[0],
        n_ctx=config.max_position_embeddings,
    )
