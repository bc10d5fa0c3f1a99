"""Which edges of a graph lie on a way from the inputs to the logits? Where information goes inside of nodes."""

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from causalmi.spec.graph import Bools, Graph

HEAD = re.compile(r"a(\d+)\.([hg])(\d+)(<[qkv]>)?")


class Step(NamedTuple):
    """One receiver: its row in arrays over edges, and the columns of the nodes that compute with what it reads.

    ``spreads``: what is read at one class of positions reaches the nodes' outputs at all, as keys and values do.
    """

    row: int
    nodes: slice
    spreads: bool


@lru_cache(maxsize=32)
def steps(graph: Graph) -> tuple[Step, ...]:
    """One step for each receiver of ``graph``, in their order; the logits have no nodes behind them.

    >>> steps(Graph(n_layers=1, n_heads=4, n_kv_heads=2))[4]  # a0.g0<k>
    Step(row=4, nodes=slice(1, 3, None), spreads=True)
    """
    return tuple(Step(row, _behind(graph, name), _spreads(name)) for row, name in enumerate(graph.receivers))


def sending(chosen: Bools) -> Bools:
    """Which senders send a ``chosen`` edge, at any class of positions: bool [sender]."""
    found: Bools = np.logical_or.reduce(chosen, axis=(0, 1))
    return found


def reached(graph: Graph, chosen: Bools) -> Bools:
    """Which senders something from the inputs comes to through ``chosen`` edges: bool [class, sender]."""
    found = np.zeros((graph.shape[0], graph.shape[2]), dtype=bool)
    found[:, : len(graph.inputs)] = True
    for row, nodes, spreads in steps(graph):
        got: Bools = np.logical_or.reduce(chosen[:, row] & found, axis=1)
        found[:, nodes] |= got.any() if spreads else got[:, None]
    return found


def live(graph: Graph, chosen: Bools) -> Bools:
    """From which receivers something goes on to the logits through ``chosen`` edges: bool [class, receiver]."""
    sends = np.zeros((graph.shape[0], graph.shape[2]), dtype=bool)
    found = np.zeros(graph.shape[:2], dtype=bool)
    found[:, -1] = True
    for row, nodes, spreads in reversed(steps(graph)):
        on = sends[:, nodes].any(axis=1)
        found[:, row] |= on.any() if spreads else on
        sends |= chosen[:, row] & found[:, row, None]
    return found


def on_paths(graph: Graph, chosen: Bools) -> Bools:
    """The ``chosen`` edges that are on a path of chosen edges from an input to the logits: bool, shaped as they are.

    Between classes of positions only keys and values lead; as classes have no order, they lead both ways.
    """
    return chosen & reached(graph, chosen)[:, None, :] & live(graph, chosen)[:, :, None]


def _behind(graph: Graph, name: str) -> slice:
    if name == "logits":
        return slice(0, 0)
    if not (match := HEAD.fullmatch(name)):
        first = graph.first(int(name[1:])) + graph.n_heads
        return slice(first, first + graph.mlp_senders)
    layer, kind, index = graph.first(int(match[1])), match[2], int(match[3])
    size = graph.n_heads // graph.n_kv_heads if kind == "g" else 1
    return slice(layer + index * size, layer + (index + 1) * size)


def _spreads(name: str) -> bool:
    return name.startswith("a") and not name.endswith("<q>")
