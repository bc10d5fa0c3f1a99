"""Which features of a dictionary are there in a vector? Sparse autoencoders, with what they miss kept as the rest.

Bricken et al. 2023, "Towards monosemanticity"; the activations: Rajamanoharan et al. 2024 (gated, JumpReLU), Gao et al.
2024 (top-k).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.featurizers.constants import Kept
from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.engine.featurizers.sparse_files import read
from causalmi.errors import SpecError

Weights = Mapping[str, Tensor]
LEAST_STD = 1e-5  # added to the deviation under layer_norm


def _relu(x: Tensor, w: Weights, k: int | None) -> Tensor:
    return (x @ w["W_enc"] + w["b_enc"]).relu()


def _jumprelu(x: Tensor, w: Weights, k: int | None) -> Tensor:
    before = x @ w["W_enc"] + w["b_enc"]
    return before.relu() * (before > w["threshold"])


def _topk(x: Tensor, w: Weights, k: int | None) -> Tensor:
    assert k is not None  # checked when it was made
    every = _relu(x, w, k)
    top = every.topk(k, dim=-1)
    return torch.zeros_like(every).scatter(-1, top.indices, top.values)


def _gated(x: Tensor, w: Weights, k: int | None) -> Tensor:
    before = x @ w["W_enc"]
    return (before * w["r_mag"].exp() + w["b_mag"]).relu() * (before + w["b_gate"] > 0)


ENCODERS: dict[str, Callable[[Tensor, Weights, int | None], Tensor]] = {
    "relu": _relu, "jumprelu": _jumprelu, "topk": _topk, "gated": _gated,
}  # fmt: skip
NEEDED = {  # vectors with a number for each feature
    "relu": ("b_enc",), "jumprelu": ("b_enc", "threshold"), "topk": ("b_enc",), "gated": ("b_gate", "r_mag", "b_mag"),
}  # fmt: skip
NORMS = ("none", "layer_norm", "constant_norm_rescale")


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseAutoencoder(Featurizer):
    """Features f = act(x W_enc + b_enc), and the rest x - (f W_dec + b_dec): nothing of x is lost.

    ``W_enc`` [width, size], ``W_dec`` [size, width], ``b_dec`` [width]; with one number for each feature ``b_enc``,
    ``threshold``, ``b_gate``, ``r_mag`` and ``b_mag``, as far as ``activation`` needs them: "relu", "jumprelu" (relu(a)
    where a > threshold), "topk" (relu of the ``k`` largest), "gated" (relu(x W_enc e^r_mag + b_mag) where x W_enc +
    b_gate > 0). ``centred`` takes b_dec off x before encoding. ``norm`` rescales x before and what is decoded after:
    "layer_norm" to mean 0 and deviation 1, "constant_norm_rescale" to length sqrt(width). Weights are never learned.
    Raises SpecError that lists everything that does not fit.
    """

    W_enc: Float[Tensor, "width size"]
    W_dec: Float[Tensor, "size width"]
    b_dec: Float[Tensor, " width"]
    b_enc: Float[Tensor, " size"] | None = None
    threshold: Float[Tensor, " size"] | None = None
    b_gate: Float[Tensor, " size"] | None = None
    r_mag: Float[Tensor, " size"] | None = None
    b_mag: Float[Tensor, " size"] | None = None
    activation: str = "relu"
    k: int | None = None
    centred: bool = False
    norm: str = "none"
    linear = False
    _kept: Kept = field(init=False, repr=False)

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        weights = {name: x for name, x in given.items() if isinstance(x, Tensor)}
        if problems := _options(self) or _shapes(weights, self.activation):
            raise SpecError("a sparse autoencoder", problems)
        object.__setattr__(self, "_kept", Kept(**weights))

    @classmethod
    def load(cls, path: str | Path) -> "SparseAutoencoder":
        """From files: sae-lens' ``cfg.json`` and ``sae_weights.safetensors``, or Gemma Scope's ``params.npz``.

        Only numbers are read: nothing in a file is executed, and pickled weights are refused. Raises DataError for
        what is not there, is damaged, or says something of its use that is not known here; SpecError for weights that
        do not fit together.
        """
        return cls(**read(Path(path)))

    @property
    def width(self) -> int:  # type: ignore[override]
        return int(self.W_enc.shape[0])

    @property
    def size(self) -> int:  # type: ignore[override]
        return int(self.W_enc.shape[1])

    def __repr__(self) -> str:
        which = f"topk {self.k}" if self.activation == "topk" else self.activation
        return f"SparseAutoencoder({self.width} -> {self.size}, {which})"

    def encode(self, x: Float[Tensor, "... width"]) -> tuple[Tensor, Tensor]:
        """The features, and [..., width + 2]: what is decoded misses, and by what to multiply and shift that."""
        own, undo = self._kept.at(x), self._undo(x)
        z = (x - undo[..., 1:]) / (undo[..., :1] + (LEAST_STD if self.norm == "layer_norm" else 0))
        features = ENCODERS[self.activation](z - own["b_dec"] if self.centred else z, own, self.k)
        return features, torch.cat([x - self._decoded(features, undo), undo], -1)

    def decode(self, features: Float[Tensor, "... size"], rest: Tensor | None) -> Tensor:
        """The vector of these features on this rest."""
        assert rest is not None  # encode gives it
        return self._decoded(features, rest[..., self.width :]) + rest[..., : self.width]

    def _decoded(self, features: Tensor, undo: Float[Tensor, "... 2"]) -> Tensor:
        own = self._kept.at(features)
        return (features @ own["W_dec"] + own["b_dec"]) * undo[..., :1] + undo[..., 1:]

    def _undo(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... 2"]:
        """The scale and the shift with which x was made smaller."""
        if self.norm == "layer_norm":
            return torch.cat([x.std(-1, keepdim=True), x.mean(-1, keepdim=True)], -1)
        ones = torch.ones_like(x[..., :1])
        if self.norm == "constant_norm_rescale":
            tiny = torch.finfo(x.dtype).tiny
            ones = (x.norm(dim=-1, keepdim=True) / self.width**0.5).clamp_min(tiny)
        return torch.cat([ones, torch.zeros_like(ones)], -1)


def _options(given: SparseAutoencoder) -> list[str]:
    problems = []
    if given.activation not in ENCODERS:
        problems.append(f"activation is {given.activation!r}, it must be one of {', '.join(ENCODERS)}")
    if given.norm not in NORMS:
        problems.append(f"norm is {given.norm!r}, it must be one of {', '.join(NORMS)}")
    size = given.W_enc.shape[-1] if isinstance(given.W_enc, Tensor) else 0
    if given.activation == "topk" and not (type(given.k) is int and 1 <= given.k <= size):
        problems.append(f"k is {given.k!r}, it must be a whole number from 1 to {size}, the number of features")
    return problems


def _shapes(weights: Weights, activation: str) -> list[str]:
    """What is wrong with the weights' sizes or numbers, one sentence each."""
    needed = ("W_enc", "W_dec", "b_dec", *NEEDED[activation])
    if missing := [name for name in needed if name not in weights]:
        return [f"{', '.join(missing)} must be tensors for the activation {activation}"]
    if weights["W_enc"].ndim != 2:
        return [f"W_enc has shape {list(weights['W_enc'].shape)}, it must be [width, size]"]
    width, size = weights["W_enc"].shape
    wanted = {"W_enc": [width, size], "W_dec": [size, width], "b_dec": [width]}
    problems = [
        f"{name} has shape {list(x.shape)}, it must be {wanted.get(name, [size])}"
        for name, x in weights.items()
        if list(x.shape) != wanted.get(name, [size])
    ]
    bad = [name for name, x in weights.items() if not x.is_floating_point() or not bool(x.isfinite().all())]
    return problems + [f"{name} has numbers that are NaN, infinite or no fractions" for name in bad]
