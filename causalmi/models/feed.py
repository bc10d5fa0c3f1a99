"""What does each kind of network take, and how is it called? Token ids or images, Hugging Face or our own."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from causalmi.errors import DataError
from causalmi.models.shape import Shape
from causalmi.models.transformer import Transformer
from causalmi.rng import torch_stream


class Feed(ABC):
    """How one network is given its inputs."""

    def __init__(self, module: nn.Module, name: str):
        self.module: Any = module
        self.name = name

    @abstractmethod
    def check(self, values: Tensor) -> None:
        """Raise DataError for inputs that the network cannot take."""

    @abstractmethod
    def call(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """The network's logits; ``mask``, bool [batch, pos], is True for real tokens."""

    @abstractmethod
    def example(self) -> Tensor:
        """Two small inputs on which the network can be tried."""


class Tokens(Feed):
    """Token ids, int64 [batch, pos]. ``reads_first``: the logits are those of the first position, padding or not."""

    def __init__(self, module: nn.Module, name: str, shape: Shape, *, reads_first: bool = False):
        super().__init__(module, name)
        self.shape, self.reads_first = shape, reads_first

    def check(self, values: Tensor) -> None:
        s = self.shape
        if values.is_floating_point() or values.ndim != 2:
            raise DataError(
                f"{self.name} takes token ids, whole numbers [batch, pos]; given {values.dtype} {values.shape}"
            )
        if values.shape[1] > s.n_ctx:
            raise DataError(f"the examples have {values.shape[1]} positions, {self.name} takes at most {s.n_ctx}")
        if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < s.d_vocab:
            raise DataError(f"a token id is outside 0 to {s.d_vocab - 1}, the vocabulary of {self.name}")

    def call(self, values: Tensor, mask: Tensor | None) -> Tensor:
        if isinstance(self.module, Transformer):
            return self.module(values, mask)  # type: ignore[no-any-return]
        mask = torch.ones_like(values, dtype=torch.bool) if mask is None else mask
        if self.reads_first and not bool(mask[:, 0].all()):
            raise DataError(f"{self.name} classifies by the first position, so it must be real; pad on the right")
        positions = (mask.long().cumsum(-1) - 1).clamp(min=0)  # padding on the left must not shift the positions
        out = self.module(input_ids=values, attention_mask=mask.long(), position_ids=positions, use_cache=False)
        return out.logits  # type: ignore[no-any-return]

    def example(self) -> Tensor:
        size = (2, min(self.shape.n_ctx, 5))
        return torch.randint(self.shape.d_vocab, size, generator=torch_stream(0, "example"))


class Pixels(Feed):
    """Images, float [batch, channels, height, width]."""

    def check(self, values: Tensor) -> None:
        wanted = self._size()
        if not values.is_floating_point() or tuple(values.shape[1:]) != wanted:
            given = f"{values.dtype} {list(values.shape)}"
            raise DataError(f"{self.name} takes images, floats [batch, {', '.join(map(str, wanted))}]; given {given}")

    def call(self, values: Tensor, mask: Tensor | None) -> Tensor:
        return self.module(pixel_values=values).logits  # type: ignore[no-any-return]

    def example(self) -> Tensor:
        return torch.randn((2, *self._size()), generator=torch_stream(0, "example"))

    def _size(self) -> tuple[int, int, int]:
        side = self.module.config.image_size
        height, width = (side, side) if isinstance(side, int) else side
        return (self.module.config.num_channels, height, width)
