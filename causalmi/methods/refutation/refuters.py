"""How could a good number come about without the claim being true? Refuters beside the controls of a test."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.errors import SpecError
from causalmi.methods.agreement import answers
from causalmi.methods.controls import Control
from causalmi.methods.subsets import Subset, names
from causalmi.methods.swap import Swap
from causalmi.results.refutation import Demand
from causalmi.rng import stream


def exchanged(strata: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random order of n rows that exchanges only those of one stratum, int64 [n]; ``strata`` [n].

    >>> exchanged(np.array([0, 1, 0]), np.random.default_rng(0))[1]
    np.int64(1)
    """
    order = np.empty(len(strata), dtype=np.int64)
    order[np.argsort(strata, kind="stable")] = np.lexsort((rng.random(len(strata)), strata))
    return order


class Refuter(Control):
    """A variation of a test of which is known what it must give."""

    demand: ClassVar[Demand]


@dataclass(frozen=True)
class PermutedLabels(Refuter):
    """The right answers exchanged between examples, ``n`` times: what is left is the base rate of answers.

    Of an interchange test, those expected are exchanged among pairs whose bases have the same right answer, so that
    doing nothing, which gives that answer, is no better than the draws. It has no power where the base's answer says
    what the counterfactual one is.
    """

    n: int = 999
    name = "permuted labels"
    demand = "below"

    def __post_init__(self) -> None:
        if type(self.n) is not int or self.n < 1:
            raise SpecError("PermutedLabels", [f"n is {self.n!r}, it must be a whole number from 1"])

    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
        return swap.interchange(subset).among_choices == next(self.labels(swap, subset, seed))

    def labels(self, swap: Swap, subset: Subset, seed: int) -> Iterator[Tensor]:
        """The expected answers of an interchange, exchanged ``n`` times."""
        rng, expected = stream(seed, "permuted labels", *map(str, subset)), swap.expected(subset)
        strata = swap.pairs.base_labels.numpy()
        return (expected[torch.from_numpy(exchanged(strata, rng))] for _ in range(self.n))


@dataclass(frozen=True)
class SelfDonor(Refuter):
    """Every place receives its own base's numbers: nothing may change, or the interventions are not what they say."""

    name = "self donor"
    demand = "one"

    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
        sites = [site for v in names(subset) for site in swap.alignment[v]]
        own = swap.model.capture(swap.pairs.base, sites, batch_size=swap.batch_size)
        given = answers(swap.model, swap.pairs.base, swap.pairs, edits=own, batch_size=swap.batch_size)
        return given.among_choices == swap.base.among_choices


@dataclass(frozen=True)
class EmptyHypothesis(Refuter):
    """Nothing is claimed, so everything is resampled: nothing of the loss may be recovered."""

    name = "empty hypothesis"
    demand = "zero"

    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
        raise SpecError("an interchange test", ["with no place set there is no interchange; refute a scrub"])


@dataclass(frozen=True)
class EquivalentRelabelling(Refuter):
    """Every value of every variable gets another name, one to one: scrubbing may see no difference.

    It checks the tables by which donors are drawn, not the claim: a false claim passes it as well.
    """

    name = "equivalent relabelling"
    demand = "same"

    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
        raise SpecError("an interchange test", ["it asks for answers, which have no other names; refute a scrub"])
