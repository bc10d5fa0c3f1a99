"""Would the same number come out if the claim were wrong? Controls that a true claim must beat."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.errors import SiteError
from causalmi.methods.site_draw import SiteDraw
from causalmi.methods.swap import Swap
from causalmi.rng import stream


class Control(ABC):
    """A variation of an interchange test under which a true claim's accuracy should fall."""

    name: str

    @abstractmethod
    def hits(self, swap: Swap, subset: tuple[str, ...], seed: int) -> Tensor:
        """Whether each pair's answer is the counterfactual one all the same, bool [n].

        Raises SiteError or ModelError when the control cannot be had here; the message says why.
        """

    def clusters(self, swap: Swap) -> NDArray[np.int64]:
        """For each pair the number of what was drawn anew for it: by default its base."""
        return swap.clusters


@dataclass(frozen=True)
class ShuffledSources(Control):
    """Each base receives the activations of another pair's source, while the expected label stays its own."""

    name = "shuffled sources"

    def hits(self, swap: Swap, subset: tuple[str, ...], seed: int) -> Tensor:
        n = len(swap.pairs)
        if n < 2:
            raise SiteError("one pair cannot be shuffled")
        order = {}
        for variable in subset:
            rows = stream(seed, "shuffled sources", variable).permutation(n)
            other = np.empty(n, dtype=np.int64)
            other[rows] = np.roll(rows, 1)  # one cycle through all pairs, so that none keeps its own source
            order[variable] = torch.from_numpy(other)
        return swap.hits(subset, swap.interchange(subset, order))


@dataclass(frozen=True)
class UntrainedModel(Control):
    """The same interchange in a network of the same shape whose weights were drawn afresh."""

    name = "untrained network"

    def hits(self, swap: Swap, subset: tuple[str, ...], seed: int) -> Tensor:
        fresh = replace(swap, model=swap.model.untrained(seed), recorded=False)
        return swap.hits(subset, fresh.interchange(subset))


@dataclass(frozen=True)
class RandomSite(Control):
    """The same interchange at ``n`` random sites of the same type and size, the pairs shared out among them."""

    n: int = 20
    name = "random site"

    def clusters(self, swap: Swap) -> NDArray[np.int64]:
        """The sites: the interval must say how much another draw of them would differ."""
        return np.arange(len(swap.pairs)) % self.n

    def hits(self, swap: Swap, subset: tuple[str, ...], seed: int) -> Tensor:
        draw = SiteDraw(swap, stream(seed, "random site", *subset))
        hits = torch.zeros(len(swap.pairs), dtype=torch.bool)
        for i in range(self.n):
            alignment = draw.alignment(subset)
            rows = torch.arange(i, len(swap.pairs), self.n)
            if len(rows):
                part = Swap(swap.model, swap.pairs.rows(rows), alignment, swap.batch_size, recorded=False)
                hits[rows] = part.hits(subset, part.interchange(subset))
        return hits


DEFAULT = (ShuffledSources(), RandomSite(), UntrainedModel())
