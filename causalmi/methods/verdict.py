"""Does the evidence support the claim, reject it, leave it open, or could it not have told?"""

from collections.abc import Mapping

from causalmi.errors import ModelError
from causalmi.results import Verdict, strongest
from causalmi.spec.hypothesis import AtLeast
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import difference

FEWEST_CHANGED = 10  # with fewer pairs whose label should change, an alignment that does nothing looks right


class TooInaccurateError(ModelError):
    """A network that does the task too rarely for anything to be found in it."""


def too_inaccurate(rule: AtLeast, accuracy: Estimate) -> str | None:
    """Why no alignment can be tested on a network that does not do the task well enough, or None when it does.

    On counterfactual inputs a network is right no more often than on natural ones, so accuracy below the rule's IIA
    would reject a true claim.
    """
    if accuracy.high >= rule.iia:
        return None
    return (
        f"uninformative: the network's own task accuracy is {accuracy}, below the IIA of {rule.iia:.2f} that the rule "
        "asks for, so not even a true claim could pass; test prompts on which the task is done, or filter_pairs"
    )


def judge(
    rule: AtLeast, iia: Estimate, changed: Estimate | None, controls: Mapping[str, Estimate | str]
) -> tuple[Verdict, str]:
    """The verdict, and the sentence that names the numbers it rests on; the first of these that holds.

    uninformative: the label changes in too few pairs; else that of :func:`weigh`. The interval of a difference is
    Newcombe's square-and-add.
    """
    numbers = f"IIA is {iia} over {iia.n} pairs" + (f" ({changed} where the label changes)" if changed else "")
    if changed is None or changed.n < FEWEST_CHANGED:
        few = changed.n if changed else 0
        return "uninformative", (
            f"uninformative: the counterfactual label differs from the base's in {few} of {iia.n} pairs, fewer than "
            f"{FEWEST_CHANGED}, so doing nothing would score as well; draw pairs with balance='change'"
        )
    return weigh(rule, iia, controls, numbers)


def weigh(rule: AtLeast, found: Estimate, controls: Mapping[str, Estimate | str], numbers: str) -> tuple[Verdict, str]:
    """The verdict on ``found``, any share that the rule asks for, and the sentence that begins with ``numbers``.

    uninformative: no control could be had; rejected: high(found) < rule.iia; uninformative: the strongest control
    reaches rule.iia as well; rejected: high(found - control) < rule.above_control; supported: low(found) >= rule.iia
    and low(found - control) >= rule.above_control; else inconclusive.
    """
    name, control = strongest(controls)
    if control is None:
        return "uninformative", f"uninformative: {numbers}, but no control could be had to compare it with"
    above = difference(found, control)
    verdict, why = _against(rule, found, control, above)
    beside = f"{above.value:.2f} [{above.low:.2f}, {above.high:.2f}] above the strongest control ({name}, {control})"
    asked = f"the rule asks for {rule.iia:.2f} and {rule.above_control:.2f} above control"
    without = [f"no {c} could be had" for c, x in controls.items() if isinstance(x, str)]
    return verdict, "; ".join([f"{verdict}: {numbers}, {beside}", asked + why, *without])


def _against(rule: AtLeast, found: Estimate, control: Estimate, above: Estimate) -> tuple[Verdict, str]:
    if found.high < rule.iia:
        return "rejected", ""
    if control.value >= rule.iia:
        return "uninformative", ", and a control reaches that as well, so the test could not have failed"
    if above.high < rule.above_control:
        return "rejected", ""
    if found.low >= rule.iia and above.low >= rule.above_control:
        return "supported", ""
    return "inconclusive", ", which the intervals straddle: use more examples"
