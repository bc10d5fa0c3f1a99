"""Which neurons carry a variable? At small places every set of them is tried; nothing is learned by gradients."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice, zip_longest
from math import comb

import torch

from causalmi.engine.featurizers.linear import Identity
from causalmi.errors import SpecError
from causalmi.methods.align.batches import Batches
from causalmi.methods.align.judging import Score, judged
from causalmi.methods.align.learner import Share, Shares
from causalmi.methods.align.method import Fitted, Method, Problem
from causalmi.methods.swap import Alignment
from causalmi.spec.site import Site

MOST = 20_000  # sets of one variable's neurons that are tried
TOGETHER = 32  # sets that are tried in one run
Neurons = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class BruteForceNeurons(Method):
    """Every set of ``size`` neurons at the place of a variable, or with ``contiguous`` every block of them.

    Each is judged by the interchange of its variable alone on the training pairs; the ``kept`` best, for several
    variables at one place the best disjoint ones, are alignments among which the validation pairs choose.
    Raises SpecError for more than 20,000 sets, and for a variable at several places.
    """

    size: int
    contiguous: bool = False
    kept: int = 10
    name = "best neurons"

    def fits(self, problem: Problem) -> list[Fitted]:
        self.refuse(problem)
        ranked = {v: self._ranked(problem, v) for v in problem.places.variables}
        led_by = [islice(led(ranked, problem.places.of, v), self.kept) for v in ranked]
        found = [f for f in chain(*zip_longest(*led_by)) if f is not None]
        if not found:
            raise SpecError("BruteForceNeurons", [f"no disjoint sets of {self.size} were found; give a smaller size"])
        return [self._fitted(problem, dict(each)) for each in list(dict.fromkeys(found))[: self.kept]]

    def problems(self) -> list[str]:
        found = [n for n in ("size", "kept") if type(getattr(self, n)) is not int or getattr(self, n) < 1]
        return [f"{n} is {getattr(self, n)!r}, it must be a whole number from 1" for n in found]

    def refuse(self, problem: Problem) -> None:
        for v, places in problem.places.of.items():
            if len(places) > 1:
                raise SpecError("BruteForceNeurons", [f"{v} is looked for at {len(places)} places; give it one"])
            width, sharing = problem.widths[places[0]], problem.places.at[places[0]]
            if self.size * len(sharing) > width:
                said = f"{' and '.join(sharing)} are to have {self.size} neurons each at {places[0]}, which has {width}"
                raise SpecError("BruteForceNeurons", [f"{said}; give a smaller size"])
            if not self.contiguous and (sets := comb(width, self.size)) > MOST:
                said = f"there are {sets:,} sets of {self.size} of the {width} neurons at {places[0]}"
                raise SpecError("BruteForceNeurons", [f"{said}, more than {MOST:,}; use contiguous=True, or DAS"])

    def _ranked(self, problem: Problem, variable: str) -> list[Neurons]:
        """All sets, the best one of the training pairs first."""
        (place,) = problem.places.of[variable]
        sets = list(self._sets(problem.widths[place]))
        batches, scores = Batches(problem.train, problem.places, self.batch), list[Score]()
        pieces = [piece for batch in batches.pieces for piece in batch]
        for start in range(0, len(sets), TOGETHER):
            points = [_only(problem, variable, neurons) for neurons in sets[start : start + TOGETHER]]
            scores += judged(batches, pieces, [(variable,)], points)
            if problem.progress is not None:
                problem.progress(f"neurons of {variable}", min(start + TOGETHER, len(sets)), len(sets))
        return [sets[i] for i in sorted(range(len(sets)), key=lambda i: scores[i], reverse=True)]

    def _sets(self, width: int) -> Iterator[Neurons]:
        if self.contiguous:
            return (tuple(range(i, i + self.size)) for i in range(width - self.size + 1))
        return combinations(range(width), self.size)

    def _fitted(self, problem: Problem, found: Mapping[str, Neurons]) -> Fitted:
        sites: Alignment = {
            v: tuple(replace(place, neurons=found[v]) for place in places) for v, places in problem.places.of.items()
        }
        label = "; ".join(f"{v} {list(neurons)}" for v, neurons in found.items())
        return Fitted({"neurons": label}, sites)


def _only(problem: Problem, variable: str, neurons: Neurons) -> Shares:
    """An interchange of ``variable`` that sets these neurons."""
    shares = {}
    for place, variables in problem.places.at.items():
        masks = torch.zeros(len(variables), problem.widths[place])
        if variable in variables:
            masks[variables.index(variable), list(neurons)] = 1
        shares[place] = Share(Identity(problem.widths[place]), masks)
    return shares


def led(
    ranked: Mapping[str, Sequence[Neurons]], of: Mapping[str, Sequence[Site]], first: str
) -> Iterator[tuple[tuple[str, Neurons], ...]]:
    """The sets of ``first``, best first, each with the best of the others that share no neuron with those before."""
    for neurons in ranked[first]:
        found = {first: neurons}
        for v in ranked:
            taken = {i for u, given in found.items() if of[u] == of[v] for i in given}
            if v != first and (free := next((s for s in ranked[v] if taken.isdisjoint(s)), None)) is not None:
                found[v] = free
        if len(found) == len(ranked):
            yield tuple((v, found[v]) for v in ranked)
