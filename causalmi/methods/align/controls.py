"""Would as much be found where nothing is? Searches at the chosen place and size, which a true alignment must beat."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.engine.model import Model
from causalmi.errors import CausalmiError, SiteError, SpecError
from causalmi.methods.align.batches import Batches, Pool
from causalmi.methods.align.choose import Candidate, best, candidates
from causalmi.methods.align.judging import Score, judged
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
    def _sought(self) -> tuple[Model, Alignment] | CausalmiError:
        try:
            return self.find()
        except CausalmiError as error:  # kept, so that it is not sought again for each set of variables
            return error

    @property
    def found(self) -> tuple[Model, Alignment]:
        """A network, and what was found in it; raises what the search did."""
        if isinstance(self._sought, CausalmiError):
            raise self._sought
        return self._sought

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
    """The best of as many random subspaces of the same size as training had steps.

    Each is tried on one of its batches, and of the 16 best the validation pairs choose.
    """

    name = "best of random subspaces"

    def of(self, search: Search) -> Control:
        return Instead(self.name, lambda: (search.problem.model, _best_drawn(search)))


DEFAULT: tuple[Control | SearchControl, ...] = (
    ShuffledSources(), RandomSearch(), UntrainedSearch(), PermutedSearch()
)  # fmt: skip


def relabel(swap: Swap, subsets: Sequence[Subset], seed: int) -> None:
    """Give each pair the expected answer of another one; where answers are chosen, any of its own candidates."""
    for subset in subsets:
        labels, rng = swap.expected(subset), stream(seed, "relabelled", *map(str, subset))
        swap.expect(
            subset,
            labels[torch.from_numpy(rng.permutation(len(labels)))]
            if swap.pairs.choices is None
            else _drawn_among(swap.pairs.choices, rng),
        )


def _drawn_among(choices: Int[Tensor, "n c"], rng: np.random.Generator) -> Int[Tensor, " n"]:
    """One of each row's different candidates, all as likely: which column an answer stands in says what it is of."""
    again = (choices[:, :, None] == choices[:, None, :]).tril(-1).any(-1)
    rank = torch.from_numpy(rng.random(choices.shape)).masked_fill(again, -1.0)
    return choices.gather(1, rank.argmax(1, keepdim=True))[:, 0]


def _best_drawn(search: Search) -> Alignment:
    """As many random subspaces as training had steps, each on one training batch; the best of them by validation."""
    problem = search.problem
    dims = _sizes(search.taken.fitted.alignment)
    pools, size = (problem.train, problem.validation), search.method.batch
    train, validation = (Batches(pool, problem.places, size) for pool in pools)
    streams = (stream(problem.seed, "random subspace", str(i)) for i in range(search.method.tries_made))
    seeds = [int(rng.integers(2**31)) for rng in streams]
    scores = list[Score]()
    for number, start in enumerate(range(0, len(seeds), DRAWS)):
        pieces = train.pieces[number % len(train.pieces)]
        drawn = _drawn(problem, dims, seeds[start : start + DRAWS])
        scores += judged(train, pieces, problem.subsets, drawn.shares(1.0))
    first = sorted(range(len(seeds)), key=lambda i: scores[i], reverse=True)[:DRAWS]
    final = _drawn(problem, dims, [seeds[i] for i in first])
    pieces = [piece for batch in validation.pieces for piece in batch]
    reached = judged(validation, pieces, problem.subsets, final.shares(1.0))
    return final.found(max(range(len(first)), key=lambda i: reached[i]))


def _drawn(problem: Problem, dims: Mapping[str, int], seeds: Sequence[int]) -> Subspaces:
    return Subspaces(problem.places, problem.widths, [(dims, seed) for seed in seeds], 0.0)


def _sizes(found: Alignment) -> dict[str, int]:
    """How many directions each variable has at its places; raises SiteError where there are no random ones as large."""
    sizes = {v: set(map(directions, sites)) for v, sites in found.items()}
    if 0 in set().union(*sizes.values()):
        raise SiteError("what was found is no subspace, so there are no random ones of its size")
    if any(len(each) > 1 for each in sizes.values()):
        raise SiteError("what was found has another number of directions at each place, and random ones have one")
    return {v: each.pop() for v, each in sizes.items()}


def directions(site: Site) -> int:
    """How many directions, or neurons, of its place a site means; 0 for a whole place and for other features."""
    return len(site.neurons or ()) if site.basis is None else site.basis.dims
