"""Does a circuit react to damage as the network does? Wang et al. 2022 (arXiv:2211.00593), section 4.2."""

import numpy as np

from causalmi.methods.circuits.case import Case, Measured, above_zero
from causalmi.methods.circuits.knockouts import SEARCHES, Search, gaps
from causalmi.results import Verdict
from causalmi.rng import stream
from causalmi.spec.graph import Bools
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import ratio

FEWEST = 6  # bases with which half can search and half judge
SHOWN = 12


def completeness(case: Case) -> list[Measured]:
    """The largest |F(C - K) - F(M - K)| / |F(M) - F(empty)| that each search finds for sets K of the circuit's edges.

    Half of the bases search, the others judge, so that the largest of many is not too large by chance. The gap has the
    sign that it had in the search. p of H0: it is at most the rule's gap.
    """
    if not case.array.any():
        return [
            Measured(
                name="completeness", said="a circuit without edges has none to take out", otherwise="uninformative"
            )
        ]
    searching, judging = halves(case)
    return [_found(case, name, search, searching, judging) for name, search in SEARCHES.items()]


def _found(case: Case, name: str, search: Search, searching: Bools, judging: Bools) -> Measured:
    knocked = search(case, searching)
    gap = gaps(case, [knocked])[0]
    gap = gap if gap[searching].mean() >= 0 else -gap
    span, clusters, limit = case.sign * case.span[judging], case.clusters[judging], case.how.rule.gap
    share = ratio(gap[judging], span, clusters)
    edges = [str(edge) for edge in case.problem.graph.named(knocked)]
    more = f" and {len(edges) - SHOWN} more" if len(edges) > SHOWN else ""
    apart = "not measurably" if share is None else format(share, ".3f")
    where = "" if (searching & judging).any() else ", on other pairs than it was searched on"
    return Measured(
        name=f"completeness[{name}]",
        said=f"without {', '.join(edges[:SHOWN])}{more} circuit and network are {apart} apart{where}",
        estimate=share,
        p=above_zero(gap[judging] - limit * span, clusters),
        shows="rejected",
        otherwise=_small(share, limit),
        details={"knocked out": edges, "raw": float(gap[judging].mean())},
    )


def _small(share: Estimate | None, limit: float) -> Verdict:
    """Whether the gap is small for sure; that another set has a larger one cannot be ruled out."""
    if share is None:
        return "uninformative"
    return "supported" if -limit <= share.low and share.high <= limit else "inconclusive"


def halves(case: Case) -> tuple[Bools, Bools]:
    """Which pairs search and which judge: no base does both, or all do both where they are few."""
    bases = int(case.clusters.max()) + 1
    if bases < FEWEST:
        every = np.ones(len(case.clusters), dtype=bool)
        return every, every
    chosen = np.zeros(bases, dtype=bool)
    chosen[stream(case.how.seed, "completeness", "halves").permutation(bases)[: bases // 2]] = True
    searching: Bools = chosen[case.clusters]
    return searching, ~searching
