"""Did a variable need what was found for it? The same test pairs with simpler alignments.

They are no controls: a variable may well live in single neurons, or fill its place.
"""

from collections.abc import Callable, Mapping

from causalmi.errors import CausalmiError, SiteError
from causalmi.methods.align.choose import weakest
from causalmi.methods.align.method import Fitted, Problem
from causalmi.methods.align.snap import greatest_entries, greatest_rows, localised
from causalmi.methods.swap import Alignment, Swap, widened
from causalmi.stats.estimate import Estimate


def compared(problem: Problem, found: Alignment, swap: Swap) -> dict[str, Estimate | str]:
    """For each simpler alignment its agreement on the pairs of ``swap``, of the set of variables where it is lowest.

    Or the reason why there is none. The whole places of ``problem`` are those of ``swap``.
    """
    return {name: _estimate(problem, found, swap, simpler) for name, simpler in SIMPLER.items()}


def _estimate(
    problem: Problem, found: Alignment, swap: Swap, simpler: Callable[[Alignment], Alignment]
) -> Estimate | str:
    try:
        return weakest(problem, swap, Fitted({}, simpler(found)))
    except CausalmiError as error:
        return str(error)


def _whole(found: Alignment) -> Alignment:
    """Everything at the places; raises SiteError where variables share one, or have all of it already."""
    wide = {v: tuple(map(widened, sites)) for v, sites in found.items()}
    if dict(found) == wide:
        raise SiteError("the whole place is what was found")
    every = [site for sites in wide.values() for site in sites]
    if len(set(every)) < len(every):
        raise SiteError("several variables share a place, which can be set as a whole for one of them only")
    return wide


SIMPLER: Mapping[str, Callable[[Alignment], Alignment]] = {
    "snapped to neurons": lambda found: localised(found, greatest_entries),
    "as many neurons, chosen by weight": lambda found: localised(found, greatest_rows),
    "the whole place": _whole,
}
