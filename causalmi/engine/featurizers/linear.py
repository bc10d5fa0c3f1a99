"""Which directions are a place's numbers written in? Rotations, principal components, or its neurons themselves."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.spec.basis import Basis


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


def basis_of(columns: Float[Tensor, "width size"]) -> Basis:
    """The basis of nearly orthonormal columns, in their order."""
    return Basis.of(columns.detach().double().cpu().T.numpy())


def columns_of(basis: Basis) -> Float[Tensor, "width dims"]:
    """The directions of a basis as a float64 tensor."""
    return torch.tensor(basis.columns)
