"""Does what a refuter gave refute the result?"""

from collections.abc import Sequence

from causalmi.methods.controls import Control
from causalmi.results.refutation import MANY, Attempt, Demand
from causalmi.stats.estimate import Estimate
from causalmi.stats.multiplicity import permutation_p

ENOUGH = 19  # draws with which p can be .05
LEVEL = 0.05
ROUNDING = 1e-6  # how far from 1 sums of float32 may end


def judged(finding: str, refuter: Control, observed: Estimate, refuted: Estimate, draws: Sequence[float]) -> Attempt:
    """The attempt with its verdict; ``draws`` are the numbers of single draws of the refuter, if it has such.

    Where no draw of fewer than 19, or one of fewer than 39, reaches the result, that is too few draws to tell.
    """
    demand: Demand = getattr(refuter, "demand", "below")
    p = permutation_p(observed.value, draws) if demand == "below" and len(draws) else None
    below = p <= LEVEL if p is not None else refuted.high < observed.low
    ties = 0 if p is None else round(p * (1 + len(draws))) - 1
    open_yet = p is not None and p > LEVEL and ties <= 1 and len(draws) < MANY
    passed = {
        "below": below,
        "one": abs(refuted.value - 1) <= ROUNDING,
        "zero": refuted.low <= 0 <= refuted.high,
        "same": refuted.value == observed.value,
    }[demand]
    return Attempt(
        finding=finding,
        refuter=refuter.name,
        demand=demand,
        observed=observed.value,
        refuted=refuted,
        p=p,
        draws=len(draws),
        passed=None if open_yet else bool(passed),
        reason=_few(refuter, ties, len(draws)) if open_yet else "",
    )


def _few(refuter: Control, ties: int, draws: int) -> str:
    made = f"{ties} of {draws} draws reach{'es' if ties == 1 else ''} the result"
    return f"{made}, too few draws to tell; use {type(refuter).__name__}(n=99)"
