"""Which runs does a scrub need, each once? Every node's runs, keyed by the data that its whole subtree sees."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from causalmi.methods.scrubbing.draw import REST, Draw
from causalmi.methods.scrubbing.graph import Graph, Node, Occurrence
from causalmi.methods.scrubbing.population import Ids


@dataclass(frozen=True, eq=False)
class Runs:
    """The distinct runs of a node. An occurrence's reference r is served by the run ``at[occurrence][r]``.

    ``clean`` [u]: the datum that everything in a run's subtree sees, so that its value is what the network has there
    anyway; -1 where several data meet. ``rest``: by term, what the unmapped rest sees; ``fed``: the run of each feeder.
    """

    at: Mapping[Occurrence, Ids]
    clean: Ids
    rest: Mapping[str, Ids]
    fed: Mapping[str, Ids]

    @property
    def mixed(self) -> Ids:
        """The runs in which several data meet."""
        return np.flatnonzero(self.clean < 0)

    def __len__(self) -> int:
        return len(self.clean)


def runs_of(graph: Graph, drawn: Mapping[Occurrence, Draw], *, shared: bool = True) -> dict[str, Runs]:
    """The distinct runs of every node, in the order of the graph; none but leaves are clean unless ``shared``."""
    found: dict[str, Runs] = {}
    for name, node in graph.nodes.items():
        paths = [path for path in drawn if path[-1] == name]
        found[name] = _leaf(paths, drawn) if is_leaf(node) else _inner(graph, node, paths, drawn, found)
        if not shared and not is_leaf(node):
            found[name] = replace(found[name], clean=np.full(len(found[name]), -1))
    return found


def is_leaf(node: Node) -> bool:
    """Whether a node is read from a clean run of its own datum."""
    return bool(node.sites) and not node.feeders


def _leaf(paths: list[Occurrence], drawn: Mapping[Occurrence, Draw]) -> Runs:
    clean, inverse = np.unique(np.concatenate([drawn[path].own for path in paths]), return_inverse=True)
    return Runs(_split(paths, inverse), clean, {}, {})


def _inner(
    graph: Graph, node: Node, paths: list[Occurrence], drawn: Mapping[Occurrence, Draw], found: Mapping[str, Runs]
) -> Runs:
    terms = tuple(drawn[paths[0]].rest)
    blocks = [
        np.stack([*(drawn[p].rest[t] for t in terms), *(found[f].at[graph.onto(p, f)] for f in node.feeders)], axis=1)
        for p in paths
    ]
    keys, inverse = np.unique(np.concatenate(blocks), axis=0, return_inverse=True)
    rest = {t: keys[:, i] for i, t in enumerate(terms)}
    fed = {f: keys[:, len(terms) + i] for i, f in enumerate(node.feeders)}
    # Constants are no datum: what receives them is never clean.
    clean = np.full(len(keys), -1) if node.unmapped.share in ("zero", "mean") else rest[REST].copy()
    for ids in (*rest.values(), *(found[f].clean[rows] for f, rows in fed.items())):
        clean[ids != clean] = -1
    return Runs(_split(paths, inverse.reshape(-1)), clean, rest, fed)


def _split(paths: list[Occurrence], inverse: Ids) -> dict[Occurrence, Ids]:
    return dict(zip(paths, np.split(inverse, len(paths)), strict=True))
