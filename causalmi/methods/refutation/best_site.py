"""Is the best of many places better than the best of as many would be by chance? Westfall & Young 1993."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causalmi.errors import DataError
from causalmi.methods.refutation.judged import ENOUGH
from causalmi.methods.refutation.refuters import exchanged
from causalmi.methods.subsets import title
from causalmi.results import Finding, InterchangeResult
from causalmi.rng import stream
from causalmi.stats.multiplicity import max_t


def best_site(results: Sequence[InterchangeResult], *, draws: int = 999, seed: int = 0) -> pd.DataFrame:
    """The results of one claim at several places, best first, with p-values that know how many were looked at.

    Columns: hypothesis, claim, iia, p. p_j = (1 + #{b: max_k IIA_k(labels permuted by b) >= IIA_j}) / (1 + draws), all
    variables interchanged jointly and the labels exchanged alike for all places, among pairs whose bases have the same
    right answer: a place that does nothing answers alike within them, so each exchange reaches what it has. Search and
    final number should come from different pairs all the same. Raises DataError for results on other pairs, without
    the joint interchange, or without a number, and for fewer than 19 ``draws``.
    """
    if type(draws) is not int or draws < ENOUGH:
        raise DataError(f"draws is {draws!r}; give a whole number from {ENOUGH}, with which p can be .05")
    if not results or not all(isinstance(r, InterchangeResult) for r in results):
        raise DataError("best_site takes results of interchange_test, at least one")
    columns = [f"answer[{title(_joint(r).variables)}]" for r in results]
    rng, expected, strata = stream(seed, "best site"), _expected(results), results[0].subject.pairs.base_labels.numpy()
    answers = np.stack([r.frame[c].to_numpy() for r, c in zip(results, columns, strict=True)])
    null = np.stack([(answers == expected[exchanged(strata, rng)]).mean(1) for _ in range(draws)])
    observed = (answers == expected).mean(1)
    names = {"hypothesis": [r.hypothesis for r in results], "claim": [r.claim for r in results]}
    table = pd.DataFrame({**names, "iia": observed, "p": max_t(observed, null)})
    return table.sort_values("iia", ascending=False, ignore_index=True)


def _joint(result: InterchangeResult) -> Finding:
    """What the interchange of all mapped variables showed."""
    variables = result.subject.hypothesis.variables
    found = next((f for f in result.findings if set(f.variables) == set(variables)), None)
    if found is None:
        raise DataError(
            f"the result of {result.hypothesis} has no joint interchange of {', '.join(variables)}, by which places "
            "are compared; leave out sets=, or list that set as well"
        )
    if found.iia is None:
        raise DataError(f"the result of {result.hypothesis} has no number: {found.sentence}")
    return found


def _expected(results: Sequence[InterchangeResult]) -> NDArray[np.int64]:
    """The expected answers, of results that must be of the same pairs."""
    found: list[NDArray[np.int64]] = [r.subject.swap.expected(r.subject.hypothesis.variables).numpy() for r in results]
    keys = [_keys(r) for r in results]
    if any(k != keys[0] for k in keys) or any((e != found[0]).any() for e in found):
        raise DataError("the results are of other pairs, or of claims that expect other answers; give one data= to all")
    return found[0]


def _keys(result: InterchangeResult) -> list[Any]:
    """What the network was given as bases and sources."""
    pairs = result.subject.pairs
    return [list(x.key()) for x in (pairs.base, *(pairs.sources[v] for v in result.subject.hypothesis.variables))]
