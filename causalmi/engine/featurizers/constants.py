"""How are a featurizer's weights used wherever the network runs, without being moved, changed or learned?

Tensors are used in the precision and on the device of the vectors, in copies that are kept. A module's weights are put
in for one call, in evaluation mode, detached, so that no gradient comes to them; the module stays as it was.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.engine.state import evaluating, version


class Kept:
    """Tensors by name, which do not change."""

    def __init__(self, **tensors: Tensor | None):
        self.own = {name: x.detach() for name, x in tensors.items() if x is not None}
        self._moved: dict[tuple[torch.dtype, torch.device], dict[str, Tensor]] = {}

    def at(self, x: Tensor) -> dict[str, Tensor]:
        """The tensors in the precision and on the device of ``x``."""
        key = (x.dtype, x.device)
        if key not in self._moved:
            self._moved[key] = {name: tensor.to(x) for name, tensor in self.own.items()}
        return self._moved[key]


class Held:
    """A module, which ``module()`` gives, whose methods are called with its weights as constants."""

    def __init__(self, module: Callable[[], nn.Module | None]):
        self._module = module
        self._kept: dict[tuple[object, ...], dict[str, Tensor]] = {}

    def call(self, method: str, *given: Any) -> Any:
        """What ``method`` gives."""
        module = self._module()
        assert module is not None  # the site that names it holds it
        with evaluating(module):
            return functional_call(_Method(module, method), self._weights(module, given[0]), given)

    def _weights(self, module: nn.Module, like: Tensor) -> dict[str, Tensor]:
        own = dict([*module.named_parameters(), *module.named_buffers()])
        key = (like.dtype, like.device, *((id(x), version(x)) for x in own.values()))
        if key not in self._kept:
            moved = {f"module.{name}": _moved(x.detach(), like) for name, x in own.items()}
            self._kept = {key: moved}  # those of before belong to weights, or a network, that are no more in use
        return self._kept[key]


class _Method(nn.Module):
    """A module that is called by one of its methods."""

    def __init__(self, module: nn.Module, method: str):
        super().__init__()
        self.module, self.method = module, method

    def forward(self, *given: Any) -> Any:
        return getattr(self.module, self.method)(*given)


class _Constant(Featurizer):
    """A featurizer that is a module, with its weights as constants; it does not keep the module in memory."""

    def __init__(self, module: Any):
        self.width, self.size, self.linear = module.width, module.size, module.linear
        self._held, self._shown = Held(ref(module)), type(module).__name__

    def __repr__(self) -> str:
        return f"{self._shown}({self.width} -> {self.size})"

    def encode(self, x: Float[Tensor, "... width"]) -> tuple[Tensor, Tensor | None]:
        found: tuple[Tensor, Tensor | None] = self._held.call("encode", x)
        return found

    def decode(self, features: Float[Tensor, "... size"], rest: Tensor | None) -> Tensor:
        found: Tensor = self._held.call("decode", features, rest)
        return found


_CONSTANTS: WeakKeyDictionary[nn.Module, _Constant] = WeakKeyDictionary()


def constant(featurizer: Featurizer) -> Featurizer:
    """The same featurizer, with its weights as constants where it is an ``nn.Module``."""
    if not isinstance(featurizer, nn.Module):
        return featurizer
    if featurizer not in _CONSTANTS:
        _CONSTANTS[featurizer] = _Constant(featurizer)
    return _CONSTANTS[featurizer]


def _moved(x: Tensor, like: Tensor) -> Tensor:
    return x.to(like) if x.is_floating_point() else x.to(like.device)
