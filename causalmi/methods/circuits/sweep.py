"""Which circuits do several thresholds give? Each search starts from the decisions that it shares with an earlier one.

Two thresholds decide alike until the first edge whose effect lies between them; Conmy et al. 2023 search anew for each.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from causalmi.errors import SpecError
from causalmi.methods.circuits.acdc import ACDC, Decision
from causalmi.methods.circuits.problem import Problem, Progress, silent
from causalmi.methods.circuits.search import Search, by_receiver
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Bools, Graph


def threshold_sweep(  # noqa: PLR0913  (the public call)
    model: Any,
    pairs: Any,
    *,
    method: ACDC,
    thresholds: Sequence[float],
    metric: Any = "logit_diff",
    ablation: Any = None,
    graph: Graph | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """The circuits that ACDC finds at each of ``thresholds``, for the cost of the decisions in which they differ.

    Returns a row for each, in their order: threshold, edges, loss (L of the circuit on all ``pairs``, which are all
    searched on) and circuit. ``method`` says all but the threshold; the rest is as in `find_circuit`. Raises SpecError,
    DataError or ModelError before any run.
    """
    how = {"metric": metric, "ablation": ablation, "graph": graph, "seed": seed, "batch_size": batch_size}
    problem = Problem.of(model, pairs, **how)
    searches = zip(thresholds, sweep(problem, method, thresholds, progress), strict=True)
    rows = [(t, Circuit.of(problem.graph, search.kept), search.baseline) for t, search in searches]
    found = pd.DataFrame(rows, columns=["threshold", "circuit", "loss"])
    found.insert(1, "edges", [len(circuit) for circuit in found["circuit"]])
    return found


def sweep(
    problem: Problem,
    method: ACDC,
    thresholds: Sequence[float],
    progress: Progress = silent,
    only: Bools | None = None,
) -> list[Search]:
    """One finished search for each of ``thresholds``, in their order: those that `Search` gives one by one.

    ``method`` says all but the threshold. ``only`` bool [class, receiver, sender] leaves the searches some
    of the edges. Each search's ``cost`` is that of what was computed for it. Raises SpecError for no threshold, or one
    that is no finite number, before any run.
    """
    methods = {float(t): replace(method, threshold=float(t)) for t in thresholds}
    if not methods:
        raise SpecError("threshold_sweep", ["thresholds is empty; give at least one number"])
    found = dict[float, Search]()
    for threshold in sorted(methods, reverse=True):  # from the fewest edges up, the next one shares most
        search = Search.begin(problem, methods[threshold], only)
        done = max((shared(other, search) for other in found.values()), key=len, default=[])
        found[threshold] = search.run(done, progress)
    return [found[float(t)] for t in thresholds]


def shared(other: Search, search: Search) -> list[Decision]:
    """The decisions of a finished search that ``search`` would make as well, on whole receivers.

    An effect as near to the new threshold as rounding goes ends what is shared.
    """
    common = list[Decision]()
    for some in by_receiver(other.decisions):
        if not all(_alike(decision, other, search) for decision in some):
            break
        common += some
    return common


def _alike(decision: Decision, other: Search, search: Search) -> bool:
    if decision.effect is None:
        return True
    effect = abs(decision.effect) if search.method.absolute else decision.effect
    near = other.rounding(decision.effect) >= np.abs(effect - search.method.threshold)
    return not near and search.method.keeps(decision.effect) == decision.kept
