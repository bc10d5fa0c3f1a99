"""Would the same number come out if the claim were wrong? Controls that a true claim must beat."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.errors import SiteError, SpecError
from causalmi.methods.site_draw import SiteDraw
from causalmi.methods.subsets import Subset, names
from causalmi.methods.swap import Alignment, Swap
from causalmi.rng import stream


class Control(ABC):
    """A variation of an interchange test under which a true claim's accuracy should fall."""

    name: str

    @abstractmethod
    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
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

    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
        n = len(swap.pairs)
        if n < 2:
            raise SiteError("one pair cannot be shuffled")
        order = {}
        for item in subset:
            rows = stream(seed, "shuffled sources", str(item)).permutation(n)
            other = np.empty(n, dtype=np.int64)
            other[rows] = np.roll(rows, 1)  # one cycle through all pairs, so that none keeps its own source
            order[item] = torch.from_numpy(other)
        return swap.hits(subset, swap.interchange(subset, order))


@dataclass(frozen=True)
class UntrainedModel(Control):
    """The same interchange in a network of the same shape whose weights were drawn afresh."""

    name = "untrained network"

    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
        fresh = replace(swap, model=swap.model.untrained(seed), recorded=False)
        return swap.hits(subset, fresh.interchange(subset))


@dataclass(frozen=True)
class Redrawn(Control):
    """The same interchange at other sites, drawn ``n`` times at random, the pairs shared out among the draws.

    Raises SpecError for an ``n`` below 1.
    """

    n: int = 20

    def __post_init__(self) -> None:
        if type(self.n) is not int or self.n < 1:
            raise SpecError(type(self).__name__, [f"n is {self.n!r}, it must be a whole number from 1"])

    @abstractmethod
    def drawn(self, draw: SiteDraw, subset: tuple[str, ...]) -> Alignment:
        """One draw; raises SiteError when there is nothing to draw."""

    def clusters(self, swap: Swap) -> NDArray[np.int64]:
        """The draws: the interval must say how much others would differ."""
        return np.arange(len(swap.pairs)) % self.n

    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
        draw = SiteDraw(swap, stream(seed, self.name, *map(str, subset)))
        hits = torch.zeros(len(swap.pairs), dtype=torch.bool)
        for i in range(min(self.n, len(swap.pairs))):
            alignment = self.drawn(draw, names(subset))
            rows = torch.arange(i, len(swap.pairs), self.n)
            part = Swap(swap.model, swap.pairs.rows(rows), alignment, swap.batch_size, recorded=False)
            hits[rows] = part.hits(subset, part.interchange(subset))
        return hits


@dataclass(frozen=True)
class RandomSite(Redrawn):
    """The same interchange at ``n`` random sites of the same type and size, the pairs shared out among them.

    A site that is a subspace gets another place, and there a random subspace of as many dimensions. It cannot be had
    for features, whose featurizer is for one place.
    """

    name = "random site"

    def drawn(self, draw: SiteDraw, subset: tuple[str, ...]) -> Alignment:
        return draw.alignment(subset)


@dataclass(frozen=True)
class RandomSubspace(Redrawn):
    """The same interchange in ``n`` random subspaces of as many dimensions at the same places, the pairs shared out.

    For features it is as many others of their featurizer. It cannot be had for a site that is no subspace, nor for one
    that is its whole space.
    """

    name = "random subspace"

    def drawn(self, draw: SiteDraw, subset: tuple[str, ...]) -> Alignment:
        return draw.subspaces(subset)


def controls_of(test: str, controls: Any) -> tuple[Control, ...]:
    """The controls of a test, of which one may be given by itself; raises SpecError for what is none."""
    many = isinstance(controls, Iterable) and not isinstance(controls, str)
    chosen = tuple(controls) if many else (controls,)
    if bad := [c for c in chosen if not isinstance(c, Control)]:
        raise SpecError(test, [f"{bad[0]!r} is no control; give values such as causalmi.ShuffledSources()"])
    return chosen


DEFAULT = (ShuffledSources(), RandomSite(), UntrainedModel())
