"""What does a norm do to a change of its input, when the scale that it divides by stays that of a clean run?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from causalmi.models.family import Norm


def frozen(module: nn.Module, norm: Norm, clean: Tensor) -> Callable[[Tensor], Tensor]:
    """The norm as an affine map x -> y whose scale is that of ``clean``; at ``clean`` it is the norm itself.

    "layer": (x - mean x) / sqrt(var clean + eps) w + b. "rms": x / sqrt(mean clean² + eps) w. "rms1p": the same with
    1 + w. A module without a norm (``nn.Identity``) is the identity. Shapes [..., d_model]; gradients flow to x alone.
    """
    if isinstance(module, nn.Identity):
        return lambda x: x
    centre = norm == "layer"
    wide = torch.promote_types(clean.dtype, torch.float32)  # squares of half-precision streams overflow
    variance = _centred(clean.detach().to(wide), centre).square().mean(-1, keepdim=True)
    scale = (variance + _eps(module)).rsqrt()
    weight, bias = (_detached(module, name) for name in ("weight", "bias"))

    def apply(x: Tensor) -> Tensor:
        y = _centred(x.to(wide), centre) * scale
        if weight is not None:
            y = y * (1 + weight if norm == "rms1p" else weight)
        return (y if bias is None else y + bias).to(x.dtype)

    return apply


def _centred(x: Tensor, centre: bool) -> Tensor:
    return x - x.mean(-1, keepdim=True) if centre else x


def _detached(module: nn.Module, name: str) -> Tensor | None:
    parameter: Any = getattr(module, name, None)
    return None if parameter is None else parameter.detach()


def _eps(module: Any) -> float:
    """The number that keeps the norm from dividing by zero; families call it differently."""
    found: Any = getattr(module, "variance_epsilon", None)
    return float(module.eps if found is None else found)
