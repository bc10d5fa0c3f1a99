"""How are coordinates in a subspace read out of numbers, and put back? Vectors are the last axis of a tensor."""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.spec.basis import Basis


class Projection(Protocol):
    """``dims`` coordinates of vectors of ``width`` numbers."""

    @property
    def dims(self) -> int:
        """How many coordinates a vector has."""

    @property
    def learns(self) -> bool:
        """Whether gradients are wanted of runs with it."""
        return False

    def read(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... dims"]:
        """The coordinates of ``x``, in its precision."""

    def write(self, x: Float[Tensor, "... width"], coordinates: Float[Tensor, "... dims"]) -> Tensor:
        """``x`` with these coordinates and all else as it was, in its precision; a new tensor."""


@dataclass(frozen=True, eq=False)
class Fixed(Projection):
    """The coordinates x R along the orthonormal columns of a basis, which do not change.

    Half precision is computed in float32, since a sum over a whole vector would be lost in it.
    """

    basis: Basis
    _kept: dict[tuple[torch.dtype, torch.device], Tensor] = field(default_factory=dict, init=False, repr=False)

    @property
    def dims(self) -> int:
        return self.basis.dims

    def read(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... dims"]:
        columns = self._columns(x)
        return (x.to(columns.dtype) @ columns).to(x.dtype)

    def write(self, x: Float[Tensor, "... width"], coordinates: Float[Tensor, "... dims"]) -> Tensor:
        columns = self._columns(x)
        wide = x.to(columns.dtype)
        return (wide + (coordinates.to(columns) - wide @ columns) @ columns.T).to(x.dtype)

    def _columns(self, x: Tensor) -> Float[Tensor, "width dims"]:
        key = (x.dtype if x.dtype == torch.float64 else torch.float32, x.device)
        if key not in self._kept:
            self._kept[key] = torch.tensor(self.basis.columns, dtype=key[0], device=key[1])
        return self._kept[key]
