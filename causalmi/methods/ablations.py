"""What can take the place of an activation? Ablations as values: zero, a mean, noise; resampling and the best constant.

`Resample` is the same value that says what a claim leaves unmapped; `Optimal` is trained. Which to choose:
docs/ablations.md.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from causalmi.engine.locate import projection
from causalmi.errors import SpecError
from causalmi.methods.ablation import Ablation, AblationData, Replacement, constant
from causalmi.methods.ablation_donors import Donors, Gaussian, Sources
from causalmi.methods.ablation_means import moments, positional
from causalmi.spec.hypothesis import Resample
from causalmi.spec.site import Site

BIASED = {"attn_out": "z", "mlp_out": "mlp_hidden"}  # what adds an output bias, and what its last projection reads


@dataclass(frozen=True, kw_only=True)
class Zero(Ablation):
    """0 at every entry; ``attn_out`` and ``mlp_out`` keep the module's output bias, unless ``bias="ablate"``.

    The bias is what the module gives when its last projection reads zeros, the same for every input. ``head_out`` and
    ``z`` have none: ablating all heads of a layer keeps b_O, as ``attn_out`` with ``bias="keep"`` does.
    Raises SpecError for another ``bias``.
    """

    bias: Literal["keep", "ablate"] = "keep"

    def __post_init__(self) -> None:
        _one_of("Zero", "bias", self.bias, ("keep", "ablate"))

    def replacement(self, data: AblationData, sites: Sequence[Site]) -> Replacement:
        """A constant."""
        kept = [site for site in sites if self.bias == "keep" and site.kind in BIASED]
        return constant(data, {site: output_bias(data, site) if site in kept else torch.zeros(()) for site in sites})


@dataclass(frozen=True)
class Mean(Ablation):
    """Each entry's mean over the reference, over all its examples and all positions that the site selects.

    Padding does not count; biases are part of the mean. One vector [(head,) width] for every position and example.
    """

    borrows: ClassVar[bool] = True

    def replacement(self, data: AblationData, sites: Sequence[Site]) -> Replacement:
        """A constant."""
        return constant(data, {site: found.mean for site, found in moments(data, sites).items()})


@dataclass(frozen=True)
class MeanPositional(Ablation):
    """Each entry's mean over the reference's examples at the same position, counted from each example's own start.

    Raises PositionError when an example has a position that no example of the reference has.
    """

    borrows: ClassVar[bool] = True

    def replacement(self, data: AblationData, sites: Sequence[Site]) -> Replacement:
        """A constant for each position."""
        return positional(data, sites)


@dataclass(frozen=True, kw_only=True)
class Noise(Ablation):
    """The activation on a corrupted input (``kind="tokens"``), or with Gaussian noise on it (``"gaussian"``).

    "tokens": the value on the pair's own source, in which some tokens of the base are replaced by others of their sort.
    "gaussian": x + ``scale`` s g, with g standard normal and s each entry's standard deviation over the reference; it
    pushes activations to where no input does, and says so in a UserWarning (Zhang & Nanda 2024).
    Raises SpecError for another ``kind``, or a ``scale`` that is not positive.
    """

    kind: Literal["tokens", "gaussian"] = "tokens"
    scale: float = 3.0

    def __post_init__(self) -> None:
        _one_of("Noise", "kind", self.kind, ("tokens", "gaussian"))
        if not 0 < self.scale < float("inf"):
            raise SpecError("Noise", [f"scale is {self.scale!r}, it must be a number above 0"])

    def replacement(self, data: AblationData, sites: Sequence[Site]) -> Replacement:
        """The values of another input, or noise of the seed."""
        if self.kind == "tokens":
            return Sources().replacement(data, sites)
        warnings.warn(
            "Gaussian noise pushes activations off the distribution, and may find other places than a real input does "
            "(Zhang & Nanda 2024); prefer Noise(kind='tokens') or Resample()",
            UserWarning,
            stacklevel=2,
        )
        return Gaussian(self.scale).replacement(data, sites)


def ablation_of(given: Any) -> Ablation:
    """The rule that an ablation, or a `Resample`, stands for; raises SpecError for anything else."""
    if isinstance(given, Ablation):
        return given
    if not isinstance(given, Resample):
        allowed = "Zero(), Mean(), MeanPositional(), Resample(), Noise() and Optimal()"
        raise SpecError("ablation", [f"it is {given!r}; there are {allowed}"])
    if given.share not in RESAMPLED:
        problem = f"share is {given.share!r}, which gives each example its own values and ablates nothing"
        raise SpecError("ablation", [f"{problem}; give one of {', '.join(RESAMPLED)}"])
    return RESAMPLED[given.share]


def output_bias(data: AblationData, site: Site) -> Tensor:
    """What ``attn_out`` or ``mlp_out`` is when its last projection reads zeros, whatever the input: [width]."""
    whole = Site(site.kind, site.layer)
    one = data.inputs.rows(slice(0, 1))
    run = data.model.run(one, edits={Site(BIASED[site.kind], site.layer): 0.0}, read=whole)
    bias = run[whole][0, 0]
    bias = bias if site.neurons is None else bias[list(site.neurons)]
    terms = projection(site)
    return bias if terms is None else terms.read(bias)


def _one_of(subject: str, name: str, given: Any, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise SpecError(subject, [f"{name} is {given!r}, it must be one of {', '.join(map(repr, allowed))}"])


RESAMPLED: dict[str, Ablation] = {
    "node": Donors(),
    "term": Donors(each=True),
    "paired": Sources(),
    "zero": Zero(),
    "mean": Mean(),
}
