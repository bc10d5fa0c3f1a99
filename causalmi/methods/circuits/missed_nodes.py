"""How much may nodes matter that a method passed over? Random sets of nodes are ablated together.

Kramar et al. 2024, the diagnostic of AtP*.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalmi.errors import SpecError
from causalmi.methods.circuits.nodes import node_names
from causalmi.methods.circuits.problem import Problem, Progress, silent
from causalmi.rng import stream
from causalmi.spec.graph import Bools, Graph
from causalmi.stats.means import Floats


def false_negative_bound(  # noqa: PLR0913  (the public call)
    model: Any,
    pairs: Any,
    *,
    verified: Sequence[str] = (),
    metric: Any = "logit_diff",
    ablation: Any = None,
    graph: Graph | None = None,
    subsets: int = 200,
    share: float = 0.1,
    level: float = 0.95,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """How large the effects of nodes may be that were not ``verified`` by patching: from random sets of them.

    Each node is in a ``share`` of the ``subsets``, drawn for it alone. With I(S) the mean loss with S ablated minus
    clean, a node's effect is mean I(S with it) - mean I(S without it), with a Welch interval at 1 - (1 - level) / nodes
    so that all hold together. Returns node, (position), effect, low, high and bound = max(|low|, |high|);
    ``attrs["bound"]`` is the largest. It is about these pairs, and a node's effect beside the others of a set, which is
    its effect alone where nodes do not interact. Raises SpecError for names or shares that cannot be, DataError or
    ModelError.
    """
    problem = Problem.of(model, pairs, metric=metric, ablation=ablation, graph=graph, seed=seed, batch_size=batch_size)
    tested = _tested(problem.graph, verified)
    member = _sets(seed, len(tested), subsets, share)
    keeps = [_without(problem.graph, [tested[i] for i in np.nonzero(row)[0]]) for row in member]
    full = np.ones(problem.graph.shape, dtype=bool)
    losses = problem.losses([full, *keeps], progress).mean(1)
    frame = _bounds(problem.graph, tested, member, losses[1:] - losses[0], 1 - (1 - level) / len(tested))
    frame.attrs = {"bound": float(frame["bound"].max()), "subsets": len(member), "metric": problem.metric.name}
    return frame


def without_node(graph: Graph, name: str, at: str | None = None) -> Bools:
    """The edges that are kept, bool [class, receiver, sender], when a node of :func:`node_names` is ablated alone.

    Raises SpecError for a node or a class of positions that is not there.
    """
    names, classes = node_names(graph), graph.positions or (None,)
    if name not in names or at not in classes:
        raise SpecError("node", [f"there is no {name!r} at {at!r} in {graph}; its nodes are in node_names(graph)"])
    return _without(graph, [(classes.index(at), names.index(name))])


def _tested(graph: Graph, verified: Sequence[str]) -> list[tuple[int, int]]:
    """(class, node) of those that are left."""
    names = node_names(graph)
    if strange := [name for name in verified if name not in names]:
        raise SpecError("verified", [f"{strange[0]!r} is no node of {graph}; its nodes are in node_names(graph)"])
    found = [(p, i) for p in range(graph.shape[0]) for i, name in enumerate(names) if name not in verified]
    if len(found) < 2:
        raise SpecError("verified", ["fewer than two nodes are left to test; leave out some names"])
    return found


def _sets(seed: int, nodes: int, subsets: int, share: float) -> Bools:
    """Which set has which node, bool [set, node]: drawn for each by itself, or others' effects would mix in."""
    inside = round(share * subsets) if 0 < share < 1 else 0
    if not 2 <= inside <= subsets - 2:
        problem = f"a share of {share!r} of {subsets!r} sets gives no two with a node, and two without it"
        raise SpecError("share", [f"{problem}; give a share between 0 and 1, and more subsets"])
    orders = [stream(seed, "sets of nodes", str(node)).permutation(subsets) for node in range(nodes)]
    return np.stack(orders, axis=1) < inside


def _without(graph: Graph, places: Sequence[tuple[int, int]]) -> Bools:
    keep, names = np.ones(graph.shape, dtype=bool), node_names(graph)
    for p, i in places:
        if i < len(graph.senders):
            keep[p, :, i] = False
        else:
            keep[p, graph.receivers.index(names[i])] = False
    return keep


def _bounds(graph: Graph, tested: list[tuple[int, int]], member: Bools, effects: Floats, level: float) -> pd.DataFrame:
    from scipy.stats import ttest_ind

    rows = [*_rows(graph, tested)]
    for row, inside in zip(rows, member.T, strict=True):
        with_it, without = effects[inside], effects[~inside]
        effect = float(with_it.mean() - without.mean())
        low = high = effect
        if np.ptp(with_it) > 0 or np.ptp(without) > 0:
            interval = ttest_ind(with_it, without, equal_var=False).confidence_interval(level)
            low, high = float(interval.low), float(interval.high)
        row |= {"effect": effect, "low": low, "high": high, "bound": max(abs(low), abs(high))}
    return pd.DataFrame(rows)


def _rows(graph: Graph, tested: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    names = node_names(graph)
    for p, i in tested:
        yield {"node": names[i]} | ({"position": graph.positions[p]} if graph.positions else {})
