"""Where do the numbers of a site pass in the tree of modules, and how are they seen as [batch, pos, (head,) width]?"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from causalmi.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Tap(ABC):
    """A place where a hook can read and write the numbers of one kind of site.

    ``end`` says which side of ``module`` they pass. ``heads`` and ``width`` are the sizes of the head axis (None: it
    has none) and of the last axis (None: known only once the network has run). ``positions`` is False where axis 1
    does not run over the input's positions.
    """

    module: nn.Module
    end: Literal["input", "output"]
    heads: int | None = None
    width: int | None = None
    positions: bool = True
    needs_pattern: bool = False  # the attention weights must be computed in the open

    @abstractmethod
    def read(self, inputs: Tensor | None, output: Any) -> Tensor:
        """The numbers, [batch, pos, (head,) width], out of the module's first input and its output."""

    @abstractmethod
    def write(self, inputs: Tensor | None, output: Any, value: Tensor) -> Any:
        """What takes the place of the input (end "input") or the output, so that the numbers become ``value``."""


@dataclass(frozen=True)
class Share:
    """Part ``part`` of the ``of`` equal parts that each head has in a fused projection's output."""

    part: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Direct(Tap):
    """The numbers are a tensor that passes, or some columns of it.

    ``in_place`` overwrites the tensor itself, for a stream that the block goes on to use under another name. ``lead``
    gives (batch, pos) where the tensor has both as one axis.
    """

    columns: slice | Share | None = None
    head_first: bool = False  # laid out [batch, head, pos, width]
    in_place: bool = False
    lead: Callable[[], tuple[int, int]] | None = None

    def read(self, inputs: Tensor | None, output: Any) -> Tensor:
        return self._view(self._raw(inputs, output))

    def write(self, inputs: Tensor | None, output: Any, value: Tensor) -> Any:
        raw = self._raw(inputs, output)
        whole = raw if self.in_place else raw.clone()
        self._view(whole).copy_(value)
        if self.in_place:
            return None
        return whole if self.end == "input" else with_first(output, whole)

    def _raw(self, inputs: Tensor | None, output: Any) -> Tensor:
        raw = inputs if self.end == "input" else first(output)
        assert raw is not None
        return raw

    def _view(self, raw: Tensor) -> Tensor:
        """The numbers as a view of ``raw``, [batch, pos, (head,) width]."""
        raw = raw if self.lead is None else raw.unflatten(0, self.lead())
        if self.head_first:
            return raw.transpose(1, 2)
        if isinstance(self.columns, Share):
            shares: Tensor = raw.unflatten(-1, (self.heads or 1, self.columns.of, -1))
            return shares[..., self.columns.part, :]
        raw = raw if self.columns is None else raw[..., self.columns]
        return raw if self.heads is None else raw.unflatten(-1, (self.heads, -1))


@dataclass(frozen=True, kw_only=True)
class Contribution(Tap):
    """What each head adds to the residual stream: z_h W_O[h], read off the output projection.

    A write adds the difference to the projection's output, since the contributions are only ever there as their sum.
    """

    weight: Float[Tensor, "head d_head d_model"]

    def read(self, inputs: Tensor | None, output: Any) -> Tensor:
        assert inputs is not None
        z = inputs.unflatten(-1, (self.heads or 1, -1)).transpose(-3, -2)  # [batch, head, pos, d_head]
        out: Tensor = z @ self.weight
        return out.transpose(-3, -2)  # [batch, pos, head, d_model]

    def write(self, inputs: Tensor | None, output: Any, value: Tensor) -> Any:
        return with_first(output, first(output) + (value - self.read(inputs, output)).sum(-2))


def first(output: Any) -> Tensor:
    """The tensor that a module gives, alone, first in a tuple, or as the logits of a model's output."""
    if isinstance(output, Tensor):
        return output
    value = getattr(output, "logits", None)
    parts = output if isinstance(output, list | tuple) else ()
    found: Any = value if value is not None else parts[0] if parts else None
    if found is None:
        raise ModelError(f"a module gives a {type(output).__name__}; a tensor, a tuple or a model output can be read")
    return found if isinstance(found, Tensor) else first(found)


def with_first(output: Any, new: Tensor) -> Any:
    """``output`` with :func:`first` of it replaced, its structure kept."""
    if isinstance(output, Tensor):
        return new
    if getattr(output, "logits", None) is not None:
        output["logits"] = new
        return output
    rest = (new if isinstance(output[0], Tensor) else with_first(output[0], new), *output[1:])
    return type(output)(*rest) if hasattr(output, "_fields") else type(output)(rest)
