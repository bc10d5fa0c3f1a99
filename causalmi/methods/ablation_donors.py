"""From which other input does an example receive its activations? Donors drawn by the seed, or a pair's own source."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.data.clusters import Ints, number
from causalmi.data.inputs import Inputs
from causalmi.errors import DataError, SiteError
from causalmi.methods.ablation import Ablation, AblationData, Replacement, Values
from causalmi.methods.ablation_means import moments
from causalmi.rng import stream, torch_stream
from causalmi.spec.site import Site


@dataclass(frozen=True)
class Donors(Ablation):
    """Another example of the reference, at random: one for all sites of an example, or (``each``) one for each site."""

    borrows: ClassVar[bool] = True
    each: bool = False

    def __str__(self) -> str:
        return "another example at random, for each site" if self.each else "another example at random"

    def replacement(self, data: AblationData, sites: Sequence[Site]) -> Replacement:
        """Values on donors that never are the example itself; raises DataError when there is no other."""
        groups = [[site] for site in sites] if self.each else [[*sites]]
        drawn = [(group, draw(data, group, *map(str, group if self.each else ()))) for group in groups]

        def rows(some: slice) -> Values:
            found: Values = {}
            for group, donor in drawn:
                found |= data.model.capture(data.pool.rows(donor[some]), group, batch_size=data.batch_size)
            return found

        return Replacement(rows)


@dataclass(frozen=True)
class Sources(Ablation):
    """Each pair's own source, such as its base with some tokens replaced."""

    def __str__(self) -> str:
        return "each pair's own source"

    def replacement(self, data: AblationData, sites: Sequence[Site]) -> Replacement:
        """Values on the sources; raises DataError for examples without any, SiteError where lengths differ."""
        source = data.source
        if _spanning(data, sites, source) and not np.array_equal(_layout(data.inputs), _layout(source)):
            raise SiteError(
                f"{_spanning(data, sites, source)[0]} spans whole examples, and bases and sources have unequal "
                "lengths; name a position with at=, or give prompts of one length"
            )
        return Replacement(lambda some: data.model.capture(source.rows(some), sites, batch_size=data.batch_size))


@dataclass(frozen=True)
class Gaussian(Ablation):
    """The example's own values plus noise with ``scale`` times each entry's standard deviation over the reference."""

    scale: float

    def replacement(self, data: AblationData, sites: Sequence[Site]) -> Replacement:
        """Noise of a stream of its own for each site and example."""
        spread, every = moments(data, sites), range(len(data.inputs))

        def rows(some: slice) -> Values:
            clean = data.model.capture(data.inputs.rows(some), sites, batch_size=data.batch_size)
            for site, x in clean.items():
                streams = [torch_stream(data.seed, "noise", str(site), str(row)) for row in every[some]]
                noise = torch.stack([torch.randn(x.shape[1:], generator=g, dtype=torch.float64) for g in streams])
                clean[site] = x + self.scale * spread[site].std * noise.to(x.dtype).to(x.device)
            return clean

        return Replacement(rows)


def draw(data: AblationData, sites: Sequence[Site], *names: str) -> Int[Tensor, " n"]:
    """For each example the row of its donor in the reference: uniform over all that are another input.

    Where a site spans whole examples only donors of the same length and padding fit.
    """
    inputs, pool = data.inputs, data.pool
    n, kinds = len(inputs), number([*inputs.key(), *pool.key()])
    fits = np.zeros(n + len(pool), dtype=np.int64)
    if spanning := _spanning(data, sites, pool):
        fits = number(map(tuple, np.concatenate([_layout(inputs), _layout(pool)]).tolist()))
    luck, chosen = stream(data.seed, "resample", *names).random(n), []
    for row in range(n):
        allowed = np.flatnonzero((kinds[n:] != kinds[row]) & (fits[n:] == fits[row]))
        if not allowed.size:
            alike = f" of its length and padding, which {spanning[0]} needs" if spanning else ""
            raise DataError(f"example {row}, {inputs.show(row)}, has no donor: the reference has no other input{alike}")
        chosen.append(int(allowed[int(luck[row] * allowed.size)]))
    return torch.tensor(chosen)


def _spanning(data: AblationData, sites: Sequence[Site], donors: Inputs) -> list[Site]:
    """The sites that span whole examples; raises SiteError for one whose values have another shape on donors."""
    here, there = (data.places(sites, x) for x in (data.inputs, donors))
    for site in sites:
        if here[site].shape[1:] != there[site].shape[1:]:
            raise SiteError(
                f"{site} has values of shape {here[site].shape[1:]} in the examples and {there[site].shape[1:]} in "
                "their donors; name a position with at=, or give inputs of one length"
            )
    return [site for site in sites if here[site].sequence or there[site].sequence]


def _layout(inputs: Inputs) -> Ints:
    """Start and length of each example, [n, 2]."""
    return torch.stack([inputs.starts, inputs.lengths], dim=1).cpu().numpy()
