"""Which number does each edge have? Scores that come as an array, a mapping or a table, as one array."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import ModelError, SpecError
from causalmi.spec.graph import Bools, Edge, Graph

Floats = NDArray[np.float64]


def edge_values(scores: Any, graph: Graph, needed: Bools | None = None) -> Floats:
    """The scores of the edges of ``graph`` as one array, float64 [class, receiver, sender], 0 where there is no edge.

    ``scores``: an array of that shape, a mapping from Edge to float, or a table with the columns sender, receiver,
    score and, for graphs with classes of positions, position. Raises ModelError when an edge that is ``needed`` (bool,
    as the array; by default all edges) has none or one that is not finite, SpecError for edges that are none.

    >>> edge_values({Edge("input", "logits"): 2.0}, g := Graph(n_layers=1, n_heads=1), g.array([]))[0, -1]
    array([2., 0., 0.])
    """
    needed = graph.exists if needed is None else needed & graph.exists
    found = _of_array(scores, graph) if not _named(scores) else _of_names(scores, graph)
    found = np.where(graph.exists, found, 0.0)
    if missing := graph.named(np.isnan(found) & needed):
        n = int(needed.sum())
        raise ModelError(f"{len(missing):,} of {n:,} edges have no score, or NaN for one; the first is {missing[0]}.")
    if not np.isfinite(found[needed]).all():
        raise ModelError(f"the score of {graph.named(np.isinf(found) & needed)[0]} is not finite.")
    return np.where(np.isnan(found), 0.0, found)


def _named(scores: Any) -> bool:
    return isinstance(scores, Mapping) or hasattr(scores, "columns")


def _of_array(scores: Any, graph: Graph) -> Floats:
    found = np.asarray(scores, dtype=np.float64)
    if found.shape != graph.shape:
        problem = f"they have the shape {found.shape}, those of {graph} have {graph.shape}"
        raise SpecError("scores", [f"{problem}: [class of positions, receiver, sender]"])
    return found


def _of_names(scores: Any, graph: Graph) -> Floats:
    found = np.full(graph.shape, np.nan)
    for edge, score in scores.items() if isinstance(scores, Mapping) else _rows(scores):
        found[graph.place(edge)] = score
    return found


def _rows(table: Any) -> Iterator[tuple[Edge, float]]:
    if absent := {"sender", "receiver", "score"} - set(table.columns):
        raise SpecError("scores", [f"the table has no column {', '.join(sorted(absent))}"])
    at = table["position"] if "position" in table.columns else [None] * len(table)
    for sender, receiver, place, score in zip(table["sender"], table["receiver"], at, table["score"], strict=True):
        yield Edge(sender, receiver, place), float(score)
