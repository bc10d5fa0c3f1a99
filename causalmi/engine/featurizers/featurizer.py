"""In which terms are the numbers at a place written? Features, and the rest that they leave: an exact split.

A featurizer may be anything, a rotation or a dictionary, as long as nothing is lost: what ``encode`` gives, ``decode``
puts together again. An interchange of features changes those features alone, and leaves the rest as it was on the base.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.errors import SiteError
from causalmi.rng import torch_stream

EXACT = {torch.float64: 1e-9}  # how far, as a share of the largest number, a split and its sum may be apart
ROUNDED = 1e-4
TRIED = 8  # random vectors on which a featurizer is tried when it is attached


@runtime_checkable
class Featurizer(Protocol):
    """Splits vectors of ``width`` numbers, the last axis of a tensor, into ``size`` features and a rest.

    ``decode(*encode(x)) == x`` for every x; ``rest`` is whatever ``decode`` needs besides, of any shape or None.
    ``linear``: whether ``encode`` is a linear map, so that no feature can compute what the vector only implies.
    A featurizer is a constant: it and what it gives must not change once it is attached to a site.
    """

    width: int
    size: int
    linear: bool

    def encode(self, x: Float[Tensor, "... width"]) -> tuple[Float[Tensor, "... size"], Tensor | None]:
        """The features of ``x``, and the rest."""

    def decode(self, features: Float[Tensor, "... size"], rest: Tensor | None) -> Float[Tensor, "... width"]:
        """The vector with these features and this rest."""


def precise(x: Tensor) -> Tensor:
    """``x`` as featurizers compute: float64 as it is, all else in float32, where sums over a vector are not lost."""
    return x if x.dtype == torch.float64 else x.float()


def prove(featurizer: Featurizer, x: Float[Tensor, "... width"]) -> None:
    """Refuse a featurizer that does not give ``x`` back from its features and rest; raises SiteError.

    An interchange of every feature with its own value would otherwise change the run.
    """
    with torch.no_grad():
        features, rest = featurizer.encode(precise(x))
        again = featurizer.decode(features, rest)
    if features.shape != (*x.shape[:-1], featurizer.size) or again.shape != x.shape:
        raise SiteError(
            f"{featurizer} gives features {list(features.shape)} and a vector {list(again.shape)} for {list(x.shape)}; "
            f"they must be {[*x.shape[:-1], featurizer.size]} and {list(x.shape)}"
        )
    size = max(1.0, float(x.abs().max()))
    off = float((again - precise(x)).abs().max()) / size
    if not off <= EXACT.get(x.dtype, ROUNDED):  # NaN is none either
        raise SiteError(
            f"{featurizer} does not give a vector back: decode(*encode(x)) is off by {off:.2g} of its size, so putting "
            "in a vector's own features would change it; let encode return what the features miss as the rest"
        )


def tried(featurizer: Featurizer) -> None:
    """The same on random vectors, of length about sqrt(width), float64 where it computes in that."""
    x = torch.randn(TRIED, featurizer.width, generator=torch_stream(0, "featurizer"))
    prove(featurizer, x)
