"""Which adapter does a network need? Its own family's if there is one, else one by module paths."""

from typing import Any

from torch import nn

from causalmi.errors import ModelError
from causalmi.models import shape
from causalmi.models.adapter import Adapter, ModuleAdapter
from causalmi.models.decoder import DecoderAdapter
from causalmi.models.families import HUGGING_FACE, REFERENCE
from causalmi.models.family import Family
from causalmi.models.transformer import Transformer

INSTEAD = "Any network works by module path: load_model(model, as_module=True)"


def adapter_of(module: nn.Module, *, as_module: bool = False) -> Adapter:
    """The adapter of its family if ``module`` is a known transformer, else (or ``as_module``) one by module paths."""
    return (None if as_module else decoder(module)) or ModuleAdapter(module)


def decoder(module: nn.Module) -> DecoderAdapter | None:
    """The adapter of a `Transformer` or of a Hugging Face model of a known family; None for any other module.

    Raises ModelError for a Hugging Face model whose family, head or configuration is not known.
    """
    if isinstance(module, Transformer):
        return DecoderAdapter(module, REFERENCE, shape.reference(module.config))
    config: Any = getattr(module, "config", None)
    if not hasattr(config, "model_type"):
        return None
    family = _family(module, config)
    if problem := _scores(family, config):
        raise ModelError(f"{type(module).__name__}: {problem}")
    return DecoderAdapter(module, family, shape.hugging_face(module, family))


def _family(module: nn.Module, config: Any) -> Family:
    """The first table whose parts are there and whose configuration holds."""
    what = f"{type(module).__name__} (model_type {config.model_type!r})"
    with_parts = [f for f in HUGGING_FACE.get(config.model_type, ()) if _has_parts(module, f)]
    if not with_parts:
        known = ", ".join(HUGGING_FACE)
        raise ModelError(f"{what} is of no known family and head; known families are {known}. {INSTEAD}")
    unlike = [_unlike(f, config) for f in with_parts]
    for family, problem in zip(with_parts, unlike, strict=True):
        if not problem:
            return family
    raise ModelError(f"{what} has {unlike[0]}, which is not known. {INSTEAD}")


def _has_parts(module: nn.Module, family: Family) -> bool:
    paths = {path for path, _ in module.named_modules()}
    return {family.blocks, family.embed, family.head[-1]} <= paths


def _unlike(family: Family, config: Any) -> str:
    """What of the configuration the family's table does not hold for."""
    given = {name: getattr(config, name, allowed[0]) for name, allowed in family.where.items()}
    return " and ".join(f"{name}={value}" for name, value in given.items() if value not in family.where[name])


def _scores(family: Family, config: Any) -> str | None:
    """Refuse attention that would leave out the bound on its scores: sdpa does, or raises, by version."""
    cap = getattr(config, family.scores_capped, None) if family.scores_capped else None
    if cap is None or config._attn_implementation != "sdpa":
        return None
    return "its attention scores are capped, which sdpa attention cannot do; load it with attn_implementation='eager'"
