"""What does a norm do to a change of its input, when the scale that it divides by stays that of a clean run?"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
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


class Pullback:
    """The transpose of the derivative of x -> norm(x) W[h], at ``x`` [n, pos, d_model], W [head, d_model, d_head].

    With n(x) = (x - mean x) / s and u = g W[h]^T times the norm's weight: (u - mean u - n mean(u n)) / s; "rms" leaves
    out the means of x and u.
    """

    def __init__(self, module: nn.Module, norm: Norm, x: Tensor) -> None:
        self.plain, self.centre = isinstance(module, nn.Identity), norm == "layer"
        self.scale = self.unit = self.weight = torch.empty(0)
        if not self.plain:
            wide = torch.promote_types(x.dtype, torch.float32)
            inner = _centred(x.detach().to(wide), self.centre)
            scale = (inner.square().mean(-1, keepdim=True) + _eps(module)).rsqrt()
            self.scale, self.unit = scale.to(x.dtype), (inner * scale).to(x.dtype)
            weight = _detached(module, "weight")
            weight = torch.ones_like(x[0, 0]) if weight is None else weight
            self.weight = 1 + weight if norm == "rms1p" else weight

    def __call__(
        self,
        g: Float[Tensor, "head n pos d_head"],
        weight: Float[Tensor, "head d_model d_head"],
        out: Float[Tensor, "head n pos d_model"],
    ) -> None:
        """Gradients ``out`` at what each head reads, from ``g`` at what it makes of that."""
        if self.plain:
            torch.bmm(g.flatten(1, 2), weight.transpose(1, 2), out=out.flatten(1, 2))
            return
        unit = self.unit.flatten(0, 1)
        for slope, back, u in zip((g * self.scale).flatten(1, 2), weight, out.flatten(1, 2), strict=True):
            torch.mm(slope, back.T, out=u)  # head by head: what is done next still finds it in the processor's cache
            u.mul_(self.weight)
            if self.centre:
                u.sub_(u.mean(-1, keepdim=True))
            u.addcmul_((u * unit).sum(-1, keepdim=True), unit, value=-1 / u.shape[-1])


def _centred(x: Tensor, centre: bool) -> Tensor:
    return x - x.mean(-1, keepdim=True) if centre else x


def _detached(module: nn.Module, name: str) -> Tensor | None:
    parameter: Any = getattr(module, name, None)
    return None if parameter is None else parameter.detach()


def _eps(module: Any) -> float:
    """The number that keeps the norm from dividing by zero; families call it differently."""
    found: Any = getattr(module, "variance_epsilon", None)
    return float(module.eps if found is None else found)
