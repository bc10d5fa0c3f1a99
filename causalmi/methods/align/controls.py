"""Would as much be found where nothing is? Searches with the same budget, which a true alignment must beat."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from causalmi.engine.model import Model
from causalmi.errors import SiteError
from causalmi.methods.align.batches import Batches, Pool
from causalmi.methods.align.choose import Candidate, best, candidates
from causalmi.methods.align.das import Subspaces
from causalmi.methods.align.judging import judged
from causalmi.methods.align.method import Method, Problem
from causalmi.methods.controls import Control, ShuffledSources
from causalmi.methods.subsets import Subset
from causalmi.methods.swap import Alignment, Swap
from causalmi.rng import stream

DRAWS = 16  # random subspaces that are tried in one run


@dataclass(frozen=True, eq=False)
class Search:
    """The search that found what is judged: how, on what, and which of its alignments was taken."""

    method: Method
    problem: Problem
    taken: Candidate

    def repeated(self, change: Callable[[Swap, str], Swap]) -> Alignment:
        """What the same method finds at the same places when the interchanges it learns from are changed."""
        train = Pool(change(self.problem.train.swap, "train"))
        validation = Pool(change(self.problem.validation.swap, "validation"))
        problem = replace(self.problem, train=train, validation=validation, checkpoint=None, progress=None)
        found = candidates(problem, self.method.alone(self.taken.fitted.label).fits(problem))
        return found[best(found)].fitted.alignment


class SearchControl(ABC):
    """A control of :func:`causalmi.align`, which repeats its search where nothing should be found."""

    name: ClassVar[str]

    @abstractmethod
    def of(self, search: Search) -> Control:
        """The control of an interchange test of what was found."""


@dataclass(frozen=True, eq=False)
class Instead(Control):
    """The interchange of another alignment, possibly in another network or with other labels; sought when needed."""

    name: str
    find: Callable[[], Alignment]
    model: Model | None = None
    relabelled: bool = False

    @cached_property
    def alignment(self) -> Alignment:
        """What was found."""
        return self.find()

    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
        other = Swap(self.model or swap.model, swap.pairs, self.alignment, swap.batch_size, recorded=False)
        if self.relabelled:
            other = relabelled(other, [subset], seed)
        return other.hits(subset, other.interchange(subset))


@dataclass(frozen=True)
class UntrainedSearch(SearchControl):
    """The same search in a network of the same shape whose weights were drawn afresh, judged in that network."""

    name = "searched in an untrained network"

    def of(self, search: Search) -> Control:
        fresh = search.problem.model.untrained(search.problem.seed)
        return Instead(
            self.name,
            lambda: search.repeated(lambda swap, _: Swap(fresh, swap.pairs, swap.alignment, swap.batch_size)),
            fresh,
        )


@dataclass(frozen=True)
class PermutedSearch(SearchControl):
    """The same search with the answers of different pairs exchanged, judged by answers exchanged in the same way."""

    name = "searched with permuted labels"

    def of(self, search: Search) -> Control:
        subsets, seed = search.problem.subsets, search.problem.seed

        def change(swap: Swap, part: str) -> Swap:
            kept = replace(swap)
            return relabelled(kept, subsets, int(stream(seed, "permuted", part).integers(2**31)))

        return Instead(self.name, lambda: search.repeated(change), relabelled=True)


@dataclass(frozen=True)
class RandomSearch(SearchControl):
    """The best of as many random subspaces of the same size as training had steps, each tried on one of its batches."""

    name = "best of random subspaces"

    def of(self, search: Search) -> Control:
        return Instead(self.name, lambda: _best_drawn(search))


DEFAULT: tuple[Control | SearchControl, ...] = (
    ShuffledSources(), RandomSearch(), UntrainedSearch(), PermutedSearch()
)  # fmt: skip


def relabelled(swap: Swap, subsets: Sequence[Subset], seed: int) -> Swap:
    """The same interchanges, each pair with the answer of another one: that at the same place in its own choices."""
    choices = swap.pairs.choices
    for subset in subsets:
        labels = swap.expected(subset)
        order = torch.from_numpy(stream(seed, "relabelled", *map(str, subset)).permutation(len(labels)))
        if choices is not None:
            column = (choices == labels[:, None]).int().argmax(1)[order]
            labels = choices.gather(1, column[:, None])[:, 0]
        else:
            labels = labels[order]
        swap._expected[subset] = labels
    return swap


def _best_drawn(search: Search) -> Alignment:
    """The random subspaces that agree most often, each on one training batch."""
    problem, method = search.problem, search.method
    dims = {
        v: sum(s.basis.dims for s in sites if s.basis is not None) for v, sites in search.taken.fitted.alignment.items()
    }
    if not all(s.basis is not None for sites in search.taken.fitted.alignment.values() for s in sites):
        raise SiteError("what was found is no subspace, so there are no random ones of its size")
    batches = Batches(problem.train, problem.places, getattr(method, "batch", 64))
    tries, top, found = getattr(method, "steps", 100), -1.0, None
    for number, start in enumerate(range(0, tries, DRAWS)):
        seeds = [
            int(stream(problem.seed, "random subspace", str(i)).integers(2**31))
            for i in range(start, min(start + DRAWS, tries))
        ]
        drawn = Subspaces(problem.places, problem.widths, [(dims, seed) for seed in seeds], 0.0)
        pieces = batches.pieces[number % len(batches.pieces)]
        for i, (agreed, _) in enumerate(judged(batches, pieces, problem.subsets, drawn.shares(1.0))):
            if agreed > top:
                top, found = agreed, drawn.found(i)
    assert found is not None  # one subspace is tried at least
    return found
