"""Would as much be found where nothing is? Searches with the same budget, which a true alignment must beat."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from causalmi.engine.model import Model
from causalmi.errors import SiteError, SpecError
from causalmi.methods.align.batches import Batches, Pool
from causalmi.methods.align.choose import Candidate, best, candidates
from causalmi.methods.align.judging import judged
from causalmi.methods.align.method import Method, Problem
from causalmi.methods.align.subspaces import Subspaces
from causalmi.methods.controls import Control, ShuffledSources
from causalmi.methods.subsets import Subset
from causalmi.methods.swap import Alignment, Swap
from causalmi.rng import stream
from causalmi.spec.site import Site

DRAWS = 16  # random subspaces that are tried in one run


@dataclass(frozen=True, eq=False)
class Search:
    """The search that found what is judged: how, on what, and which of its alignments was taken."""

    method: Method
    problem: Problem
    taken: Candidate

    def repeated(self, change: Callable[[Pool, str], Pool]) -> Alignment:
        """What the same method finds at the same places when the pairs it learns from are changed."""
        train, validation = change(self.problem.train, "train"), change(self.problem.validation, "validation")
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
    find: Callable[[], tuple[Model, Alignment]]
    relabelled: bool = False

    @cached_property
    def found(self) -> tuple[Model, Alignment]:
        """A network, and what was found in it."""
        return self.find()

    def hits(self, swap: Swap, subset: Subset, seed: int) -> Tensor:
        model, alignment = self.found
        other = Swap(model, swap.pairs, alignment, swap.batch_size, recorded=False)
        if self.relabelled:
            relabel(other, [subset], seed)
        return other.hits(subset, other.interchange(subset))


@dataclass(frozen=True)
class UntrainedSearch(SearchControl):
    """The same search in a network of the same shape whose weights were drawn afresh, judged in that network."""

    name = "searched in an untrained network"

    def of(self, search: Search) -> Control:
        def find() -> tuple[Model, Alignment]:
            fresh = search.problem.model.untrained(search.problem.seed)
            return fresh, search.repeated(lambda pool, _: Pool(replace(pool.swap, model=fresh)))

        return Instead(self.name, find)


@dataclass(frozen=True)
class PermutedSearch(SearchControl):
    """The same search with the answers of different pairs exchanged, judged by answers exchanged in the same way."""

    name = "searched with permuted labels"

    def of(self, search: Search) -> Control:
        subsets, seed = search.problem.subsets, search.problem.seed

        def find() -> tuple[Model, Alignment]:
            if not search.method.by_answers:
                raise SpecError(search.method.name, ["it learns nothing from answers, so permuting them is no control"])
            return search.problem.model, search.repeated(change)

        def change(pool: Pool, part: str) -> Pool:
            again = pool.swap.within(pool.swap.alignment)  # what was run is not run again
            relabel(again, subsets, int(stream(seed, "permuted", part).integers(2**31)))
            return pool.like(again)

        return Instead(self.name, find, relabelled=True)


@dataclass(frozen=True)
class RandomSearch(SearchControl):
    """The best of as many random subspaces of the same size as training had steps, each tried on one of its batches."""

    name = "best of random subspaces"

    def of(self, search: Search) -> Control:
        return Instead(self.name, lambda: (search.problem.model, _best_drawn(search)))


DEFAULT: tuple[Control | SearchControl, ...] = (
    ShuffledSources(), RandomSearch(), UntrainedSearch(), PermutedSearch()
)  # fmt: skip


def relabel(swap: Swap, subsets: Sequence[Subset], seed: int) -> None:
    """Give each pair the expected answer of another one: that at the same place in its own choices."""
    choices = swap.pairs.choices
    for subset in subsets:
        labels = swap.expected(subset)
        order = torch.from_numpy(stream(seed, "relabelled", *map(str, subset)).permutation(len(labels)))
        if choices is not None:
            column = (choices == labels[:, None]).int().argmax(1)[order]
            labels = choices.gather(1, column[:, None])[:, 0]
        else:
            labels = labels[order]
        swap.expect(subset, labels)


def _best_drawn(search: Search) -> Alignment:
    """The random subspaces that agree most often, each on one training batch."""
    problem, method = search.problem, search.method
    sizes = {v: set(map(directions, sites)) for v, sites in search.taken.fitted.alignment.items()}
    if 0 in set().union(*sizes.values()):
        raise SiteError("what was found is no subspace, so there are no random ones of its size")
    if any(len(each) > 1 for each in sizes.values()):
        raise SiteError("what was found has another number of directions at each place, and random ones have one")
    dims = {v: each.pop() for v, each in sizes.items()}
    batches = Batches(problem.train, problem.places, method.batch)
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


def directions(site: Site) -> int:
    """How many directions, or neurons, of its place a site means; 0 for a whole place and for other features."""
    return len(site.neurons or ()) if site.basis is None else site.basis.dims
