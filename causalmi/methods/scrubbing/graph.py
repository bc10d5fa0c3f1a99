"""What does a claim say is computed from what? The mapped variables, each fed by the nearest mapped ones before it.

This is the interpretation graph of Chan et al. 2022, "Causal scrubbing". Its output node is the network's output.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from causalmi.errors import SpecError
from causalmi.spec.donor import Agree, Donor, Exact, Generated, Together
from causalmi.spec.hypothesis import Hypothesis, Resample
from causalmi.spec.route import EVERYTHING, Route
from causalmi.spec.site_type import Site

LOGITS = "logits"  # the output node, where the output variable has a site of its own
MOST = 10_000  # nodes of the unfolded graph
Occurrence = tuple[str, ...]  # the variables from the output to a node: one way in which it is reached


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """A variable at its sites (none for the output, which is read from the logits), and how it is resampled.

    ``feeders`` are the nodes that it is claimed to be computed from, ``routes`` the paths from each of them to it.
    """

    variable: str
    sites: tuple[Site, ...]
    feeders: tuple[str, ...]
    donor: Donor
    routes: Mapping[str, Route]
    unmapped: Resample
    estimate: Callable[..., Any] | None = None


@dataclass(frozen=True, eq=False)
class Graph:
    """The nodes of a claim, each after those that feed it; the output is the last."""

    nodes: Mapping[str, Node]

    @property
    def output(self) -> Node:
        """The network's output."""
        return list(self.nodes.values())[-1]

    @cached_property
    def occurrences(self) -> tuple[Occurrence, ...]:
        """Every node of the graph unfolded into a tree, as its path from the output, which comes first.

        What is the same wherever it is read is there once, by the first of its paths.
        """
        return tuple(self._first.values())

    def onto(self, path: Occurrence, feeder: str) -> Occurrence:
        """The occurrence of ``feeder`` that feeds the occurrence ``path`` of another node."""
        return self._first[self._same((*path, feeder))]

    @cached_property
    def _first(self) -> dict[Occurrence, Occurrence]:
        return dict(self._unfold())

    def _unfold(self) -> Iterator[tuple[Occurrence, Occurrence]]:
        waiting, known = list[Occurrence]([(self.output.variable,)]), set[Occurrence]()
        while waiting:
            path = waiting.pop()
            if (key := self._same(path)) not in known:
                known.add(key)
                yield key, path
                waiting += [(*path, feeder) for feeder in reversed(self.nodes[path[-1]].feeders)]

    def _same(self, path: Occurrence) -> Occurrence:
        """One key for all occurrences of a node that see the same data as ``path`` does."""
        donors = [self.nodes[name].donor for name in path]
        if len(path) == 1 or path[-1] not in self._settled:
            return path
        own = max((i for i, donor in enumerate(donors) if not isinstance(donor, Exact)), default=0)
        return (path[0], path[-1]) if isinstance(donors[-1], Together) else (*path[: own + 1], path[-1])

    @cached_property
    def _settled(self) -> frozenset[str]:
        """Nodes of which, given their own datum, nothing is drawn by path: neither their rest nor what feeds them."""
        found: set[str] = set()
        for name, node in self.nodes.items():
            shared = not node.feeders or node.unmapped.name or node.unmapped.share not in ("node", "term")
            if shared and isinstance(node.donor, Exact | Together) and found.issuperset(node.feeders):
                found.add(name)
        return frozenset(found)

    def too_many(self) -> bool:
        """Whether there are more occurrences than can be drawn for."""
        return sum(1 for _ in islice(self._unfold(), MOST + 1)) > MOST

    @property
    def size(self) -> int:
        """The number of nodes of the tree, each wherever it is read."""
        counts: dict[str, int] = {}
        for name, node in self.nodes.items():
            counts[name] = 1 + sum(counts[feeder] for feeder in node.feeders)
        return counts[self.output.variable]


def graph_of(hypothesis: Hypothesis) -> Graph:
    """The interpretation graph; raises SpecError for what makes none, with every problem."""
    model, mapped = hypothesis.task.model, hypothesis.alignment
    if model.output in mapped and LOGITS in model.variables:
        said = f"a variable of the causal model is named {LOGITS!r}, as the place where its placed output is read"
        raise SpecError(f"scrubbing {hypothesis.name!r}", [f"{said}; rename it"])
    output = LOGITS if model.output in mapped else model.output
    parents = {v: list(model.parents[v]) for v in model.variables} | (
        {LOGITS: [model.output]} if output == LOGITS else {}
    )
    names = [*(v for v in model.variables if v in mapped and v != output), output]
    nodes = {name: _node(hypothesis, name, _feeders(name, parents, mapped)) for name in names}
    graph = Graph(nodes)
    if problems := list(_problems(hypothesis, graph)):
        raise SpecError(f"scrubbing {hypothesis.name!r}", problems)
    return graph


def _node(h: Hypothesis, name: str, feeders: tuple[str, ...]) -> Node:
    sites = h.sites(name) if name in h.alignment else ()
    default = Agree(name) if sites else Exact()
    donor = h.donors.get(name, default)
    if isinstance(donor, Agree | Generated) and not donor.on:
        donor = Agree(name, pool=donor.pool) if isinstance(donor, Agree) else Generated(donor.make, name)
    return Node(
        variable=name,
        sites=sites,
        feeders=feeders,
        donor=donor,
        routes={f: h.routes.get((f, name), EVERYTHING) for f in feeders},
        unmapped=h.unmapped_at(name),
        estimate=h.estimates.get(name),
    )


def _feeders(name: str, parents: Mapping[str, list[str]], mapped: Mapping[str, Any]) -> tuple[str, ...]:
    """The nearest mapped ancestors; variables without a place are passed through."""
    found: dict[str, None] = {}
    for parent in parents[name]:
        found |= dict.fromkeys([parent] if parent in mapped else _feeders(parent, parents, mapped))
    return tuple(found)


def _problems(h: Hypothesis, graph: Graph) -> Iterator[str]:
    yield from _node_problems(h, graph)
    edges = {(feeder, name) for name, node in graph.nodes.items() for feeder in node.feeders}
    for edge in h.routes:
        if edge not in edges:
            shown = ", ".join(f"{a} -> {b}" for a, b in sorted(edges)) or "none"
            yield f"routes names {edge[0]} -> {edge[1]}, which is no edge between mapped variables; they are: {shown}"
    for table in ("donors", "estimates"):
        for name in getattr(h, table):
            if name not in graph.nodes:
                yield f"{table} names {name}, which has no place in the alignment"
    if graph.too_many():
        said = "map fewer variables, or let nodes share their draws: donors Exact(), Resample(name='all')"
        yield f"unfolded, the claim has {graph.size:,} nodes, more than {MOST:,}; {said}"


def _node_problems(h: Hypothesis, graph: Graph) -> Iterator[str]:
    fed = {feeder for node in graph.nodes.values() for feeder in node.feeders}
    for name, node in graph.nodes.items():
        if node.sites and name not in fed:
            yield f"{name} is mapped, and no path of the causal model leads from it to {h.task.model.output}"
        if node.estimate is not None and (node.feeders or len(node.sites) != 1):
            yield f"{name} has an estimate, so it needs one site and no mapped variable before it"
