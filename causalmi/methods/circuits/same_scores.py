"""Does a circuit score as the network does, and does what it leaves out know nothing of it? Shi et al. 2024.

"Hypothesis testing the circuit hypothesis in LLMs" (arXiv:2410.13032). A test that does not reject proves nothing, so
equivalence is tested the other way round as well: with two one-sided tests, which can accept it.
"""

import numpy as np

from causalmi.methods.circuits.case import Case, Measured, above_zero
from causalmi.stats.equivalence import sign_equivalence, sign_tost
from causalmi.stats.independence import hsic, hsic_test
from causalmi.stats.means import Floats, mean

MOST = 512  # bases whose scores are compared, of which there are as many squared


def independence(case: Case) -> list[Measured]:
    """Are the scores of the network independent of those with the circuit's edges ablated? HSIC, by permutations.

    If they are not, something outside of the circuit tells of what the network does. One score for each base, of up to
    512 bases, spread over all.
    """
    full, others = (case.units(case.settled(x - x.mean())) for x in (case.full, case.others))
    if not full.any():
        said = f"{case.problem.metric.name} of the network is the same for all, so it depends on nothing"
        return [Measured(name="independence", said=said, otherwise="uninformative")]
    rows = np.unique(np.linspace(0, len(full) - 1, min(MOST, len(full))).round().astype(np.int64))
    p = hsic_test(full[rows], others[rows], seed=case.how.seed)
    return [
        Measured(
            name="independence",
            said=f"HSIC of the scores of the network and of what is left without the circuit has p = {p:.3g}; a large "
            "p does not prove independence",
            value=hsic(full[rows], others[rows]),
            p=p,
            shows="rejected",
            otherwise="inconclusive",
        )
    ]


def equivalence(case: Case) -> list[Measured]:
    """The difference d = m(C) - m(full): its mean and its sign by TOST, and by the test that can only reject.

    The margin of the mean is the rule's gap times m(full) - m(empty), that of the share of signs the rule's ``signs``.
    The tests of signs have one d for each base, of which rounding is a tie. A divergence from the network is never
    below it, so its signs say nothing.
    """
    better = -1 if case.problem.metric.better == "lower" else 1  # losses are kept, and d is of the metric
    d = better * case.settled(case.full - case.own)
    if case.problem.metric.floor:
        said = f"{case.problem.metric.name} is at its best on the network, so every difference has one sign"
        names = ("equivalence[signs]", "non-equivalence[signs]")
        return [_of_mean(case, d), *(Measured(name=name, said=said, otherwise="uninformative") for name in names)]
    return [_of_mean(case, d), *_of_signs(case, case.units(d))]


def _of_signs(case: Case, d: Floats) -> list[Measured]:
    """Both tests of the share of bases on which the circuit is above the network."""
    margin = case.how.rule.signs
    signs, differ = sign_tost(d, margin), sign_equivalence(d, margin)
    share = signs.estimate
    said = f"the circuit is above the network in {share.value:.0%} of {share.n} bases"
    return [
        Measured(
            name="equivalence[signs]",
            said=f"{said} [{share.low:.0%}, {share.high:.0%}]; the margin is {0.5 - margin:.0%} to {0.5 + margin:.0%}",
            estimate=share,
            p=signs.p,
            otherwise="inconclusive",
        ),
        Measured(
            name="non-equivalence[signs]",
            said=f"{said}; that this is outside of the margin has p = {differ:.3g}, and a large p proves nothing",
            value=share.value,
            p=differ,
            shows="rejected",
            otherwise="inconclusive",
        ),
    ]


def _of_mean(case: Case, d: Floats) -> Measured:
    """Two one-sided t-tests of d against the margin, a share of a difference that is estimated along with it."""
    margin = case.how.rule.gap * case.sign * case.span
    p = max(above_zero(margin - d, case.clusters), above_zero(margin + d, case.clusters))
    e, most = mean(d, case.clusters, level=0.9), float(margin.mean())
    return Measured(
        name="equivalence[mean]",
        said=f"m(C) - m(full) is {e:.3g} on the mean; the margin, {case.how.rule.gap:g} of what ablating all edges "
        f"changes, is {most:.3g}",
        estimate=e,
        p=p,
        otherwise="rejected" if e.low > most or e.high < -most else "inconclusive",
        details={"margin": most},
    )
