"""What is a mask that is often exactly 0 or 1 and still has a derivative? A stretched and cut concrete variable.

Louizos et al. 2018.
"""

import math

import torch
from torch import Tensor

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1  # temperature, and the ends between which it is stretched
SHIFT = BETA * math.log(-GAMMA / ZETA)  # P(mask > 0) = sigmoid(log_alpha - SHIFT)


def sampled(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Masks in [0, 1]: s (zeta - gamma) + gamma, cut, with s = sigmoid((logit(uniform) + log_alpha) / beta)."""
    s = torch.sigmoid((torch.logit(uniform) + log_alpha) / BETA)
    return (s * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def kept(log_alpha: Tensor) -> Tensor:
    """P(mask > 0) = sigmoid(log_alpha - beta log(-gamma / zeta)).

    >>> float(kept(torch.tensor(SHIFT)))
    0.5
    """
    return torch.sigmoid(log_alpha - SHIFT)


def log_alpha_of(share: float) -> float:
    """The log_alpha with P(mask > 0) = share.

    >>> round(float(kept(torch.tensor(log_alpha_of(0.9)))), 6)
    0.9
    """
    return math.log(share / (1 - share)) + SHIFT


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers in (0, 1), both ends left out, float64."""
    draw = torch.rand(shape, generator=generator, dtype=torch.float64)
    tiny = torch.finfo(torch.float64).eps
    return draw.clamp(tiny, 1 - tiny)
