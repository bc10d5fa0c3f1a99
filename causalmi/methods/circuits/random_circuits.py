"""What do circuits of this size do by chance? Random circuits, of as many edges as a given one (Shi et al. 2024)."""

from bisect import bisect
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import SpecError
from causalmi.rng import stream
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Bools, Graph
from causalmi.spec.graph_paths import live, reached, steps

How = Literal["walk", "uniform", "layer"]
PATIENCE = 20  # walks in a row that have nothing new, or too much of it, before something else is done


def random_circuits(circuit: Circuit, how: How = "walk", *, n: int, seed: int) -> Iterator[Circuit]:
    """``n`` random circuits of the graph of ``circuit`` with as many edges as it has.

    "walk": the union of random walks from an input to the logits, each step one of the edges there with the same
    probability. A walk with more new edges than are missing is replaced by as many single edges as are missing, drawn
    from those that join the walks before it; where there are too few of them another walk is drawn, and after some
    that are too long one is taken whole: such a circuit is larger. "uniform": any edges. "layer": for each layer of
    senders and each layer and kind of receivers (and class of positions) as many edges as ``circuit`` has there. The
    i-th depends on ``seed``, ``how``, ``circuit`` and i alone. Raises SpecError for another ``how`` or a negative
    ``n``.
    """
    if how not in WAYS or n < 0:
        raise SpecError(
            "random_circuits", [f"how is {how!r} and n {n!r}; how is one of {', '.join(WAYS)}, n at least 0"]
        )
    draw = WAYS[how](circuit)
    return (Circuit.of(circuit.graph, draw(stream(seed, "random circuits", how, str(i)))) for i in range(n))


Draw = Callable[[np.random.Generator], Bools]


def _uniform(circuit: Circuit) -> Draw:
    edges = np.argwhere(circuit.graph.exists)

    def draw(rng: np.random.Generator) -> Bools:
        return _drawn(rng, edges, len(circuit), circuit.graph)

    return draw


def _layer(circuit: Circuit) -> Draw:
    graph = circuit.graph
    edges = np.argwhere(graph.exists)
    kinds = [f"{p} {_kind(graph.receivers[r])} {_layer_of(graph.senders[s])}" for p, r, s in edges]
    _, kind = np.unique(kinds, return_inverse=True)
    inside = circuit.array[tuple(edges.T)]
    parts = [(edges[kind == k], int(inside[kind == k].sum())) for k in range(kind.max() + 1)]

    def draw(rng: np.random.Generator) -> Bools:
        found = np.zeros(graph.shape, dtype=bool)
        for part, size in parts:
            found |= _drawn(rng, part, size, graph)
        return found

    return draw


def _walk(circuit: Circuit) -> Draw:
    graph, size = circuit.graph, len(circuit)

    def draw(rng: np.random.Generator) -> Bools:
        found, missing, idle = np.zeros(graph.shape, dtype=bool), size, 0
        while missing > 0:
            path = walk(rng, graph)
            new = int((~found[path]).sum())
            if 0 < new <= missing:
                found[path], missing, idle = True, missing - new, 0
                continue
            idle += 1
            if new > missing or idle > PATIENCE:
                joining = np.argwhere(_joining(graph, found))
                if len(joining) >= missing:
                    return found | _drawn(rng, joining, missing, graph)
                if idle > PATIENCE:
                    found[path], missing = True, missing - new
        return found

    return draw


def walk(rng: np.random.Generator, graph: Graph) -> tuple[list[int], list[int], list[int]]:
    """One random walk from an input to the logits: the places of its edges, as classes, receivers and senders."""
    p, s = int(rng.integers(graph.shape[0])), int(rng.integers(len(graph.inputs)))
    way, classes, rows, senders = steps(graph), list[int](), list[int](), list[int]()
    while True:
        step = way[int(rng.integers(bisect(graph.reads, s), len(way)))]  # the receivers after s are the last ones
        classes.append(p)
        rows.append(step.row)
        senders.append(s)
        if step.nodes.stop == 0:
            return classes, rows, senders
        s = int(rng.integers(step.nodes.start, step.nodes.stop))
        p = int(rng.integers(graph.shape[0])) if step.spreads else p


def _joining(graph: Graph, found: Bools) -> Bools:
    """Edges not in ``found`` that, one by one and all together, are on paths with those that are."""
    return graph.exists & ~found & reached(graph, found)[:, None, :] & live(graph, found)[:, :, None]


def _drawn(rng: np.random.Generator, edges: NDArray[np.int64], size: int, graph: Graph) -> Bools:
    """``size`` of ``edges`` (int [n, 3]), all with the same probability, as bools."""
    found = np.zeros(graph.shape, dtype=bool)
    found[tuple(edges[rng.choice(len(edges), size, replace=False)].T)] = True
    return found


def _layer_of(sender: str) -> str:
    return sender[1:].split(".")[0] if sender[0] in "am" else "inputs"


def _kind(receiver: str) -> str:
    """Layer and kind: a3<q> of a3.h5<q>."""
    return receiver.split(".")[0] + receiver[receiver.index("<") :] if "<" in receiver else receiver.split(".")[0]


WAYS: dict[str, Callable[[Circuit], Draw]] = {"walk": _walk, "uniform": _uniform, "layer": _layer}
