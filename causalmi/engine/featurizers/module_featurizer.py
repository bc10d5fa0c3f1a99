"""How does any encoder and decoder become an exact split? What the decoder misses is kept as the rest."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from causalmi.engine.featurizers.constants import Held
from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.errors import SiteError


class ModuleFeaturizer(Featurizer):
    """Features f = encoder(x), and the rest x - decoder(f), which a decoder of any quality leaves.

    ``encoder`` takes vectors [..., width] to features [..., size], ``decoder`` takes them back; each is an
    ``nn.Module``, a method of one, or a function. Modules run in evaluation mode, in the precision and on the device of
    the network (half precision in float32), and their weights are constants: nothing is learned, and they stay as they
    were. ``linear`` says that the encoder is a linear map. Raises SiteError for what cannot be called.

    >>> ModuleFeaturizer(nn.Linear(4, 6), nn.Linear(6, 4), width=4, size=6, linear=True)
    ModuleFeaturizer(4 -> 6)
    """

    def __init__(
        self,
        encoder: Callable[[Tensor], Tensor],
        decoder: Callable[[Tensor], Tensor],
        *,
        width: int,
        size: int,
        linear: bool = False,
    ):
        if bad := [name for name, f in (("encoder", encoder), ("decoder", decoder)) if not callable(f)]:
            raise SiteError(f"the {bad[0]} is no function; give an nn.Module, a method of one, or a function")
        self.width, self.size, self.linear = width, size, linear
        self._encoder, self._decoder = _held(encoder), _held(decoder)

    def __repr__(self) -> str:
        return f"ModuleFeaturizer({self.width} -> {self.size})"

    def encode(self, x: Float[Tensor, "... width"]) -> tuple[Tensor, Tensor]:
        """The features, and what the decoder misses."""
        features = self._encoder(x)
        return features, x - self._decoder(features)

    def decode(self, features: Float[Tensor, "... size"], rest: Tensor | None) -> Tensor:
        """What the decoder gives, and the rest."""
        assert rest is not None  # encode gives it
        return self._decoder(features) + rest


def _held(function: Any) -> Callable[[Tensor], Tensor]:
    """A module's function with its weights as constants; another function as it is."""
    owner, method = (
        (function, "__call__")
        if isinstance(function, nn.Module)
        else (getattr(function, "__self__", None), getattr(function, "__name__", ""))
    )
    if not isinstance(owner, nn.Module):
        plain: Callable[[Tensor], Tensor] = function
        return plain
    held = Held(lambda: owner)
    return lambda x: held.call(method, x)
