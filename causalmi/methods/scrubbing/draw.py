"""Which datum does every node run on? The draws of a scrub, made before the network runs.

A node's reference is the own datum of the node that it feeds. Each node has random streams of its own, named by its
path, so that adding a node moves no other's draws.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from causalmi.errors import DataError
from causalmi.methods.scrubbing.graph import Graph, Node, Occurrence
from causalmi.methods.scrubbing.population import Classes, Ids, Population
from causalmi.rng import stream
from causalmi.spec.donor import Agree, Donor, Generated, Paired, Together, Unconditional

REST = ""  # the key of the one datum that the whole unmapped rest sees


@dataclass(frozen=True, eq=False)
class Draw:
    """The own data [n] of one occurrence of a node, and what its unmapped rest sees: rows by term, or for all."""

    own: Ids
    rest: Mapping[str, Ids]


class Draws:
    """All draws of a scrub, by occurrence; ``terms`` names each node's unmapped terms, where those are drawn apart."""

    def __init__(self, graph: Graph, population: Population, terms: Mapping[str, tuple[str, ...]], seed: int):
        self.graph, self.population, self.terms, self.seed = graph, population, terms, seed
        self._pools: dict[tuple[object, ...], Ids] = {}

    def sample(self, references: Ids) -> dict[Occurrence, Draw]:
        """The draws for ``references`` [n]."""
        own: dict[Occurrence, Ids] = {(): references}
        drawn: dict[Occurrence, Draw] = {}
        for path in self.graph.occurrences:
            node = self.graph.nodes[path[-1]]
            own[path] = self._own(node.donor, own[path[:-1]], path)
            drawn[path] = Draw(own[path], self._rest(node, own[path], path))
        return drawn

    def _own(self, donor: Donor, reference: Ids, path: Occurrence) -> Ids:
        rng = stream(self.seed, "scrub", *path, "own")
        match donor:
            case Agree():
                return self._agreeing(donor, reference, path)
            case Unconditional():
                return rng.integers(len(self.population), size=len(reference))
            case Together():
                shared = stream(self.seed, "scrub", "together", donor.name)
                return shared.integers(len(self.population), size=len(reference))
            case Paired():
                return self.partners(donor, reference)
            case Generated():
                return self._generated(donor, reference, rng)
        return reference  # Exact

    def _agreeing(self, donor: Agree, reference: Ids, path: Occurrence) -> Ids:
        codes, table = self.population.codes(donor.on, reference), self.population.classes(donor.on)
        rng = stream(self.seed, "scrub", *path, "own")
        if donor.pool is None:
            return _members(table, codes, reference, rng)
        name, slot = donor.pool.name or path[-1], int(rng.integers(donor.pool.size))
        alike = np.where(codes >= 0, codes, -1 - reference).tobytes()  # what agrees with nothing is alike to itself
        key = (donor.on, name, alike, slot)
        if key not in self._pools:
            digest = hashlib.sha256(alike).hexdigest()
            pool = stream(self.seed, "scrub", "pool", name, digest, str(slot))
            self._pools[key] = _members(table, codes, reference, pool)
        return self._pools[key]

    def partners(self, donor: Paired, rows: Ids) -> Ids:
        """The counterparts of ``rows``."""
        if donor.counterpart is not None:
            found = {int(r): self.population.add(donor.counterpart(self.population.setting(int(r)))) for r in set(rows)}
            return np.array([found[int(r)] for r in rows], dtype=np.int64)
        if self.population.counterpart is None or (rows >= len(self.population)).any():
            raise DataError("the data are no pairs, so nothing has a counterpart; give data= as pairs, or a function")
        return self.population.counterpart[rows]

    def _generated(self, donor: Generated, reference: Ids, rng: np.random.Generator) -> Ids:
        made = np.array(
            [self.population.add(donor.make(self.population.setting(int(r)), rng)) for r in reference], dtype=np.int64
        )
        for r, m in zip(reference.tolist(), made.tolist(), strict=True):
            if not self.population.agree(donor.on, r, m):
                given, wanted = dict(self.population.setting(m)), dict(self.population.setting(r))
                raise DataError(f"the generated {given} does not agree with {wanted} on {donor.on}; mend make")
        return made

    def _rest(self, node: Node, own: Ids, path: Occurrence) -> Mapping[str, Ids]:
        """What the unmapped rest sees; a node that nothing feeds runs whole on its own datum."""
        share, name = node.unmapped.share, node.unmapped.name
        if not node.feeders and node.sites:
            return {}
        if share == "paired":
            return {REST: self.partners(Paired(), own)}
        if share in ("exact", "zero", "mean"):
            return {REST: own}
        n, size = len(self.population), len(own)
        at = ("shared", name) if name else path
        keys = (REST, *(self.terms[node.variable] if share == "term" else ()))
        return {key: stream(self.seed, "scrub", *at, "rest", key).integers(n, size=size) for key in keys}


def _members(table: Classes, codes: Ids, reference: Ids, rng: np.random.Generator) -> Ids:
    """A member of each class; added data that agree with none of the drawn keep to themselves."""
    drawn = table.draw(np.maximum(codes, 0), rng)
    kept: Ids = np.where(codes >= 0, drawn, reference)
    return kept
