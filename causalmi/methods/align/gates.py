"""How much of a feature is taken while that is being learned? Gates from parameters a, which harden at the end.

Sigmoid gates (De Cao et al. 2020, Davies et al. 2023), hard concrete ones (Louizos et al. 2018), which are exactly 0 or
1 already while they are learned, and a budget, whose gates sum to a given number.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from causalmi.methods.hard_concrete import kept, sampled

HALVINGS = 60  # of the interval in which the threshold of a budget lies


class Gate(ABC):
    """Gates in [0, 1] for parameters ``a`` [..., size], at temperature ``t``."""

    draws = False  # whether it takes random numbers

    @abstractmethod
    def soft(self, a: Float[Tensor, "points size"], t: float, draw: Tensor | None) -> Float[Tensor, "points size"]:
        """The gates that are trained; ``draw`` are uniform random numbers for those that take some."""

    @abstractmethod
    def cost(self, a: Float[Tensor, "points size"], t: float) -> Float[Tensor, " points"]:
        """The mean gate, which is penalised."""

    def hard(self, a: Float[Tensor, "points size"]) -> Bool[Tensor, "points size"]:
        """Which features are taken at the end: sigmoid(a) > 1/2."""
        return a > 0


class Sigmoid(Gate):
    """sigmoid(a / t)."""

    def soft(self, a: Tensor, t: float, draw: Tensor | None) -> Tensor:
        return torch.sigmoid(a / t)

    def cost(self, a: Tensor, t: float) -> Tensor:
        return torch.sigmoid(a / t).mean(-1)


class HardConcrete(Gate):
    """A stretched and cut concrete variable of log_alpha = a; its cost is the mean probability of not being 0."""

    draws = True

    def soft(self, a: Tensor, t: float, draw: Tensor | None) -> Tensor:
        assert draw is not None
        return sampled(a, draw)

    def cost(self, a: Tensor, t: float) -> Tensor:
        return kept(a).mean(-1)


@dataclass(frozen=True, eq=False)
class Budget(Gate):
    """sigmoid((a - c) / t), with the threshold c at which they sum to ``features`` [points]; then the largest a."""

    features: Float[Tensor, " points"]

    def soft(self, a: Tensor, t: float, draw: Tensor | None) -> Tensor:
        threshold = self._threshold(a.detach(), t)
        near = torch.sigmoid((a - threshold) / t)
        slope = (near * (1 - near)).detach().sum(-1, keepdim=True).clamp(min=1e-12) / t
        over = near.sum(-1, keepdim=True) - self.features.to(a)[:, None]
        return torch.sigmoid((a - threshold - (over - over.detach()) / slope) / t)

    def _threshold(self, a: Tensor, t: float) -> Float[Tensor, "points 1"]:
        low, high = a.amin(-1, keepdim=True) - 40 * t, a.amax(-1, keepdim=True) + 40 * t
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            many = torch.sigmoid((a - middle) / t).sum(-1, keepdim=True) > self.features.to(a)[:, None]
            low, high = torch.where(many, middle, low), torch.where(many, high, middle)
        return (low + high) / 2

    def cost(self, a: Tensor, t: float) -> Tensor:
        return torch.zeros_like(a[:, 0])

    def hard(self, a: Tensor) -> Tensor:
        rank = a.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
        return rank < self.features.to(a)[:, None]
