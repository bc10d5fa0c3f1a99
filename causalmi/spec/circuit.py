"""Which edges carry the computation? A circuit: a set of edges of a network's graph (Conmy et al. 2023)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from causalmi.errors import SpecError
from causalmi.spec import circuit_json, graph_paths
from causalmi.spec.edge_values import edge_values
from causalmi.spec.files import write
from causalmi.spec.graph import Bools, Edge, Graph

if TYPE_CHECKING:
    from causalmi.spec.hypothesis import Hypothesis


@dataclass(frozen=True, repr=False)
class Circuit:
    """The ``edges`` of ``graph`` that are kept; run as a circuit, a network has all others ablated.

    Raises SpecError for edges that the graph does not have, and where circuits of two graphs are put together.

    >>> Circuit(Graph(n_layers=1, n_heads=1), [Edge("input", "m0"), Edge("m0", "logits")])
    <Circuit: 2 of 8 edges, 3 of 4 nodes>
    """

    graph: Graph
    edges: frozenset[Edge]

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", frozenset(self.edges))
        self.array.flags.writeable = False

    @classmethod
    def of(cls, graph: Graph, chosen: Any) -> "Circuit":
        """The edges where ``chosen``, bool [class, receiver, sender], holds; where there is no edge it says nothing."""
        chosen = np.asarray(chosen)
        if chosen.shape != graph.shape or chosen.dtype != bool:
            problem = f"a circuit of {graph} is chosen by bools {graph.shape}, not by {chosen.dtype} {chosen.shape}"
            raise SpecError("Circuit", [problem])
        return cls(graph, frozenset(compress(graph.edges, chosen[graph.exists])))

    @classmethod
    def full(cls, graph: Graph) -> "Circuit":
        """All edges: the network itself."""
        return cls(graph, frozenset(graph.edges))

    @classmethod
    def empty(cls, graph: Graph) -> "Circuit":
        """No edges: all are ablated."""
        return cls(graph, frozenset())

    def __iter__(self) -> Iterator[Edge]:
        """The edges, in the graph's order."""
        return iter(self.graph.named(self.array))

    def __contains__(self, edge: object) -> bool:
        """Whether ``edge`` is in the circuit."""
        return edge in self.edges

    @cached_property
    def array(self) -> Bools:
        """True for edges in the circuit: bool [class, receiver, sender], not to be written to."""
        return self.graph.array(self.edges)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that take part, by name, in the graph's order: those that send an edge, and those that read one.

        Behind a receiver that several nodes share (keys of a group of heads, the input of an MLP's neurons) these are
        the ones that send; all of them where none does.
        """
        sends = graph_paths.sending(self.array)
        part = sends.copy()
        for row, behind, _ in graph_paths.steps(self.graph):
            if self.array[:, row].any() and not sends[behind].any():
                part[behind] = True
        return (*compress(self.graph.senders, part), *(["logits"] if self.array[:, -1].any() else []))

    @property
    def weighted_edges(self) -> float:
        """The number of edges, each counted as the share of a whole head or MLP that its sender is (MIB).

        The sum over edges of 1 for an input, a head or an MLP, and of 1 / neurons for one neuron of an MLP. Mueller et
        al. 2025.
        """
        return float(self.array.sum(axis=(0, 1)) @ sender_parts(self.graph)) / max(1, self.graph.neurons)

    def pruned(self) -> "Circuit":
        """The edges that are on a path of the circuit from an input to the logits.

        The others change nothing where all senders are ablated by one other input, such as each pair's source. Under
        zero, means and donors of their own, a node that reads only ablated values still computes something.
        """
        return Circuit.of(self.graph, graph_paths.on_paths(self.graph, self.array))

    def complement(self) -> "Circuit":
        """All edges that are not in the circuit."""
        return Circuit.full(self.graph) - self

    def hypothesis(self, task: Any, model: Any = None, **fields: Any) -> "Hypothesis":
        """The circuit as a claim about ``task``, see :func:`causalmi.circuit_hypothesis`."""
        from causalmi.spec.circuit_claim import circuit_hypothesis

        return circuit_hypothesis(self, task, model, **fields)

    def __or__(self, other: "Circuit") -> "Circuit":
        return self._with(other, frozenset.union)

    def __sub__(self, other: "Circuit") -> "Circuit":
        return self._with(other, frozenset.difference)

    def __and__(self, other: "Circuit") -> "Circuit":
        return self._with(other, frozenset.intersection)

    def __len__(self) -> int:
        return len(self.edges)

    def __repr__(self) -> str:
        nodes = len(self.graph.senders) + 1
        return f"<Circuit: {len(self):,} of {len(self.graph.edges):,} edges, {len(self.nodes):,} of {nodes:,} nodes>"

    def to_networkx(self) -> "nx.MultiDiGraph[str]":
        """The nodes that take part, and for each edge one from its sender to each node behind its receiver.

        Keys are the edges' names; the attributes of an edge are ``receiver`` and ``at``.
        """
        found: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        found.add_nodes_from(self.nodes)
        for edge in self.graph.named(self.array):
            for node in self.behind(edge.receiver):
                found.add_edge(edge.sender, node, key=str(edge), receiver=edge.receiver, at=edge.at)
        return found

    def behind(self, receiver: str) -> tuple[str, ...]:
        """The nodes that take part and compute with what ``receiver`` reads."""
        step = graph_paths.steps(self.graph)[self.graph.receivers.index(receiver)]
        return tuple(n for n in self.graph.senders[step.nodes] or ("logits",) if n in self._taking_part)

    @cached_property
    def _taking_part(self) -> frozenset[str]:
        return frozenset(self.nodes)

    def to_json(self, path: str | Path | None = None, scores: Any = None, d_model: int = 0) -> str:
        """The circuit in the JSON format of EAP-IG and MIB, written to ``path`` if there is one.

        What others read of it: :mod:`causalmi.spec.circuit_json`. ``scores``: float [class, receiver, sender], a table
        or a mapping from Edge. ``d_model``, the width of the network, is written down for other readers.
        """
        values = None if scores is None else edge_values(scores, self.graph)
        text = circuit_json.dumps(self.graph, self.array, values, d_model)
        if path is not None:
            write(path, text)
        return text

    @classmethod
    def from_json(cls, path_or_text: str | Path, graph: Graph | None = None) -> "Circuit":
        """The circuit in a JSON file or text of this package, EAP-IG or MIB.

        ``graph``: what to read it as, where that is not what it says of itself: heads that share keys and values are
        one edge there, and must agree. Raises SpecError for what is no circuit, or none of ``graph``.
        """
        return cls.of(*circuit_json.loads(path_or_text, graph))

    def _with(self, other: Any, join: Callable[[frozenset[Edge], frozenset[Edge]], frozenset[Edge]]) -> "Circuit":
        if not isinstance(other, Circuit) or other.graph != self.graph:
            named = other.graph if isinstance(other, Circuit) else repr(other)
            raise SpecError("Circuit", [f"a circuit of {self.graph} does not go together with one of {named}"])
        return Circuit(self.graph, join(self.edges, other.edges))


def sender_parts(graph: Graph) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """For each sender how many parts of a whole node it is, of ``max(1, graph.neurons)`` parts: int [sender]."""
    return np.array([1 if ".n" in name else max(1, graph.neurons) for name in graph.senders])
