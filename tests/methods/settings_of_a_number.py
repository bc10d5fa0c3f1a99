"""Settings of many kinds, each made of one number that does not show where they are printed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from causalmi import site
from causalmi.engine.featurizers.linear import Rotation
from causalmi.engine.featurizers.module_featurizer import ModuleFeaturizer
from causalmi.engine.featurizers.principal import PCA
from causalmi.engine.featurizers.sparse import SparseAutoencoder
from causalmi.methods.align.das import DAS
from causalmi.methods.align.dbm import DBM


def turned(angle: float) -> Any:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def linear(weight: float) -> nn.Module:
    net = nn.Linear(30, 40, dtype=torch.float64)
    net.load_state_dict({"weight": torch.ones(40, 30), "bias": torch.zeros(40)})
    net.weight.data[20, 15] = weight
    return net


def module(weight: float) -> ModuleFeaturizer:
    return ModuleFeaturizer(linear(weight), nn.Identity(), width=30, size=40)


def array(number: float) -> Any:
    numbers = np.zeros(10_000)
    numbers[5_000] = number
    return numbers


def over(numbers: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: (lambda y: y * numbers[0])(x)


class Silent:
    def __init__(self, number: float):
        self.numbers = array(number)


class Printing(Silent):
    def __repr__(self) -> str:
        return "Printing"


class Slots:
    __slots__ = ("number",)

    def __init__(self, number: float):
        self.number = number

    def __repr__(self) -> str:
        return "Slots"


class Number(float):
    def __repr__(self) -> str:
        return "Number"


@dataclass(frozen=True)
class Data:
    scale: float

    def __repr__(self) -> str:
        return "Data"


class Scaled(nn.Module):
    def __init__(self, scale: float):
        super().__init__()
        self.scale = scale


def constant(number: float) -> type:
    return type("Own", (), {"number": number, "read": lambda self: self.number})


def circle(number: float) -> list[Any]:
    held: list[Any] = [number]
    held.append({"held": held})
    return held


def defaults(number: float) -> Callable[..., float]:
    def function(*, x: float = number) -> float:
        return x

    return function


def autoencoder(x: float) -> SparseAutoencoder:
    return SparseAutoencoder(
        W_enc=torch.full((2, 3), x), W_dec=torch.ones(3, 2), b_dec=torch.ones(2), b_enc=torch.ones(3)
    )


def hooked(x: float) -> nn.Module:
    net = linear(1.0)
    net.register_forward_hook(lambda _module, _given, made: made * x)
    return net


MADE: dict[str, Callable[[float], Any]] = {
    "rotation": lambda x: Rotation(turned(x)),
    "module": module,
    "method of a module": lambda x: ModuleFeaturizer(linear(x).forward, abs, width=30, size=40),
    "hooked module": hooked,
    "sparse": autoencoder,
    "principal": lambda x: PCA.of(torch.tensor([[0.0, 1.0], [2.0, x], [x, 7.0]])),
    "partial": lambda x: partial(PCA.of, dims=int(8 * x)),
    "positional partial": lambda x: partial(max, x),
    "closure over an array": lambda x: over(array(x)),
    "closure over a tensor": lambda x: over(torch.tensor(array(x))),
    "keyword default": defaults,
    "bound": lambda x: Printing(x).__repr__,
    "silent": Silent,
    "printing": Printing,
    "slots": Slots,
    "number": Number,
    "data": Data,
    "scaled": Scaled,
    "class": lambda x: constant(x)(),
    "circle": circle,
    "set": lambda x: {"a", "b", "c", x},
    "objects": lambda x: np.array([x, "a", None], dtype=object),
    "random": lambda x: np.random.default_rng(int(1000 * x)),
    "tensor of half precision": lambda x: torch.tensor([x], dtype=torch.bfloat16),
    "complex": lambda x: torch.tensor([x + 1j]).conj(),
    "das": lambda x: DAS(dims=(1, 3), lr=x),
    "dbm": lambda x: DBM(featurizer=Rotation(turned(x))),
    "dbm of values": lambda x: DBM(featurizer=lambda values: Rotation(turned(x))),
    "features": lambda x: site.module("layer1").features(Rotation(turned(x)), [0]),
}
