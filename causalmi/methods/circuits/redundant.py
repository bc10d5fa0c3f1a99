"""Which edges stand in for each other? A search keeps one of two that do the same; here the other is named."""

from typing import Any

import numpy as np
import pandas as pd

from causalmi.methods.circuits.problem import Problem
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Bools, Graph
from causalmi.spec.wiring import Wiring


def redundant_pairs(problem: Problem, circuit: Circuit, method: Any) -> pd.DataFrame:
    """For each kept edge its backups: removed edges into the same receiver with which it could go.

    With C the circuit, e in C and f not in C, both into one receiver: ``effect`` = L(C - e) - L(C), ``with_backup`` =
    L(C + f - e) - L(C + f). A row for each e that ``method`` keeps in C and would remove in C + f: sender, receiver,
    (position), backup (the other sender), effect, with_backup. Where no edge of f's node is in C, the node comes with
    all that it reads, for an edge of a dead node carries nothing.
    """
    graph, kept = problem.graph, circuit.array
    baseline = problem.losses([kept])[0].mean()
    rows = []
    for place in map(tuple, np.argwhere(kept)):
        p, r, _ = place
        effect = float(problem.losses([_less(kept, place)])[0].mean() - baseline)
        others = [(p, r, int(f)) for f in np.nonzero(graph.exists[p, r] & ~kept[p, r])[0]]
        if not others or not method.keeps(effect):
            continue
        more = [_more(kept, other, graph) for other in others]
        losses = problem.losses([*more, *(_less(keep, place) for keep in more)]).mean(1)
        for other, change in zip(others, losses[len(more) :] - losses[: len(more)], strict=True):
            if not method.keeps(float(change)):
                rows.append((*_names(graph, place), graph.senders[other[2]], effect, float(change)))
    columns = ["sender", "receiver", *(["position"] if graph.positions else []), "backup", "effect", "with_backup"]
    return pd.DataFrame(rows, columns=columns)


def _less(kept: Any, place: Any) -> Any:
    changed = kept.copy()
    changed[place] = False
    return changed


def _more(kept: Bools, place: tuple[int, int, int], graph: Graph) -> Bools:
    """With one edge more, and all edges into the nodes that it brings back to life."""
    changed = kept.copy()
    changed[place] = True
    for receiver, nodes in sorted(Wiring(graph).nodes.items(), reverse=True):
        if changed[:, :, nodes].any() and not kept[:, :, nodes].any():
            changed[:, receiver] = graph.exists[:, receiver]
    return changed


def _names(graph: Any, place: Any) -> tuple[str, ...]:
    p, r, s = place
    return (graph.senders[s], graph.receivers[r], *([graph.positions[p]] if graph.positions else []))
