"""How is a scrub carried out? Clean reads of all data at once, then node by node what several data meet in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.execute import in_pieces
from causalmi.engine.model import Model, plan
from causalmi.engine.plan import NUMBERS_A_BATCH
from causalmi.methods.examples import pick
from causalmi.methods.scrubbing.estimates import estimate_of
from causalmi.methods.scrubbing.graph import Graph, Node
from causalmi.methods.scrubbing.keys import Runs, is_leaf
from causalmi.methods.scrubbing.onepass import CONSTANT, OnePass, Recipe
from causalmi.methods.scrubbing.population import Ids, Population
from causalmi.methods.scrubbing.structure import check_lengths
from causalmi.spec.site_type import Site

Table = dict[Site, Tensor]


@dataclass(eq=False)
class Passes:
    """The runs of one scrub; ``ran`` counts the examples that went through the network."""

    model: Model
    graph: Graph
    population: Population
    inputs: Inputs
    recipes: Mapping[str, Recipe]
    runs: Mapping[str, Runs]
    at: int | str
    batch_size: int | None = None
    ran: int = 0
    tables: dict[str, Table] = field(default_factory=dict)
    estimated: dict[str, dict[int, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_lengths(self.graph, self.model, self.inputs)  # of generated data too

    @cached_property
    def size(self) -> int:
        """Examples a batch."""
        return self.batch_size or max(1, NUMBERS_A_BATCH // max(1, self.inputs.values[0].numel()))

    def needed(self, references: Ids) -> int:
        """How many examples have to go through the network to score ``references``, in batches that memory allows.

        Routes and rests of several parts are not counted.
        """
        inner = sum(len(runs.mixed) for name, runs in self.runs.items() if self.graph.nodes[name].sites)
        served, pieces = self.runs[self.graph.output.variable].at[(self.graph.output.variable,)], list[Ids]()
        for i in range(0, len(served), self.size):
            pieces += self._asked(references[self.order[i : i + self.size]], served[self.order[i : i + self.size]])
        return len(self._read_clean()[1]) + inner + sum(map(len, pieces))

    @cached_property
    def order(self) -> Ids:
        """The references in the order in which they are scored: those of one run together."""
        output = self.graph.output.variable
        return np.argsort(self.runs[output].at[(output,)], kind="stable")

    @property
    def references(self) -> int:
        """How many references there are."""
        output = self.graph.output.variable
        return len(self.runs[output].at[(output,)])

    @property
    def unshared(self) -> int:
        """The examples of one run for each node of the unfolded claim and each reference, and the clean ones."""
        return self.references * (self.graph.size + 1)

    def prepare(self) -> Iterator[int]:
        """Fill the tables of every node but the output; yields how many examples were run so far."""
        yield from self._clean_reads()
        for node in self.graph.nodes.values():
            if node.sites and not is_leaf(node):
                yield from self._mix(node)

    def logits(self, references: Ids, served: Ids) -> tuple[Tensor, Tensor]:
        """Clean logits of ``references``, and those of the output node's runs ``served``, each [n, outputs]."""
        name, runs = self.graph.output.variable, self.runs[self.graph.output.variable]
        wanted, inverse = np.unique(served, return_inverse=True)
        data, mixed = self._asked(references, served)
        clean, same = self.plain_logits(data), runs.clean[wanted]
        scrubbed = clean.new_empty(len(wanted), clean.shape[1])
        if len(mixed):
            scrubbed[torch.from_numpy(same < 0)] = self.one(name, runs, mixed).logits()
            self.ran += len(mixed)
        scrubbed[torch.from_numpy(same >= 0)] = clean[torch.from_numpy(np.searchsorted(data, same[same >= 0]))]
        return clean[torch.from_numpy(np.searchsorted(data, references))], scrubbed[torch.from_numpy(inverse)]

    def _asked(self, references: Ids, served: Ids) -> tuple[Ids, Ids]:
        """The data whose clean logits one batch takes, and the runs in which several data meet."""
        runs, wanted = self.runs[self.graph.output.variable], np.unique(served)
        same = runs.clean[wanted]
        return np.unique(np.concatenate([references, same[same >= 0]])), wanted[same < 0]

    def plain_logits(self, data: Ids) -> Tensor:
        """The clean logits of some data."""
        inputs = self.inputs.rows(torch.from_numpy(data))
        self.ran += len(data)
        runs = self.model.stream(inputs, batch_size=len(inputs))
        return torch.cat([pick(run.logits, self.at, inputs.rows(rows)) for rows, run in runs])

    def _read_clean(self) -> tuple[dict[str, Ids], Ids]:
        """By node the data of its runs, for those that are read of clean runs; and all of these data, each once."""
        wanted = {n: r.clean for n, r in self.runs.items() if self.graph.nodes[n].sites and not self._estimated(n)}
        return wanted, np.unique(np.concatenate([np.empty(0, np.int64), *(c[c >= 0] for c in wanted.values())]))

    def _clean_reads(self) -> Iterator[int]:
        """Each datum that some node needs as the network has it, run once for all of them."""
        wanted, data = self._read_clean()
        sites = list(dict.fromkeys(site for name in wanted for site in self.graph.nodes[name].sites))
        for name in self.runs:
            if self._estimated(name):
                self.tables[name] = {self.graph.nodes[name].sites[0]: self.estimates(name, self.runs[name].clean)}
        if len(data):
            yield from in_pieces(len(data), self.size, lambda rows: self._read(data[rows], sites, wanted))

    def _read(self, data: Ids, sites: list[Site], wanted: Mapping[str, Ids]) -> int:
        values = self.model.capture(self.inputs.rows(torch.from_numpy(data)), sites, batch_size=len(data))
        for name, clean in wanted.items():
            runs = np.flatnonzero((clean >= data[0]) & (clean <= data[-1]))
            rows = torch.from_numpy(np.searchsorted(data, clean[runs]))
            self._fill(name, runs, {s: values[s][rows.to(values[s].device)] for s in self.graph.nodes[name].sites})
        self.ran += len(data)
        return self.ran

    def _mix(self, node: Node) -> Iterator[int]:
        """The runs of a node in which several data meet."""
        mixed = self.runs[node.variable].mixed

        def some(rows: slice) -> int:
            one = self.one(node.variable, self.runs[node.variable], mixed[rows])
            self._fill(node.variable, mixed[rows], one.read(node.sites))
            self.ran += len(mixed[rows])
            return self.ran

        yield from in_pieces(len(mixed), self.size, some)

    def one(self, name: str, runs: Runs, which: Ids) -> OnePass:
        """Some of the ``runs`` of a node as one batch."""
        node = self.graph.nodes[name]
        fed = {f: self._picked(f, runs.fed[f][which]) for f in node.feeders}
        apart = [f for f in fed if self._estimated(f)]
        data = {key: ids[which] for key, ids in runs.rest.items()}
        return OnePass(
            model=self.model,
            recipe=self.recipes[name],
            rest={key: self.inputs.rows(torch.from_numpy(ids)) for key, ids in data.items()},
            given={f: values for f, values in fed.items() if f not in apart},
            estimated={f: fed[f] for f in apart},
            before=self._before(node, apart, data),
            at=self.at,
        )

    def _before(self, node: Node, estimated: list[str], data: Mapping[str, Ids]) -> dict[str, Table]:
        """The estimates on the data of the unmapped rest, by term, and of a rest that is constant."""
        sites = {f: self.graph.nodes[f].sites[0] for f in estimated}
        before = {key: {site: self.estimates(f, ids) for f, site in sites.items()} for key, ids in data.items()}
        if node.unmapped.share in ("zero", "mean"):
            every, factor = np.arange(len(self.population)), float(node.unmapped.share == "mean")
            before[CONSTANT] = {site: self.estimates(f, every).mean(0) * factor for f, site in sites.items()}
        return before

    def _picked(self, name: str, rows: Ids) -> Table:
        return {site: x[torch.from_numpy(rows).to(x.device)] for site, x in self.tables[name].items()}

    def _fill(self, name: str, rows: Ids, values: Mapping[Site, Tensor]) -> None:
        table = self.tables.setdefault(name, {})
        for site, value in values.items():
            if site not in table:
                table[site] = value.new_empty(len(self.runs[name]), *value.shape[1:])
            table[site][torch.from_numpy(rows).to(value.device)] = value

    def _estimated(self, name: str) -> bool:
        return self.graph.nodes[name].estimate is not None

    def estimates(self, name: str, rows: Ids) -> Tensor:
        """A variable's estimate on some data, in the shape of its site; raises DataError where it does not fit."""
        node, known = self.graph.nodes[name], self.estimated.setdefault(name, {})
        shape = plan(self.model, self.inputs, read=node.sites).shapes[node.sites[0]][1:]
        distinct, inverse = np.unique(rows, return_inverse=True)
        for row in distinct.tolist():
            if row not in known:
                known[row] = estimate_of(node, self.population.setting(row), shape)
        found = torch.stack([known[row] for row in distinct.tolist()])
        return found[torch.from_numpy(inverse)].to(self.model.device)
