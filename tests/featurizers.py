"""One small featurizer of every kind for vectors of any width, on which all tests of features run."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.engine.featurizers.linear import Identity, Rotation, Turned
from causalmi.engine.featurizers.module_featurizer import ModuleFeaturizer
from causalmi.engine.featurizers.principal import PCA, StandardisedPCA
from causalmi.engine.featurizers.sparse import SparseAutoencoder
from tests.networks import seeded


@dataclass(frozen=True)
class Kind:
    """A way to make a featurizer of a width; ``whole`` says that nothing is left to its rest."""

    name: str
    make: Callable[[int], Featurizer]
    whole: bool = False


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthonormal(width: int, dims: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(numbers(width, width, seed=seed))[0][:, :dims]


def activations(width: int) -> Tensor:
    """Vectors around a mean, whose numbers vary by size, and one of which never varies."""
    x = numbers(4 * width, width, seed=1) * torch.arange(1, width + 1) + numbers(width, seed=2)
    x[:, 0] = 0.7
    return x


def sparse(width: int, activation: str = "relu", **options: object) -> SparseAutoencoder:
    """A dictionary of twice as many features as there are numbers, trained on nothing."""
    size = 2 * width
    vectors = ("b_enc", "threshold") if activation != "gated" else ("b_gate", "r_mag", "b_mag")
    weights = {name: 0.3 * numbers(size, seed=i) for i, name in enumerate(vectors)}
    matrices = {"W_enc": numbers(width, size, seed=7) / width**0.5, "W_dec": numbers(size, width, seed=8) / width**0.5}
    options = {"k": 3} | options if activation == "topk" else options
    return SparseAutoencoder(**matrices, **weights, b_dec=numbers(width, seed=9), activation=activation, **options)  # type: ignore[arg-type]


class Coupling(nn.Module):
    """A user's module: half of the numbers is shifted by a function of the other half, which can be undone exactly."""

    linear = False

    def __init__(self, width: int):
        super().__init__()
        self.width = self.size = width
        self.shift = nn.Sequential(
            nn.Linear(width - width // 2, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, width // 2)
        )

    def encode(self, x: Tensor) -> tuple[Tensor, None]:
        a, b = x.split([self.width // 2, self.width - self.width // 2], -1)
        return torch.cat([a + self.shift(b), b], -1), None

    def decode(self, features: Tensor, rest: None) -> Tensor:
        a, b = features.split([self.width // 2, self.width - self.width // 2], -1)
        return torch.cat([a - self.shift(b), b], -1)


def modules(width: int) -> ModuleFeaturizer:
    """An encoder and a decoder that know nothing of each other."""
    encoder = nn.Sequential(nn.Linear(width, 2 * width), nn.Dropout(0.5), nn.ReLU())
    return ModuleFeaturizer(encoder, nn.Linear(2 * width, width), width=width, size=2 * width)


KINDS = [
    Kind("identity", Identity, whole=True),
    Kind("turned", lambda width: Turned(orthonormal(width, 2))),
    Kind("rotation", lambda width: Rotation(orthonormal(width, width)), whole=True),
    Kind("part of a rotation", lambda width: Rotation(orthonormal(width, 3))),
    Kind("pca", lambda width: PCA.of(activations(width), dims=2)),
    Kind("standardised pca", lambda width: StandardisedPCA.of(activations(width))),
    Kind("relu", sparse),
    Kind("centred relu", lambda width: sparse(width, centred=True)),
    Kind("jumprelu", lambda width: sparse(width, "jumprelu", norm="layer_norm")),
    Kind("topk", lambda width: sparse(width, "topk", norm="constant_norm_rescale")),
    Kind("gated", lambda width: sparse(width, "gated")),
    Kind("user's bijection", lambda width: seeded(lambda: Coupling(width)), whole=True),  # type: ignore[arg-type, return-value]
    Kind("user's modules", lambda width: seeded(lambda: modules(width))),  # type: ignore[arg-type, return-value]
]
