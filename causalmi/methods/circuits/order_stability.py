"""Would another order of visits have given another circuit? One search, in several orders.

A search that removes edges one by one keeps whichever of two redundant edges it visits last (Chen et al. 2026).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causalmi.errors import SpecError
from causalmi.methods.circuits.acdc import ACDC
from causalmi.methods.circuits.order import order_of
from causalmi.methods.circuits.problem import Problem, Progress, silent
from causalmi.methods.circuits.search import Search
from causalmi.results.order_stability import OrderStability
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Graph

ORDERS = (("latest", "high"), ("latest", "low"), ("earliest", "high"), ("earliest", "low"), ("random", "random"))


def order_stability(  # noqa: PLR0913  (the public call: which search, of which network, on what, in which orders)
    model: Any,
    pairs: Any,
    *,
    method: ACDC,
    orders: Sequence[tuple[str, str]] = ORDERS,
    n: int = 4,
    metric: Any = "logit_diff",
    ablation: Any = None,
    graph: Graph | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> OrderStability:
    """How alike the circuits are that ``method`` finds when it visits the edges in other ``orders``.

    Each order is (``senders``, ``heads``) as :class:`ACDC` has them; one with "random" in it is searched ``n`` times,
    with the seeds ``seed``, ``seed`` + 1, ...; what is ablated to and the pairs, all of which are searched on, are the
    same in all. Raises SpecError, DataError or ModelError before any run.

    Chen et al. 2026, arXiv:2605.12671.
    """
    methods = _methods(method, orders, n, seed)
    problem = Problem.of(model, pairs, metric=metric, ablation=ablation, graph=graph, seed=seed, batch_size=batch_size)
    searches = [_search(problem, each, number) for each, number in methods]
    for number, search in enumerate(searches):
        search.run()
        progress("orders", number + 1, len(searches))
    return OrderStability(
        model=problem.model.name,
        method=str(replace(method, senders="latest", heads="high")),
        metric=problem.metric.name,
        seed=seed,
        frame=_frame(methods, searches, problem),
        circuits=tuple(Circuit.of(problem.graph, search.kept) for search in searches),
        jaccard=_jaccard(np.stack([search.kept[problem.graph.exists] for search in searches]).astype(np.float64)),
    )


def _methods(method: Any, orders: Any, n: int, seed: int) -> list[tuple[ACDC, int]]:
    """What is searched, and with which seed of its order."""
    if not isinstance(method, ACDC):
        raise SpecError("order_stability", [f"method is {method!r}; give ACDC(threshold=...), which has an order"])
    if type(n) is not int or n < 1:
        raise SpecError("order_stability", [f"n is {n!r}; give how often a random order is drawn, such as 4"])
    if any(not isinstance(order, tuple | list) or len(order) != 2 for order in orders):
        raise SpecError("order_stability", [f"orders is {orders!r}; give pairs such as ('latest', 'high')"])
    each = [replace(method, senders=senders, heads=heads) for senders, heads in orders]
    found = [(m, seed + i) for m in each for i in range(n if "random" in (m.senders, m.heads) else 1)]
    if len(found) < 2:
        raise SpecError("order_stability", [f"orders is {orders!r} and n is {n}; give two orders or more to compare"])
    return found


def _search(problem: Problem, method: ACDC, seed: int) -> Search:
    """A search whose order is drawn with a seed of its own; what is ablated to has that of the problem."""
    walk = order_of(problem.graph, method.senders, method.heads, seed)
    return replace(Search.begin(problem, method), walk=walk)


def _frame(methods: Sequence[tuple[ACDC, int]], searches: Sequence[Search], problem: Problem) -> pd.DataFrame:
    losses = problem.losses([search.kept for search in searches]).mean(1)
    rows = [
        (m.senders, m.heads, number if "random" in (m.senders, m.heads) else None, int(search.kept.sum()))
        for (m, number), search in zip(methods, searches, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["senders", "heads", "seed", "edges"]).astype({"seed": "Int64"})
    return frame.assign(metric=losses if problem.metric.better == "lower" else -losses)


def _jaccard(kept: NDArray[np.float64]) -> NDArray[np.float64]:
    both = kept @ kept.T
    either = kept.sum(1)[:, None] + kept.sum(1) - both
    shares: NDArray[np.float64] = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return shares
