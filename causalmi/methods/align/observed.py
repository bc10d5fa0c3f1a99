"""What do the vectors at a place look like, and which value does a variable have where each was seen?"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from causalmi.data.clusters import number
from causalmi.data.drawn import Drawn
from causalmi.engine.locate import locate
from causalmi.errors import DataError, ModelError, PositionError
from causalmi.methods.align.method import Problem
from causalmi.methods.readout import MOST
from causalmi.spec.site import Site

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Observed:
    """The vectors of the training pairs of ``problem``: those of the bases, then those of each variable's sources.

    A place of several positions or heads gives a vector for each.
    """

    problem: Problem

    def vectors(self, place: Site) -> Floats:
        """Everything seen at ``place``, [m, width]; raises ModelError for NaN or infinite numbers."""
        found = np.concatenate([x.flatten(0, -2).double().cpu().numpy() for x in self._tensors(place)])
        if not np.isfinite(found).all():
            raise ModelError(f"there are NaN or infinite numbers at {place}; try float32")
        return found

    def values(self, place: Site, variable: str) -> list[Any]:
        """The value of ``variable`` for each of the vectors at ``place``; raises DataError for pairs without any."""
        tables = [self._drawn.base, *(self._drawn.sources[v] for v in self.problem.places.at[place])]
        return [
            value
            for table, x in zip(tables, self._tensors(place), strict=True)
            for value in table[variable].tolist()
            for _ in range(x[0, ..., 0].numel())
        ]

    def kinds(self, place: Site, variable: str) -> Ints:
        """The same as numbers of their kinds; raises DataError for a variable that has one value, or more than 256."""
        kinds = number(self.values(place, variable))
        if not 2 <= (count := int(kinds.max()) + 1) <= MOST:
            raise DataError(
                f"{variable} has {count:,} different values in the training pairs; its directions can be told from "
                f"2 to {MOST} values"
            )
        return kinds

    def numbers(self, place: Site, variable: str) -> Floats:
        """The same as numbers; raises DataError for values that are none, and for a variable with one value."""
        values = self.values(place, variable)
        if bad := [v for v in values if not isinstance(v, bool | int | float | np.number) or not np.isfinite(v)]:
            raise DataError(f"{variable} has the value {bad[0]!r}, which is no number; learn from classes instead")
        found = np.array(values, dtype=np.float64)
        if not np.ptp(found):
            raise DataError(f"{variable} is {found[0]:g} in all training pairs; draw pairs in which it varies")
        return found

    def _tensors(self, place: Site) -> list[Tensor]:
        swap = self.problem.train.swap
        return [self._bases[place], *(swap.source(v).values[place] for v in self.problem.places.at[place])]

    @cached_property
    def _drawn(self) -> Drawn:
        drawn = self.problem.train.swap.pairs.drawn
        if drawn is None:
            raise DataError(
                "these pairs hold no values of the variables, only the network's inputs, so nothing can be learned "
                "from values; draw pairs from a task, or learn from answers, as causalmi.DAS does"
            )
        return drawn

    @cached_property
    def _bases(self) -> dict[Site, Tensor]:
        """What the bases have at the places; raises PositionError where padding would be taken for a vector."""
        swap, places = self.problem.train.swap, tuple(self.problem.places.at)
        inputs = swap.pairs.base
        uneven = bool((inputs.lengths != inputs.lengths[0]).any())
        if uneven and (wide := [s for s, p in locate(swap.model.adapter, inputs, places).items() if p.sequence]):
            raise PositionError(f"{wide[0]} spans whole examples of unequal lengths; name a position with at=")
        return swap.model.capture(inputs, places, batch_size=swap.batch_size)
