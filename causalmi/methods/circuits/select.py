"""Which edges does a circuit take, given a score for each? All above a threshold, the best n, the best connected n."""

import heapq
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import SpecError
from causalmi.spec.circuit import Circuit, sender_parts
from causalmi.spec.edge_values import Floats, edge_values
from causalmi.spec.graph import Bools, Graph
from causalmi.spec.graph_paths import steps

Budget = Literal["edges", "weighted"]


@dataclass(frozen=True, kw_only=True)
class Selection(ABC):
    """How edges are chosen by their scores; ``absolute``: by the scores' sizes, whatever their signs.

    ``prune``: edges that are on no path from an input to the logits are left out afterwards.
    """

    absolute: bool = False
    prune: bool = True

    def circuit(self, scores: Any, graph: Graph | None = None) -> Circuit:
        """The circuit that ``scores`` choose; ``graph`` may be left out for a table that holds it, ``edge_scores``'s.

        ``scores``: float [class, receiver, sender], a table or a mapping from Edge. Raises ModelError for NaN or edges
        without a score, SpecError where scores or sizes do not fit the graph.
        """
        graph = graph if graph is not None else getattr(scores, "attrs", {}).get("graph")
        if graph is None:
            raise SpecError(type(self).__name__, ["these scores do not say which graph they are of; give graph="])
        values = edge_values(scores, graph)
        chosen = Circuit.of(graph, self._choose(np.abs(values) if self.absolute else values, graph))
        return chosen.pruned() if self.prune else chosen

    @abstractmethod
    def _choose(self, values: Floats, graph: Graph) -> Bools: ...


@dataclass(frozen=True)
class Threshold(Selection):
    """Every edge with a score of at least ``value``.

    >>> Threshold(0.5, absolute=True)
    Threshold(absolute=True, prune=True, value=0.5)
    """

    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.value, int | float) or math.isnan(self.value):
            raise SpecError("Threshold", [f"value is {self.value!r}; give a number"])

    def _choose(self, values: Floats, graph: Graph) -> Bools:
        return (values >= self.value) & graph.exists


@dataclass(frozen=True)
class _Sized(Selection):
    """``n`` edges, or the ``share`` of all of them, floor(share * edges); pruning can leave fewer.

    ``budget="weighted"`` counts an edge from one neuron of an MLP as 1 / neurons, as MIB does, and edges are taken in
    their order until the next one does not fit.
    """

    n: int | None = None
    share: float | None = None
    budget: Budget = "edges"
    BUDGETS: ClassVar[tuple[str, ...]] = ("edges", "weighted")

    def __post_init__(self) -> None:
        problems = [] if (self.n is None) != (self.share is None) else ["give n or share, one of them"]
        if self.n is not None and (not isinstance(self.n, int | np.integer) or self.n < 0):
            problems.append(f"n is {self.n!r}, it must be a whole number from 0")
        if self.share is not None and not 0 <= self.share <= 1:
            problems.append(f"share is {self.share!r}, it must be from 0 to 1")
        if self.budget not in self.BUDGETS:
            problems.append(f"budget is {self.budget!r}, it must be one of {', '.join(self.BUDGETS)}")
        if problems:
            raise SpecError(type(self).__name__, problems)

    def _parts(self, graph: Graph) -> tuple[NDArray[np.int64], int]:
        """What each sender's edges cost, int [sender], and what may be spent: both in parts of a whole edge."""
        weighted = self.budget == "weighted"
        costs = sender_parts(graph) if weighted else np.ones(graph.shape[2], dtype=np.int64)
        whole = max(1, graph.neurons) if weighted else 1
        total = int((costs * graph.exists).sum())
        if self.share is not None:
            return costs, math.floor(Fraction(str(float(self.share))) * total / whole) * whole
        if int(self.n or 0) * whole > total:
            raise SpecError(type(self).__name__, [f"n is {self.n}, but {graph} has no more than {total / whole:g}"])
        return costs, int(self.n or 0) * whole


@dataclass(frozen=True)
class TopN(_Sized):
    """The ``n`` edges with the highest scores; of equal ones those that come first in ``graph.edges``."""

    def _choose(self, values: Floats, graph: Graph) -> Bools:
        costs, budget = self._parts(graph)
        places = np.nonzero(graph.exists)
        order = np.argsort(-values[places], kind="stable")
        taken = order[np.cumsum(costs[places[2]][order]) <= budget]
        chosen = np.zeros(graph.shape, dtype=bool)
        chosen[tuple(axis[taken] for axis in places)] = True
        return chosen


@dataclass(frozen=True)
class Greedy(_Sized):
    """``n`` edges from the logits up: always the best of those whose receiver has a way to the logits already.

    Of equal ones those that come first in ``graph.edges``. Pruning takes away what no input leads to. Hanna et al.
    2024.
    """

    def _choose(self, values: Floats, graph: Graph) -> Bools:
        costs, budget = self._parts(graph)
        chosen, heap = np.zeros(graph.shape, dtype=bool), list[tuple[float, int, int, int]]()
        opened: set[tuple[int, int]] = set()
        readers, last = _readers(graph), graph.shape[1] - 1
        waiting = [(p, last) for p in range(graph.shape[0])]
        while waiting or heap:
            while waiting:
                if (place := waiting.pop()) not in opened:
                    opened.add(place)
                    for s in range(graph.reads[place[1]]):
                        heapq.heappush(heap, (-float(values[(*place, s)]), *place, s))
            if not heap or (budget := budget - int(costs[heap[0][3]])) < 0:
                break
            _, p, r, s = heapq.heappop(heap)
            chosen[p, r, s] = True
            waiting += [(at, row) for row, spreads in readers[s] for at in (range(graph.shape[0]) if spreads else [p])]
        return chosen


def _readers(graph: Graph) -> list[list[tuple[int, bool]]]:
    """For each sender the rows of the receivers it computes with, and whether these spread over positions."""
    found: list[list[tuple[int, bool]]] = [[] for _ in graph.senders]
    for row, nodes, spreads in steps(graph):
        for s in range(nodes.start, nodes.stop):
            found[s].append((row, spreads))
    return found
