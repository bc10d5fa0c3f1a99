"""Is every edge of a circuit needed? Each is knocked out, beside edges that do not belong. Shi et al. 2024."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from causalmi.methods.circuits.case import Case, Measured
from causalmi.methods.circuits.random_circuits import walk
from causalmi.results import Verdict
from causalmi.rng import stream
from causalmi.spec.graph import Bools
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import proportion
from causalmi.stats.means import Floats
from causalmi.stats.multiplicity import adjust
from causalmi.stats.quantiles import quantile_test

SHOWN = 12
TRIES = 50  # paths that may lie within the circuit before none outside it is taken to be there


def minimality(case: Case) -> list[Measured]:
    """Does each edge matter more inside the circuit than an edge of a random path does that is added to it?

    The effect of an edge e is mean((m(C) - m(C - e))^2); of the reference, the same in C with a random path, for one
    of its added edges. An edge that beats k of n_random references is not needed when P[K <= k] of a binomial of the
    rule's ``beats`` is small, and needed when P[K >= k] is; both with Holm's adjustment over the edges. A circuit is
    minimal when all edges are needed, and not when one is not. The table "edges" has each.
    """
    name, edges = "minimality", case.problem.graph.named(case.array)
    references = _references(case)
    if not edges or references is None:
        said = "there is no edge to take out" if not edges else "no path leads outside of the circuit"
        return [Measured(name=name, said=f"{said}, so no edge can be judged", otherwise="uninformative")]
    losses = case.losses(case.array & ~one for one in _singles(case.array))
    effects = _effect(case.settled(losses - case.own))
    table = _table(case, [str(e) for e in edges], effects, references)
    table["change"] = (losses - case.own).mean(1) / case.span.mean()
    return [_summed(name, table)]


def _table(case: Case, edges: list[str], effects: Floats, references: Floats) -> pd.DataFrame:
    """A row for each edge, with its verdict."""
    beaten, n, q = (effects[:, None] > references).sum(1), len(references), case.how.rule.beats
    frame = pd.DataFrame({"edge": edges, "effect": effects, "beaten": beaten, "draws": n})
    frame["p"] = [quantile_test(int(k), n, q, "less") for k in beaten]
    frame["p_needed"] = [quantile_test(int(k), n, q, "greater") for k in beaten]
    frame["p_adjusted"], frame["p_needed_adjusted"] = adjust(frame["p"], "holm"), adjust(frame["p_needed"], "holm")
    said = np.where(frame["p_needed_adjusted"] <= 0.05, "needed", "open")
    frame["verdict"] = np.where(frame["p_adjusted"] <= 0.05, "not needed", said)
    return frame


def _summed(name: str, table: pd.DataFrame) -> Measured:
    """What the edges say together; p is the smallest, adjusted, of those that one is not needed."""
    failing, needed = list(table["edge"][table["verdict"] == "not needed"]), int((table["verdict"] == "needed").sum())
    verdict: Verdict = "supported" if needed == len(table) else "inconclusive"
    listed = ", ".join(failing[:SHOWN]) + (f" and {len(failing) - SHOWN} more" if len(failing) > SHOWN else "")
    which = f" ({listed})" if failing else ""
    return Measured(
        name=name,
        said=f"of {len(table)} edges {len(failing)} are not needed{which}, {needed} are, the others are open",
        estimate=_share(needed, len(table)),
        p=float(table["p_adjusted"].min()),
        shows="rejected",
        otherwise=verdict,
        details={"not needed": failing, "needed": needed, "edges": len(table)},
        table=table,
    )


def _share(needed: int, n: int) -> Estimate:
    return proportion(np.arange(n) < needed)


def _references(case: Case) -> Floats | None:
    """The effects [n_random] of edges of random paths that were added to the circuit; None where none can be."""
    rng = stream(case.how.seed, "minimality")
    drawn = [_inflated(case, rng) for _ in range(case.how.n_random)]
    pairs = [pair for pair in drawn if pair is not None]
    if len(pairs) < len(drawn):
        return None
    losses = case.losses(keep for larger, added in pairs for keep in (larger, larger & ~added))
    return _effect(case.settled(losses[1::2] - losses[::2]))


def _inflated(case: Case, rng: np.random.Generator) -> tuple[Bools, Bools] | None:
    """The circuit with a random path, and one of the edges that this adds."""
    for _ in range(TRIES):
        larger = case.array.copy()
        larger[walk(rng, case.problem.graph)] = True
        added = np.flatnonzero(larger & ~case.array)
        if len(added):
            one = np.zeros(larger.size, dtype=bool)
            one[rng.choice(added)] = True
            return larger, one.reshape(larger.shape)
    return None


def _singles(array: Bools) -> Iterator[Bools]:
    for place in np.flatnonzero(array):
        one = np.zeros(array.size, dtype=bool)
        one[place] = True
        yield one.reshape(array.shape)


def _effect(difference: Floats) -> Floats:
    squares: Floats = (difference**2).mean(1)
    return squares
