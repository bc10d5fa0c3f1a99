"""How far does ablating some senders move what a receiver reads? Senders of one kind: weighted sums, and products."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

Classes = Int[Tensor, "b pos"] | None


class Senders(ABC):
    """What ablating each of ``count`` senders would add to the stream."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many senders."""

    @abstractmethod
    def mix(self, weight: Float[Tensor, "class r s"], classes: Classes) -> Float[Tensor, "r b pos d_model"]:
        """sum_s weight[class, r, s] change_s for each receiver r."""

    @abstractmethod
    def dot(self, slopes: Float[Tensor, "r b pos d_model"], classes: Classes, k: int, n: int) -> Tensor:
        """sum_pos,d change_s slope_r over the positions of each of ``k`` classes, of the first ``n``: [b, k, r, n]."""

    @abstractmethod
    def at(self, rows: Tensor, at: Tensor) -> "Senders":
        """The same at one position of each example."""


@dataclass(frozen=True, eq=False)
class Whole(Senders):
    """Senders with a vector each: heads, whole MLPs, inputs."""

    change: Float[Tensor, "s b pos d_model"]

    @property
    def count(self) -> int:
        """How many senders."""
        return len(self.change)

    def mix(self, weight: Float[Tensor, "class r s"], classes: Classes) -> Float[Tensor, "r b pos d_model"]:
        """One matrix product; with classes one for each example and position."""
        if classes is None:
            return (weight[0] @ self.change.flatten(1)).view(-1, *self.change.shape[1:])
        return torch.einsum("bprs,sbpd->rbpd", weight[classes], self.change)

    def dot(self, slopes: Float[Tensor, "r b pos d_model"], classes: Classes, k: int, n: int) -> Tensor:
        """A matrix product for each example and position."""
        each = torch.einsum("rbpd,sbpd->bprs", slopes, self.change[:n])
        return _by_class(each, classes, k)

    def at(self, rows: Tensor, at: Tensor) -> "Whole":
        """[s, b, 1, d_model]."""
        return Whole(self.change[:, rows, at][:, :, None])


@dataclass(frozen=True, eq=False)
class Neurons(Senders):
    """The neurons of one MLP: a number each, times a direction."""

    change: Float[Tensor, "b pos s"]
    down: Float[Tensor, "s d_model"]

    @property
    def count(self) -> int:
        """How many neurons."""
        return len(self.down)

    def mix(self, weight: Float[Tensor, "class r s"], classes: Classes) -> Float[Tensor, "r b pos d_model"]:
        """The neurons' weighted numbers, then their directions."""
        if classes is None:
            return (weight[0][:, None, None] * self.change) @ self.down
        return (weight[classes].movedim(2, 0) * self.change) @ self.down

    def dot(self, slopes: Float[Tensor, "r b pos d_model"], classes: Classes, k: int, n: int) -> Tensor:
        """The gradients along each direction, times the numbers."""
        each = torch.stack([(slope @ self.down[:n].T) * self.change[..., :n] for slope in slopes], dim=2)
        return _by_class(each, classes, k)

    def at(self, rows: Tensor, at: Tensor) -> "Neurons":
        """[b, 1, s]."""
        return Neurons(self.change[rows, at][:, None], self.down)


def _by_class(each: Float[Tensor, "b pos r s"], classes: Classes, k: int) -> Float[Tensor, "b k r s"]:
    """Sums over the positions of each class."""
    if classes is None:
        return each.sum(1, keepdim=True)
    return torch.einsum("bprs,bpk->bkrs", each, one_hot(classes, k).to(each))
