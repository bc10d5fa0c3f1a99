"""Which directions are a place's numbers written in? Rotations, principal components, or its neurons themselves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.featurizers.constants import Kept
from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.errors import SiteError
from causalmi.spec.basis import Basis

TURNED = 1e-4  # how far the columns of a rotation may be off orthonormal; those in float32 are by about 1e-6


@dataclass(frozen=True)
class Identity(Featurizer):
    """The numbers themselves: f = x, and no rest."""

    width: int
    linear = True

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.width

    def encode(self, x: Float[Tensor, "... width"]) -> tuple[Tensor, None]:
        return x, None

    def decode(self, features: Float[Tensor, "... width"], rest: Tensor | None) -> Tensor:
        return features


@dataclass(frozen=True, eq=False)
class Turned(Featurizer):
    """Coordinates along orthonormal ``columns`` R, [width, size], of this moment: f = x R, rest = x - x R R^T.

    Gradients flow into the columns.
    """

    columns: Float[Tensor, "width size"]
    linear = True

    @property
    def width(self) -> int:  # type: ignore[override]
        return int(self.columns.shape[0])

    @property
    def size(self) -> int:  # type: ignore[override]
        return int(self.columns.shape[1])

    def encode(self, x: Float[Tensor, "... width"]) -> tuple[Tensor, Tensor]:
        columns = self.columns.to(x)
        features = x @ columns
        return features, x - features @ columns.T

    def decode(self, features: Float[Tensor, "... size"], rest: Tensor | None) -> Tensor:
        assert rest is not None  # encode gives it
        return rest + features @ self.columns.to(features).T


class Rotation(Featurizer):
    """Coordinates in a rotated frame: f = x R, and the rest x - f R^T, for a ``matrix`` R [width, dims] of your own.

    Its columns are orthonormal directions, as many as there are numbers or fewer; those of float32 are made so to the
    last digits. Two are equal when their numbers are. To claim some of the coordinates, ``place.along(directions)`` is
    shorter; a search over which of them are meant takes a featurizer. Raises SiteError for other columns.

    >>> Rotation([[0.0, 1.0], [-1.0, 0.0]])
    Rotation(2 -> 2)
    """

    linear = True

    def __init__(self, matrix: Any):
        columns = np.asarray(matrix.detach().cpu().double() if isinstance(matrix, Tensor) else matrix, dtype=np.float64)
        if columns.ndim != 2 or not columns.size or columns.shape[0] < columns.shape[1]:
            raise SiteError(
                f"a rotation has shape {columns.shape}; give a matrix [width, dims] of directions as columns"
            )
        off = np.abs(columns.T @ columns - np.eye(columns.shape[1])).max()
        if not off <= TURNED:  # NaN is none either
            raise SiteError(f"the columns of this rotation are off orthonormal by {off:.1g}; a rotation keeps lengths")
        self.basis = Basis.of(columns.T)
        self.width, self.size = self.basis.width, self.basis.dims
        self._kept = Kept(columns=columns_of(self.basis))

    def __repr__(self) -> str:
        return f"Rotation({self.width} -> {self.size})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rotation) and self.basis == other.basis

    def __hash__(self) -> int:
        return hash((Rotation, self.basis))

    def encode(self, x: Float[Tensor, "... width"]) -> tuple[Tensor, Tensor]:
        columns = self._kept.at(x)["columns"]
        features = x @ columns
        return features, x - features @ columns.T

    def decode(self, features: Float[Tensor, "... size"], rest: Tensor | None) -> Tensor:
        assert rest is not None  # encode gives it
        return rest + features @ self._kept.at(features)["columns"].T


def basis_of(columns: Float[Tensor, "width size"]) -> Basis:
    """The basis of nearly orthonormal columns, in their order."""
    return Basis.of(columns.detach().double().cpu().T.numpy())


def columns_of(basis: Basis) -> Float[Tensor, "width dims"]:
    """The directions of a basis as a float64 tensor."""
    return torch.tensor(basis.columns)
