"""Which of the alignments that were found is claimed? The validation pairs say; the smallest that is about as good."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from causalmi.methods.align.method import Fitted, Problem
from causalmi.methods.subsets import Subset
from causalmi.methods.swap import Swap
from causalmi.methods.tally import Tally
from causalmi.spec.site import Site
from causalmi.stats.estimate import Estimate

TOLERANCE = 0.02  # how much less agreement a smaller alignment may have and still be taken


@dataclass(frozen=True, eq=False)
class Candidate:
    """An alignment that was found at the places ``where``, and its agreement on the validation pairs by set."""

    where: str
    fitted: Fitted
    agreement: Mapping[Subset, Estimate]

    @property
    def iia(self) -> Estimate:
        """Of the set of variables where it is lowest."""
        return min(self.agreement.values(), key=lambda x: x.value)

    @property
    def score(self) -> float:
        """By what it is chosen: what its method says, else the agreement ``iia``."""
        return float(self.fitted.more.get("score", self.iia.value))

    @property
    def size(self) -> int:
        """How many numbers the variables have together; whole places count as all there is."""
        return sum(numbers(site) for sites in self.fitted.alignment.values() for site in sites)

    @property
    def row(self) -> dict[str, Any]:
        """The candidate in the table of fits."""
        return {"place": self.where, **self.fitted.label, "iia": self.iia.value, **self.fitted.more}


def numbers(site: Site) -> int:
    """How many numbers of a vector a site means; as many as there could be for a whole place."""
    chosen = site.basis.dims if site.basis is not None else len(site.chosen or site.neurons or ())
    return chosen or 2**31


def candidates(problem: Problem, found: Sequence[Fitted]) -> list[Candidate]:
    """What the validation pairs say of each alignment."""
    return [Candidate(str(problem.places), each, agreement(problem, problem.validation.swap, each)) for each in found]


def agreement(problem: Problem, swap: Swap, fitted: Fitted) -> dict[Subset, Estimate]:
    """By set of variables, how often their interchange gives the causal model's answer."""
    inside = swap.within(fitted.alignment)
    return {subset: tally(inside, subset).estimate() for subset in problem.subsets}


def weakest(problem: Problem, swap: Swap, fitted: Fitted) -> Estimate:
    """The agreement of the set of variables where it is lowest, on the pairs of ``swap``."""
    return min(agreement(problem, swap, fitted).values(), key=lambda x: x.value)


def tally(swap: Swap, subset: Subset) -> Tally:
    """Hits of the interchange of one set."""
    return Tally(swap.hits(subset, swap.interchange(subset)).numpy(), swap.clusters)


def best(found: Sequence[Candidate]) -> int:
    """The number of the smallest candidate whose score, the agreement for most methods, is within 0.02 of the best.

    Of several as small, the one with the highest score; then the one with the least loss; then the first.
    """
    top = max(c.score for c in found)
    good = [i for i, c in enumerate(found) if c.score >= top - TOLERANCE]
    return min(good, key=lambda i: (found[i].size, -found[i].score, found[i].fitted.more.get("loss", 0.0), i))


def table(found: Sequence[Candidate], chosen: int) -> pd.DataFrame:
    """A row for each candidate."""
    return pd.DataFrame([{**c.row, "chosen": i == chosen} for i, c in enumerate(found)])
