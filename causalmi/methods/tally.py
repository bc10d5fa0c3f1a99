"""How often did it agree? Hits of examples and of their controls, added up over blocks of examples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causalmi.data.pairs import CounterfactualPairs
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import proportion
from causalmi.stats.sequential import betting_interval

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Tally:
    """Of n examples whether each agreed (bool [n]), which share a cluster (int [n]), and what else is known (by name).

    ``controls`` has the tally of each control, or the reason why there is none.
    """

    hits: Array
    clusters: Array
    columns: Mapping[str, Array] = field(default_factory=dict)
    controls: Mapping[str, "Tally | str"] = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        apart = other.clusters + (int(self.clusters.max()) + 1 if len(self.clusters) else 0)
        return Tally(
            np.concatenate([self.hits, other.hits]),
            np.concatenate([self.clusters, apart]),
            {name: np.concatenate([x, other.columns[name]]) for name, x in self.columns.items()},
            {name: _both(x, other.controls[name]) for name, x in self.controls.items()},
        )

    def where(self, mask: Array) -> "Tally":
        """The examples where ``mask``, bool [n], holds, without controls."""
        return Tally(self.hits[mask], self.clusters[mask])

    def estimate(self, *, anytime: bool = False) -> Estimate:
        """The share of hits; with ``anytime`` its interval holds however the number of examples came about."""
        return betting_interval(self.hits.astype(float)) if anytime else proportion(self.hits, self.clusters)

    def share(self, mask: Array) -> Estimate | None:
        """The share of hits where ``mask`` holds; None where it never does."""
        return self.where(mask).estimate() if mask.any() else None

    def compared(self) -> dict[str, Estimate | str]:
        """Each control's share, or why it cannot be had."""
        return {name: x if isinstance(x, str) else x.estimate() for name, x in self.controls.items()}


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a block of examples showed: a tally for each finding, a table, and the network's own accuracy.

    ``pairs`` are those of each block, where they are kept.
    """

    tallies: Mapping[Any, Tally]
    frame: pd.DataFrame
    accuracy: Tally | None = None
    pairs: tuple[CounterfactualPairs, ...] = ()

    def __add__(self, other: "Evidence") -> "Evidence":
        own = None if self.accuracy is None or other.accuracy is None else self.accuracy + other.accuracy
        return Evidence(
            {key: tally + other.tallies[key] for key, tally in self.tallies.items()},
            pd.concat([self.frame, other.frame], ignore_index=True),
            own,
            self.pairs + other.pairs,
        )


def _both(a: Tally | str, b: Tally | str) -> Tally | str:
    if isinstance(a, str):
        return a
    return b if isinstance(b, str) else a + b
