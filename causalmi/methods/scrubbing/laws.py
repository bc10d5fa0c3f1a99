"""What is the exact distribution of a node's value under a scrub? Every datum and donor, with its probability.

Given a node's own datum, the values of its feeders and its unmapped rest are independent. So the value of a node has a
law for each class of references, and equal values are carried on once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from causalmi.errors import SpecError
from causalmi.methods.scrubbing.draw import REST
from causalmi.methods.scrubbing.graph import Node
from causalmi.methods.scrubbing.keys import Runs
from causalmi.methods.scrubbing.population import Ids, Population
from causalmi.methods.scrubbing.scores import Floats
from causalmi.spec.donor import Agree, Donor, Exact, Paired, Unconditional

OWN = ("exact", "paired", "zero", "mean")


@dataclass(frozen=True, eq=False)
class Law:
    """``codes`` [N]: the class of each datum as a reference; ``shares`` [codes, values]: the chances of each value."""

    codes: Ids
    shares: sparse.csr_matrix


@dataclass(frozen=True, eq=False)
class Groups:
    """Own data under which a node's value has one law: ``of`` [N], and of each group the first of its data."""

    of: Ids
    first: Ids

    def __len__(self) -> int:
        return len(self.first)


def check_enumerable(nodes: Mapping[str, Node]) -> None:
    """Raise SpecError for draws that are not independent of each other, or not listed."""
    problems = []
    for name, node in nodes.items():
        pooled = isinstance(node.donor, Agree) and node.donor.pool is not None
        if pooled or not isinstance(node.donor, Agree | Exact | Unconditional | Paired):
            problems.append(f"{name}: donors shared or made anew ({type(node.donor).__name__}) cannot be listed")
        if node.unmapped.share == "term" or node.unmapped.name:
            problems.append(f"{name}: an unmapped rest drawn term by term, or shared, cannot be listed")
    if problems:
        raise SpecError("scrub with n='all'", [f"{p}; give a number of references" for p in problems])


def donors_of(donor: Donor, population: Population) -> tuple[Ids, sparse.csr_matrix]:
    """The class of each datum as a reference [N], and the chances of each datum as its donor [codes, N]."""
    n = len(population)
    if isinstance(donor, Agree):
        table = population.classes(donor.on)
        chances = 1 / table.counts[table.codes]
        return table.codes, sparse.csr_matrix((chances, (table.codes, np.arange(n))), shape=(len(table.counts), n))
    if isinstance(donor, Unconditional):
        return np.zeros(n, np.int64), sparse.csr_matrix(np.full((1, n), 1 / n))
    partner = partners(donor, population) if isinstance(donor, Paired) else np.arange(n)
    return np.arange(n), sparse.csr_matrix((np.ones(n), (np.arange(n), partner)), shape=(n, n))


def partners(donor: Paired, population: Population) -> Ids:
    """The counterpart of every datum; raises SpecError where that is not one of the data."""
    if donor.counterpart is not None:
        found = np.array([population.add(donor.counterpart(population.setting(i))) for i in range(len(population))])
        if (found >= len(population)).any():
            raise SpecError("scrub with n='all'", ["a counterpart is not one of the data; give data that hold it"])
        return found
    if population.counterpart is None:
        raise SpecError("scrub with n='all'", ["the data are no pairs, so nothing has a counterpart"])
    return population.counterpart


def groups_of(node: Node, laws: Mapping[str, Law], population: Population) -> Groups:
    """The own data that a node cannot tell apart: those whose feeders have one law, and whose rest is one."""
    n = len(population)
    columns = [laws[f].codes for f in node.feeders]
    columns += [np.arange(n)] if node.unmapped.share in OWN else []
    table = np.stack([*columns, np.zeros(n, np.int64)], axis=1)
    _, first, of = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return Groups(of.reshape(-1), first)


def amount(node: Node, groups: Groups, laws: Mapping[str, Law], n: int) -> int:
    """How many runs the node's values take."""
    rest = 1 if node.unmapped.share in OWN else n
    per = [rest * int(np.prod([len(_support(laws[f], int(d))[0]) for f in node.feeders])) for d in groups.first]
    return sum(per)


def listed(
    node: Node, groups: Groups, laws: Mapping[str, Law], population: Population, size: int
) -> Iterator[tuple[Ids, Floats, Runs]]:
    """Every run of a node, about ``size`` at a time: its group, its chance in the group, and what it is of."""
    waiting: list[tuple[Ids, Floats, Ids]] = []
    for number, datum in enumerate(groups.first.tolist()):
        rest = _rest(node, datum, population)
        supports = [(rest, np.full(len(rest), 1 / len(rest))), *(_support(laws[f], datum) for f in node.feeders)]
        keys = np.stack([x.reshape(-1) for x in np.meshgrid(*(ids for ids, _ in supports), indexing="ij")], axis=1)
        chances = _outer([p for _, p in supports])
        waiting.append((np.full(len(keys), number), chances, keys))
        if sum(len(k) for *_, k in waiting) >= size:
            yield from _pieces(node, waiting, size)
            waiting = []
    if waiting:
        yield from _pieces(node, waiting, size)


def _pieces(node: Node, waiting: list[tuple[Ids, Floats, Ids]], size: int) -> Iterator[tuple[Ids, Floats, Runs]]:
    group, chance, keys = (np.concatenate(x) for x in zip(*waiting, strict=True))
    for i in range(0, len(keys), size):
        some = keys[i : i + size]
        fed = {f: some[:, 1 + j] for j, f in enumerate(node.feeders)}
        yield group[i : i + size], chance[i : i + size], Runs({}, np.full(len(some), -1), {REST: some[:, 0]}, fed)


def _rest(node: Node, datum: int, population: Population) -> Ids:
    if node.unmapped.share == "paired":
        return partners(Paired(), population)[[datum]]
    return np.array([datum]) if node.unmapped.share in OWN else np.arange(len(population))


def _support(law: Law, datum: int) -> tuple[Ids, Floats]:
    """The values that a node may have for this reference, and their chances."""
    row = law.shares[[int(law.codes[datum])]].tocoo()
    return row.col.astype(np.int64), row.data


def _outer(chances: list[Floats]) -> Floats:
    total = np.ones(1)
    for p in chances:
        total = np.multiply.outer(total, p).reshape(-1)
    return total
