"""How much of a subspace does nothing read? Each direction is what its readers cannot see plus what they can.

Makelov, Lange & Nanda 2023, "Is this the subspace you are looking for? An interpretability illusion for subspace
activation patching".
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.spec.basis import Basis

Floats = NDArray[np.float64]

SHORT = 1e-5  # a part of a unit direction that is shorter is rounding of the weights


@dataclass(frozen=True, eq=False)
class Split:
    """A subspace V [width, k] and what is read, an orthonormal basis U [width, rank] of the columns of the readers.

    ``directions`` span V; their null parts d - U U^T d are orthogonal to each other, and so are their row parts
    U U^T d. Up to order and sign there is one such basis where the parts' lengths differ, whatever basis V came in.
    """

    directions: Floats  # [width, k]
    read: Floats  # [width, rank]

    @classmethod
    def of(cls, basis: Basis, readers: Tensor) -> "Split":
        """The split of a basis by readers [width, m], whose rank is judged by the rounding of their own precision."""
        m = readers.detach().cpu()
        eps = torch.finfo(m.dtype).eps if m.dtype == torch.float64 else torch.finfo(torch.float32).eps
        u, s, _ = np.linalg.svd(m.double().numpy(), full_matrices=False)
        read = u[:, s > max(m.shape) * eps * s.max(initial=0.0)] if s.max(initial=0.0) > 0 else u[:, :0]
        v = basis.columns
        turn = np.linalg.svd(v - read @ (read.T @ v))[2].T
        return cls(v @ turn, read)

    @cached_property
    def row(self) -> Floats:
        """The row parts, [width, k]."""
        parts: Floats = self.read @ (self.read.T @ self.directions)
        return parts

    @cached_property
    def null(self) -> Floats:
        """The null parts, [width, k]."""
        parts: Floats = self.directions - self.row
        return parts

    @property
    def shares(self) -> Floats:
        """Of each direction, the squared length of its null part, [k]."""
        squares: Floats = (self.null**2).sum(0)
        return squares

    @property
    def null_alone(self) -> Basis | None:
        """The null parts made unit vectors; None where there are none."""
        return _unit(self.null)

    @property
    def row_alone(self) -> Basis | None:
        """The row parts made unit vectors; None where there are none."""
        return _unit(self.row)


def _unit(parts: Floats) -> Basis | None:
    long = parts[:, np.linalg.norm(parts, axis=0) > SHORT]
    return Basis.of(long.T) if long.shape[1] else None
