"""How does a TransformerLens checkpoint become a reference `Transformer`, without TransformerLens?"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from causalmi.errors import ModelError
from causalmi.models.transformer import Transformer
from causalmi.models.transformer_config import TransformerConfig

# Fields that change the computation in a way the reference network does not have, with the values that do not.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "parallel_attn_mlp": (False,),
    "gated_mlp": (False,),
    "final_rms": (False,),
    "use_attn_scale": (True,),
    "attn_types": (None,),
    "use_local_attn": (False,),
    "num_experts": (None,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "post_embedding_ln": (False,),
    "use_normalization_before_and_after": (False,),
    "use_qk_norm": (False,),
    "attn_scores_soft_cap": (-1.0,),
    "output_logits_soft_cap": (-1.0,),
}
BUFFERS = re.compile(r"\.attn\.(mask|IGNORE|sin|cos)$|^(hook_|.*\.hook_)")
NAMES = (  # TransformerLens' name, ours
    (r"^embed\.W_E$", "embed.weight"),
    (r"^pos_embed\.W_pos$", "pos_embed.weight"),
    (r"^unembed\.W_U$", "unembed.weight"),
    (r"^unembed\.b_U$", "unembed.bias"),
    (r"^ln_final\.w$", "ln_final.weight"),
    (r"^ln_final\.b$", "ln_final.bias"),
    (r"\.(ln[12])\.w$", r".\1.weight"),
    (r"\.(ln[12])\.b$", r".\1.bias"),
    (r"\.mlp\.W_in$", ".mlp.up.weight"),
    (r"\.mlp\.b_in$", ".mlp.up.bias"),
    (r"\.mlp\.W_out$", ".mlp.down.weight"),
    (r"\.mlp\.b_out$", ".mlp.down.bias"),
)


def load_transformer_lens(config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> Transformer:
    """The `Transformer` that computes what a ``HookedTransformer`` of this config and state dict computes.

    ``config`` is ``HookedTransformerConfig.to_dict()``; per-head weights are W_Q [head, d_model, d_head] and so on.
    The network takes the weights' dtype. Raises ModelError, listing all that is wrong, for a config that the reference
    network cannot compute, for weights that are missing, unexpected or of another shape.
    """
    cfg = _config(config)
    weights = {ours: w for name, x in state_dict.items() if not BUFFERS.search(name) for ours, w in _convert(name, x)}
    net = Transformer(cfg)
    wanted = net.state_dict()
    biases = {name: torch.zeros_like(w) for name, w in wanted.items() if name.endswith("bias") and name not in weights}
    _check(wanted, weights | biases)
    dtype = next(iter(weights.values())).dtype
    net.to(dtype).load_state_dict({name: w.to(dtype) for name, w in (weights | biases).items()})
    return net.eval()


def _config(config: Mapping[str, Any]) -> TransformerConfig:
    problems = [
        f"{name}={config[name]!r}"
        for name, neutral in NEUTRAL.items()
        if name in config and config[name] not in neutral
    ]
    kv = config.get("n_key_value_heads")
    problems += [f"n_key_value_heads={kv}"] if kv not in (None, config.get("n_heads")) else []
    if problems:
        raise ModelError(
            f"the reference Transformer cannot compute {', '.join(problems)}; load the original with load_model"
        )
    known = {f.name for f in dataclasses.fields(TransformerConfig)} - {"readout_position"}
    open_ones = ("normalization_type", "positional_embedding_type")  # where None is a choice, not a default
    given = {n: x for n, x in config.items() if n in known and x != -1 and (x is not None or n in open_ones)}
    return TransformerConfig(**given)


def _convert(name: str, x: Tensor) -> list[tuple[str, Tensor]]:
    """Our name and layout of one weight: heads side by side, [out, in] as nn.Linear keeps it."""
    if match := re.search(r"\.attn\.([Wb])_([QKVO])$", name):
        kind, which = match.groups()
        prefix = f"{name[: match.start()]}.attn.{which.lower()}"
        if kind == "b":
            return [(f"{prefix}.bias", x.flatten())]
        matrix = x.flatten(0, 1).T if which == "O" else x.transpose(1, 2).flatten(0, 1)
        return [(f"{prefix}.weight", matrix.contiguous())]
    for pattern, ours in NAMES:
        if re.search(pattern, name):
            matrix = x.T.contiguous() if name.endswith(("W_U", "W_in", "W_out")) else x
            return [(re.sub(pattern, ours, name), matrix)]
    return [(name, x)]


def _check(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    problems = [f"{n} is missing" for n in wanted if n not in given]
    problems += [f"{n} is unexpected" for n in given if n not in wanted]
    for name in wanted.keys() & given.keys():
        if wanted[name].shape != given[name].shape:
            problems.append(f"{name} has shape {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}")
    if problems:
        raise ModelError(f"the weights do not fit the config: {'; '.join(sorted(problems)[:8])}")
