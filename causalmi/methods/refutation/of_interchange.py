"""Does a refuter explain the interchange intervention accuracy away?"""

from dataclasses import replace
from typing import Any

import numpy as np

from causalmi.methods.controls import Control, Redrawn
from causalmi.methods.refutation.judged import judged
from causalmi.methods.refutation.refuters import PermutedLabels
from causalmi.methods.subsets import Subset, title
from causalmi.methods.swap import Swap
from causalmi.results import Finding, InterchangeResult
from causalmi.results.refutation import Attempt
from causalmi.stats.intervals import proportion

A_DRAW = 256  # pairs by which one draw of places is judged


def against_interchange(result: InterchangeResult, refuter: Control) -> list[Attempt]:
    """One attempt for each finding that has a number."""
    subsets = {tuple(map(str, subset)): subset for subset in result.subject.subsets}
    against = _redrawn if isinstance(refuter, Redrawn) else _changed
    swap = result.subject.swap
    return [against(result, swap, refuter, f, subsets[f.variables]) for f in result.findings if f.iia is not None]


def _changed(result: InterchangeResult, swap: Swap, refuter: Any, finding: Finding, subset: Subset) -> Attempt:
    """The number against that of the same pairs under the refuter."""
    assert finding.iia is not None
    hits, draws = refuter.hits(swap, subset, result.seed).numpy(), list[float]()
    if isinstance(refuter, PermutedLabels):
        given = swap.interchange(subset).among_choices
        draws = [float((given == labels).double().mean()) for labels in refuter.labels(swap, subset, result.seed)]
    return judged(finding.name, refuter, finding.iia, proportion(hits, refuter.clusters(swap)), draws)


def _redrawn(result: InterchangeResult, swap: Swap, refuter: Any, finding: Finding, subset: Subset) -> Attempt:
    """The number against those of other places, each on the same pairs: up to 256 of them, spread over all."""
    n = len(swap.pairs)
    rows = np.unique(np.linspace(0, n - 1, min(A_DRAW, n)).round().astype(np.int64))
    observed = proportion(result.frame[f"agrees[{title(subset)}]"].to_numpy(dtype=bool)[rows], swap.clusters[rows])
    many = replace(swap, pairs=swap.pairs.rows(np.repeat(rows, refuter.n)))
    hits, of = refuter.hits(many, subset, result.seed).numpy(), refuter.clusters(many)
    draws = [float(hits[of == i].mean()) for i in np.unique(of)]
    return judged(finding.name, refuter, observed, proportion(hits, of), draws)
