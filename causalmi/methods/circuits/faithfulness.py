"""Does a circuit do what the network does? Faithfulness, as a ratio of means and as a mean of ratios.

Wang et al. 2022 (arXiv:2211.00593); Hanna et al. 2024 (arXiv:2403.17806); Miller et al. 2024 (arXiv:2407.08734), who
show how far the two ways of averaging are apart.
"""

from dataclasses import replace

import numpy as np

from causalmi.methods.circuits.case import ROUNDING, Case, Measured, above_zero
from causalmi.methods.circuits.rule import FaithfulWithin
from causalmi.results import Verdict
from causalmi.results.circuit import CircuitFinding
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import Floats
from causalmi.stats.ratios import ratio_bootstrap
from causalmi.stats.resampling import bootstrap

DRAWS = 1999


def faithfulness(case: Case) -> list[Measured]:
    """Faithfulness f = (m(C) - m(empty)) / (m(full) - m(empty)): Fieller's and bootstrap intervals; mean of ratios.

    p of H0: f is not from low to high; two one-sided t-tests of m(C) - m(empty) - r (m(full) - m(empty)), which need
    no division.
    """
    gain, span, rule = case.empty - case.own, case.span, case.how.rule
    whole = case.ratio(gain)
    p = max(above_zero(case.sign * d, case.clusters) for d in (gain - rule.low * span, rule.high * span - gain))
    drawn = ratio_bootstrap(gain, span, case.clusters, seed=case.how.seed, draws=DRAWS)
    return [
        Measured(name="faithfulness", said=_said(whole), estimate=whole, p=p, otherwise=within(rule, whole), part=True),
        Measured(
            name="faithfulness[bootstrap]",
            said=f"{_shown(drawn)} by resampling the bases",
            estimate=drawn,
            otherwise=within(rule, drawn),
        ),
        _of_examples(case, gain),
    ]


def within(rule: FaithfulWithin, found: Estimate | None) -> Verdict:
    """Whether the interval lies inside that of the rule, or outside."""
    if found is None:
        return "uninformative"
    if found.high < rule.low or found.low > rule.high:
        return "rejected"
    return "supported" if rule.low <= found.low and found.high <= rule.high else "inconclusive"


def inverted(case: Case) -> bool:
    """Whether the circuit is better than the network, or the network worse than with every edge ablated."""
    return case.sign < 0 or (not case.degenerate and float(case.share(case.own)) > 1 + ROUNDING)


def decided(case: Case, finding: CircuitFinding, beside: list[CircuitFinding]) -> CircuitFinding:
    """The finding of faithfulness with the verdict that takes the random circuits into account."""
    verdict, why = _verdict(case, finding, beside)
    rule = case.how.rule
    asked = f"the rule asks for {rule.low:.2f} to {rule.high:.2f}, and to be closer to 1 than random circuits are"
    controls = {name: x for c in beside for name, x in c.controls.items()}
    sentence = f"{verdict}: {_said(finding.estimate)}; {asked}{why}"
    return replace(finding, verdict=verdict, sentence=sentence, controls=controls)


def _verdict(case: Case, finding: CircuitFinding, beside: list[CircuitFinding]) -> tuple[Verdict, str]:
    by_rule = within(case.how.rule, finding.estimate)
    if case.sign < 0:
        return "uninformative", "; the network does worse than with every edge ablated: choose another metric or task"
    if by_rule in ("rejected", "uninformative"):
        return by_rule, ""
    if not any(isinstance(x, Estimate) for c in beside for x in c.controls.values()):
        return "uninformative", "; no random circuit could be had to compare it with"
    had = [c for c in beside if c.estimate is not None]
    if alike := [c for c in had if c.details.get("inside", 0) > 0.5]:
        return "uninformative", f"; most random circuits ({alike[0].name}) do as well, so it could not have failed"
    if not_beaten := [c.name for c in had if c.verdict != "supported"]:
        return "inconclusive", f"; random circuits are not beaten ({', '.join(not_beaten)})"
    return by_rule, "" if by_rule == "supported" else "; the interval straddles the rule: use more examples"


def _said(found: Estimate | None) -> str:
    return "faithfulness is undefined" if found is None else f"faithfulness is {found:.3f} over {found.n} pairs"


def _shown(found: Estimate | None) -> str:
    return "undefined" if found is None else format(found, ".3f")


def _of_examples(case: Case, gain: Floats) -> Measured:
    """The mean of f of single examples; those without a difference of which it could be a share are left out.

    Where that difference has both signs, f is a share of nothing for some, and its mean says little.
    """
    had = np.abs(case.span) > case.tolerance
    shares, clusters, n = gain[had] / case.span[had], case.clusters[had], int((~had).sum())
    enough = np.unique(clusters).size > 1
    found = bootstrap(shares, np.mean, clusters, seed=case.how.seed, draws=DRAWS) if enough else None
    median, against = (float(np.median(shares)) if enough else None), int((case.sign * case.span[had] < 0).sum())
    middle = "" if median is None else f", the median {median:.3f}"
    mixed = f"; {against} have a network that is worse than with every edge ablated" if against else ""
    verdict: Verdict = "uninformative" if against else within(case.how.rule, found)
    return Measured(
        name="faithfulness[per example]",
        said=f"the mean of single examples' ratios is {_shown(found)}{middle}, {n} left out{mixed}",
        estimate=found,
        otherwise=verdict,
        details={"left_out": n, "median": median, "opposite": against},
    )
