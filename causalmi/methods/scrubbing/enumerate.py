"""What is the exact scrubbed behaviour? The expectation over every reference and every draw, for data few enough."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from causalmi.engine.metrics import METRICS, Target
from causalmi.errors import DataError
from causalmi.methods.scrubbing.graph import Node
from causalmi.methods.scrubbing.keys import Runs, is_leaf
from causalmi.methods.scrubbing.laws import Groups, Law, amount, check_enumerable, donors_of, groups_of, listed
from causalmi.methods.scrubbing.onepass import OnePass
from causalmi.methods.scrubbing.passes import Passes, Table
from causalmi.methods.scrubbing.population import Ids
from causalmi.methods.scrubbing.scores import Floats, Scorer, Scores, best
from causalmi.methods.scrubbing.setup import Setup

MOST = 50_000_000  # runs of one node
SIZE = 8192  # runs at a time, where no batch size is given


@dataclass(eq=False)
class Enumeration:
    """The laws of a claim's nodes, found one after the other."""

    setup: Setup
    passes: Passes
    laws: dict[str, Law] = field(default_factory=dict)

    def scores(self, scorer: Scorer) -> Scores:
        """The expected scores of every reference."""
        nodes = self.setup.graph.nodes
        check_enumerable(nodes)
        for name, node in nodes.items():
            if node.sites:
                self.laws[name] = self._law(node)
        clean = torch.cat([self._clean(rows) for rows in self._batches(self.setup.references)])
        scorer.add(np.arange(len(clean)), clean, clean)
        return self._expected(scorer, clean)

    @property
    def size(self) -> int:
        """Runs at a time."""
        return self.setup.batch_size or SIZE

    def _batches(self, rows: Ids) -> list[Ids]:
        return [rows[i : i + self.size] for i in range(0, len(rows), self.size)]

    def _clean(self, rows: Ids) -> Tensor:
        return self.passes.plain_logits(rows)

    def _law(self, node: Node) -> Law:
        """The law of a node's value, its distinct values put in its table."""
        codes, donors = donors_of(node.donor, self.setup.population)
        of, shares, table = self._read(node) if is_leaf(node) else self._mixed(node)
        self.passes.tables[node.variable] = table
        own = sparse.csr_matrix((np.ones(len(of)), (np.arange(len(of)), of)), shape=(len(of), shares.shape[0]))
        return Law(codes, (donors @ own @ shares).tocsr())

    def _read(self, node: Node) -> tuple[Ids, sparse.csr_matrix, Table]:
        """A leaf: what is at its sites on each datum."""
        rows = np.arange(len(self.setup.population))
        if node.estimate is not None:
            table: Table = {node.sites[0]: self.passes.estimates(node.variable, rows)}
        else:
            table = self.setup.model.capture(self.setup.inputs, node.sites, batch_size=self.setup.batch_size)
        of, distinct = _distinct(table)
        return of, sparse.identity(len(next(iter(distinct.values()))), format="csr"), distinct

    def _mixed(self, node: Node) -> tuple[Ids, sparse.csr_matrix, Table]:
        """A node that others feed: its value in every run, with the chances of the runs."""
        groups = self._groups(node)
        tables, rows, chances = list[Table](), list[Ids](), list[Floats]()
        for group, chance, runs in listed(node, groups, self.laws, self.setup.population, self.size):
            tables.append(dict(self._one(node, runs).read(node.sites)))
            rows.append(group)
            chances.append(chance)
        of, distinct = _distinct({site: torch.cat([t[site] for t in tables]) for site in node.sites})
        cells = (np.concatenate(chances), (np.concatenate(rows), of))
        shape = (len(groups), len(next(iter(distinct.values()))))
        return groups.of, sparse.csr_matrix(cells, shape=shape), distinct

    def _one(self, node: Node, runs: Runs) -> OnePass:
        self.passes.ran += len(runs)
        return self.passes.one(node.variable, runs, np.arange(len(runs)))

    def _groups(self, node: Node) -> Groups:
        groups = groups_of(node, self.laws, self.setup.population)
        if (runs := amount(node, groups, self.laws, len(self.setup.population))) > MOST:
            raise DataError(
                f"{node.variable} takes {runs:,} runs to list every draw, more than {MOST:,}; "
                "give fewer data, or a number of references"
            )
        return groups

    def _expected(self, scorer: Scorer, clean: Tensor) -> Scores:
        """Each reference's scores, averaged over the draws of the output node's own datum and of all else."""
        node, setup = self.setup.graph.output, self.setup
        groups, (codes, donors) = self._groups(node), donors_of(node.donor, setup.population)
        own = sparse.csr_matrix((np.ones(len(groups.of)), (np.arange(len(groups.of)), groups.of)))
        chances = (donors @ own).tocsr()[codes[setup.references]]  # [references, groups]
        kinds, first = self._kinds(scorer, clean)
        member = sparse.csr_matrix((np.ones(len(kinds)), (kinds, np.arange(len(kinds)))))
        wanted = np.asarray((member @ chances).todense()) > 0  # [kinds, groups]
        sums = np.zeros((4, len(groups), len(first)))
        for group, chance, runs in listed(node, groups, self.laws, setup.population, self.size):
            logits = self._one(node, runs).logits()
            for kind, reference in enumerate(first.tolist()):
                rows = np.flatnonzero(wanted[kind][group])
                if len(rows):
                    found = _compared(scorer, logits[torch.from_numpy(rows)], clean[reference], reference)
                    np.add.at(sums[:, :, kind].T, group[rows], (found * chance[rows]).T)
        expected = [np.asarray(chances.multiply(table[:, kinds].T).sum(1)).reshape(-1) for table in sums]
        return replace(
            scorer.done(), scrubbed=expected[0], change=expected[1], kl=expected[2], right=expected[3], expected=True
        )

    @staticmethod
    def _kinds(scorer: Scorer, clean: Tensor) -> tuple[Ids, Ids]:
        """References alike in label and clean output: the kind of each, and the first of each kind."""
        of = torch.unique(clean, dim=0, return_inverse=True)[1].cpu().numpy()
        table = np.stack([of, scorer.labels.kinds[1].numpy()], 1)
        _, first, kinds = np.unique(table, axis=0, return_index=True, return_inverse=True)
        return kinds.reshape(-1), first


def _compared(scorer: Scorer, logits: Tensor, clean: Tensor, reference: int) -> Floats:
    """The metric of some outputs for one reference, its change, the divergence, and whether they are right, [4, n]."""
    n, labels = len(logits), scorer.labels
    own = labels.target.rows(slice(reference, reference + 1))
    fields = {name: x.expand(n) for name, x in vars(own).items() if x is not None}
    target = Target(**{**fields, "clean": clean.expand(n, -1)})
    value = scorer.metric(logits, target)
    before = scorer.metric(clean[None], replace(own, clean=clean[None]))
    choices = None if labels.choices is None else labels.choices[reference].expand(n, -1)
    right = best(logits, choices) == labels.answer[reference]
    parts = [value, (value - before).abs(), METRICS["kl"](logits, target), right]
    return torch.stack([part.double().cpu() for part in parts]).numpy()


def _distinct(table: Table) -> tuple[Ids, Table]:
    """Which of the distinct values each row has, and those."""
    flat = torch.cat([x.reshape(len(x), -1) for x in table.values()], dim=1)
    _, of = torch.unique(flat, dim=0, return_inverse=True)
    rows = of.cpu().numpy()
    first = torch.from_numpy(np.unique(rows, return_index=True)[1])
    return rows, {site: x[first.to(x.device)] for site, x in table.items()}
