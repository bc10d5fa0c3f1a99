"""Can a result be explained away? Every refuter against every finding of a test, with what it must show."""

from collections.abc import Callable, Sequence
from typing import Any

from causalmi.errors import CausalmiError, SpecError
from causalmi.methods.controls import Control
from causalmi.methods.refutation.of_interchange import against_interchange
from causalmi.methods.refutation.of_scrub import against_scrub
from causalmi.results import InterchangeResult
from causalmi.results.refutation import Attempt, Demand, RefutationResult
from causalmi.results.scrub import ScrubResult

ATTACKS: dict[type, Callable[..., list[Attempt]]] = {
    InterchangeResult: against_interchange,
    ScrubResult: against_scrub,
}


def refute(result: Any, refuters: Sequence[Control]) -> RefutationResult:
    """Attack a result of :func:`causalmi.interchange_test` or :func:`causalmi.scrub`, on the same examples and seed.

    A refuter that a true claim must beat ("below": `ShuffledSources`, `RandomSite`, `RandomSubspace`, `UntrainedModel`,
    `PermutedLabels`) is passed when p = (1 + k) / (1 + B) <= .05, k of its B draws reaching the result, or, where it is
    not drawn several times, when its interval lies below that of the result. Each draw of places is made on up to 256
    examples; that of an interchange test is compared with the result on these. With B < 39 and k <= 1 an attempt may be
    undecided. `SelfDonor` must give 1, `EmptyHypothesis` 0, `EquivalentRelabelling` the very same number. Raises
    SpecError for another result, or what is no refuter.
    """
    attack = ATTACKS.get(type(result))
    if attack is None:
        kind = type(result).__name__
        raise SpecError("refute", [f"a {kind} cannot be refuted; give the result of an interchange test or a scrub"])
    chosen = (refuters,) if isinstance(refuters, Control) else tuple(refuters)
    if bad := [r for r in chosen if not isinstance(r, Control)]:
        raise SpecError("refute", [f"{bad[0]!r} is no refuter; give values such as causalmi.RandomSite(n=20)"])
    attempts = [attempt for refuter in chosen for attempt in _tried(attack, result, refuter)]
    return RefutationResult(
        test=result.test,
        hypothesis=result.hypothesis,
        model=result.model,
        seed=result.seed,
        attempts=tuple(attempts),
    )


def _tried(attack: Callable[..., list[Attempt]], result: Any, refuter: Control) -> list[Attempt]:
    """The attempts, or why there are none."""
    try:
        return attack(result, refuter)
    except CausalmiError as reason:
        demand: Demand = getattr(refuter, "demand", "below")
        observed = None if result.estimate is None else result.estimate.value
        return [
            Attempt(finding=result.test, refuter=refuter.name, demand=demand, observed=observed, reason=str(reason))
        ]
