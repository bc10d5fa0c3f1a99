"""In which terms are the numbers at a place written? Features, and the rest that they leave: an exact split.

A featurizer may be anything, a rotation or a dictionary, as long as nothing is lost: what ``encode`` gives, ``decode``
puts together again. An interchange of features changes those features alone, and leaves the rest as it was on the base.
"""

from contextlib import suppress
from typing import Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.errors import SiteError
from causalmi.rng import torch_stream
from causalmi.spec.site_checks import named

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
    x = x.detach()
    with torch.no_grad():
        features, rest = _split(featurizer, precise(x))
        again = featurizer.decode(features, rest)
    if features.shape != (*x.shape[:-1], featurizer.size) or again.shape != x.shape:
        raise SiteError(
            f"{named(featurizer)} gives features {list(features.shape)} and a vector {list(again.shape)} for "
            f"{list(x.shape)}; they must be {[*x.shape[:-1], featurizer.size]} and {list(x.shape)}"
        )
    off = _off(again, precise(x))
    if not off <= EXACT.get(x.dtype, ROUNDED):  # NaN is none either
        raise SiteError(
            f"{named(featurizer)} does not give a vector back: decode(*encode(x)) is off by {off:.2g} of its size, so "
            "putting in a vector's own features would change it; let encode return what the features miss as the rest"
        )


def tried(featurizer: Featurizer, like: Tensor) -> None:
    """The same once on random vectors of length about sqrt(width), in the precision and on the device of ``like``.

    One that calls itself linear must also be so: features of a middle are the middle of features, and vectors of
    exchanged features add up to the same.
    """
    with suppress(TypeError):  # of what cannot be kept weakly, so that it is tried again
        if like.dtype in _TRIED.setdefault(featurizer, set()):
            return
    drawn = torch.randn(2 * TRIED, featurizer.width, generator=torch_stream(0, "featurizer"), dtype=torch.float64)
    x = precise(drawn.to(like))
    try:
        prove(featurizer, x)
        if featurizer.linear:
            _prove_linear(featurizer, x)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise SiteError(f"{named(featurizer)} fails on vectors of {list(x.shape)}, {x.dtype}: {error}") from error
    with suppress(TypeError):
        _TRIED[featurizer].add(like.dtype)


def _prove_linear(featurizer: Featurizer, x: Float[Tensor, "n width"]) -> None:
    with torch.no_grad():
        first, second = x.chunk(2)
        between = (first + second) / 2
        (a, rest), (b, other), (middle, _) = (_split(featurizer, part) for part in (first, second, between))
        crossed = featurizer.decode(a, other) + featurizer.decode(b, rest)  # what linear maps add up to again
    limit = EXACT.get(x.dtype, ROUNDED)
    if not (_off(middle, (a + b) / 2) <= limit and _off(crossed, first + second) <= limit):
        raise SiteError(
            f"{named(featurizer)} says that it is linear, and is not: features of the middle of two vectors are not "
            "the middle of theirs, or features beside another's rest decode to what does not add up; set linear=False"
        )


def _split(featurizer: Featurizer, x: Tensor) -> tuple[Tensor, Tensor | None]:
    found: Any = featurizer.encode(x)
    if not isinstance(found, tuple) or len(found) != 2:
        raise SiteError(
            f"encode of {named(featurizer)} gives a {type(found).__name__}, it must give two things: the features, and "
            "the rest that they miss; ModuleFeaturizer(encoder, decoder, ...) keeps that for you"
        )
    return found


def _off(a: Tensor, b: Tensor) -> float:
    """How far two are apart, as a share of the larger of 1 and the largest number."""
    return float((a - b).abs().max()) / max(1.0, float(b.abs().max()))


_TRIED: WeakKeyDictionary[Featurizer, set[torch.dtype]] = WeakKeyDictionary()  # a featurizer never changes
