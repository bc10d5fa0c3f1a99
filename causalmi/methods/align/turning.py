"""How are directions learned that stay orthonormal? A step in all numbers, then the nearest place where they are.

A direction turns by about the same angle whatever its width: the step in each of its d numbers is angle / sqrt(d).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.rng import torch_stream


def drawn(width: int, size: int, names: Sequence[str], seeds: Sequence[int]) -> Float[Tensor, "points width size"]:
    """Random orthonormal columns, uniform, for each seed, float64; the first k columns do not depend on ``size``."""
    raw = torch.stack(
        [
            torch.stack([torch.randn(width, generator=torch_stream(seed, *names, str(i))) for i in range(size)], dim=1)
            for seed in seeds
        ]
    )
    return orthonormal(raw.double())


def orthonormal(raw: Float[Tensor, "points width size"]) -> Float[Tensor, "points width size"]:
    """The columns made orthonormal in their order (QR, signs kept); column i depends on the first i + 1 alone.

    One evaluation serves every use in a step. Gradients flow; at orthonormal columns they are those of the columns
    without the part that would only stretch or mix them.
    """
    q, r = torch.linalg.qr(raw)
    signs = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(raw)
    turned: Tensor = q * signs[..., None, :]
    return turned


def off_orthonormal(columns: Float[Tensor, "width size"]) -> float:
    """The largest entry of |R^T R - 1|."""
    return float((columns.T @ columns - torch.eye(columns.shape[1]).to(columns)).abs().max())


def step_of(angle: float, width: int) -> float:
    """The step in each number by which a direction of ``width`` numbers turns by about ``angle``, in radians."""
    return angle / math.sqrt(width)
