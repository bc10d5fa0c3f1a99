"""At which places are variables looked for, and what do their sources have there?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.locate import locate
from causalmi.engine.model import Model
from causalmi.methods.swap import Alignment, Swap, widened
from causalmi.spec.site import Site


@dataclass(frozen=True)
class Places:
    """Where each of ``variables`` is looked for: in all the numbers at some places, which it may share with others."""

    of: Alignment

    @classmethod
    def wide(cls, alignment: Mapping[str, Sequence[Site]]) -> "Places":
        """The places of an alignment: which neurons, directions or features it chose is what is to be found."""
        return cls({v: tuple(dict.fromkeys(map(widened, sites))) for v, sites in alignment.items()})

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables, in the order of the alignment."""
        return tuple(self.of)

    @cached_property
    def at(self) -> Mapping[Site, tuple[str, ...]]:
        """By place, the variables that are looked for in it."""
        every = dict.fromkeys(site for sites in self.of.values() for site in sites)
        return {site: tuple(v for v, sites in self.of.items() if site in sites) for site in every}

    def widths(self, model: Model, inputs: Inputs) -> Mapping[Site, int]:
        """How many numbers a vector has at each place."""
        return {site: place.shape[-1] for site, place in locate(model.adapter, inputs, self.at).items()}

    def given(self, swap: Swap) -> Mapping[Site, Tensor]:
        """At each place the vectors of its variables' sources one after the other, [n, ..., variables * width]."""
        return {
            place: torch.cat([swap.source(v).values[place] for v in variables], -1)
            for place, variables in self.at.items()
        }

    def __str__(self) -> str:
        return ", ".join(f"{' and '.join(variables)} at {place}" for place, variables in self.at.items())
