"""Is a circuit better than random ones of its size, and what is left without it worse? Shi et al. 2024 (2410.13032)."""

import numpy as np
import pandas as pd

from causalmi.methods.circuits.case import Case, Measured
from causalmi.results import Verdict
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import proportion
from causalmi.stats.means import Floats
from causalmi.stats.multiplicity import permutation_p
from causalmi.stats.quantiles import quantile_test

ENOUGH = 19  # draws with which p can be .05
ALONE = "there are next to no other circuits of this kind and size, too few to be beaten with p = .05"


def against(case: Case, kind: str) -> Measured:
    """How much more faithful the circuit is than random ones of a kind, on the mean; p by rank.

    p = (1 + #{R: |1 - f(R)| <= |1 - f(C)|}) / (1 + n_random): random circuits that are as close to the network. Other
    examples could turn that as well, so the interval of mean |1 - f(R)| - |1 - f(C)| must be above 0 too.
    """
    name = f"above random[{kind}]"
    arrays, losses = case.random(kind)
    if alone(case, kind):
        return Measured(name=name, said=ALONE, otherwise="uninformative", controls={f"random {kind}": ALONE})
    shares, own = case.share(losses), float(case.share(case.own))
    sides = np.sign(1 - shares)[:, None]  # of mean |1 - f(R)| - |1 - f(C)|, which is linear in losses but for these
    nearer = (sides * (losses - case.full)).mean(0) - np.sign(1 - own) * (case.own - case.full)
    above = case.ratio(nearer)
    apart = above is not None and above.low > 0
    few = "" if len(shares) >= ENOUGH else f"; {len(shares)} draws are too few for p = .05"
    return Measured(
        name=name,
        said=f"faithfulness is {above or 'undefined'} nearer to 1 than for {len(shares)} random circuits ({kind}){few}",
        estimate=above,
        p=permutation_p(-_far(own) - case.tie, -_far(shares)),
        shows="supported" if apart else "inconclusive",
        otherwise="inconclusive",
        controls={f"random {kind}": _spread(shares)},
        details={
            "inside": float(np.mean((shares >= case.how.rule.low) & (shares <= case.how.rule.high))),
            "draws": len(shares),
        },
        part=True,
        table=pd.DataFrame({"kind": kind, "edges": [int(a.sum()) for a in arrays], "faithfulness": shares}),
    )


def alone(case: Case, kind: str) -> bool:
    """Whether random circuits are mostly the same few, or the circuit itself."""
    arrays = case.random(kind)[0]
    others = {array.tobytes() for array in arrays} - {case.array.tobytes()}
    return len(others) < min(ENOUGH, len(arrays))


def sufficiency(case: Case) -> list[Measured]:
    """Is the circuit more faithful than a share q of random circuits of its size? Binomial test, ties count against."""
    if alone(case, "walk"):
        return [Measured(name="sufficiency", said=ALONE, otherwise="uninformative")]
    shares = case.share(case.random("walk")[1])
    wins = _far(float(case.share(case.own))) < _far(shares) - case.tie
    return [_quantile(case, "sufficiency", wins, "closer to the network than {} random circuits")]


def necessity(case: Case) -> list[Measured]:
    """Is the network less faithful without the circuit's edges than without those of random ones? As sufficiency."""
    if alone(case, "walk"):
        return [Measured(name="necessity", said=ALONE, otherwise="uninformative")]
    rest = case.share(case.losses(case.exists & ~array for array in case.random("walk")[0]))
    wins = _far(float(case.share(case.others))) > _far(rest) + case.tie
    return [
        _quantile(case, "necessity", wins, "what is left without it is farther off than without {} random circuits")
    ]


def _quantile(case: Case, name: str, wins: np.ndarray, what: str) -> Measured:
    """A test that the candidate stands above the quantile q, with the verdict when it is below it for sure."""
    k, n, q = int(wins.sum()), len(wins), case.how.rule.beats
    few = "" if quantile_test(n, n, q, "greater") <= 0.05 else f", which {n} draws are too few to show"
    below: Verdict = "rejected" if quantile_test(k, n, q, "less") <= 0.05 else "inconclusive"
    return Measured(
        name=name,
        said=f"{what.format(f'{k} of {n}')}; the rule asks for more than {q:.0%}{few}",
        estimate=proportion(wins),
        p=quantile_test(k, n, q, "greater"),
        otherwise=below,
        details={"beaten": k, "draws": n},
    )


def _far(share: float | Floats) -> Floats:
    """How far from the network."""
    return np.abs(1 - np.asarray(share, dtype=np.float64))


def _spread(shares: Floats) -> Estimate:
    """The mean of random circuits, and where 95 % of them are."""
    value, (low, high) = float(shares.mean()), np.quantile(shares, (0.025, 0.975))
    return Estimate(value, min(value, float(low)), max(value, float(high)), len(shares))
