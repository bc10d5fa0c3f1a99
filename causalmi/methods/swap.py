"""What does the network answer when the numbers at some places come from other inputs? The interchange itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.execute import in_pieces
from causalmi.engine.locate import locate
from causalmi.engine.model import Model, plan
from causalmi.engine.recording import Recording
from causalmi.engine.selection import Selection
from causalmi.errors import SiteError
from causalmi.methods.agreement import Answers, answers, collected
from causalmi.methods.examples import readout_of
from causalmi.methods.subsets import Item, Nested, Subset, expected_labels, outer
from causalmi.spec.domain import count
from causalmi.spec.site import Site

KEPT = 2**28  # numbers that recordings of bases may hold, 1 GiB in float32
Alignment = Mapping[str, tuple[Site, ...]]


@dataclass(frozen=True)
class Swap:
    """Interchange interventions of one network under one alignment on given pairs.

    The activations of each variable's sources are read once. With ``recorded`` so are the bases, as far as memory
    allows, and each interchange computes only what it changes; without, it is a whole run, cheaper for a single one.
    """

    model: Model
    pairs: CounterfactualPairs
    alignment: Alignment
    batch_size: int | None = None
    recorded: bool = True
    _read: dict[Item, Answers] = field(init=False, default_factory=dict, repr=False)
    _expected: dict[Subset, Tensor] = field(init=False, default_factory=dict, repr=False)

    def check(self, *nested: Nested) -> None:
        """Find everything that cannot be run, before anything is; raises SiteError or PositionError."""
        everything = [site for sites in self.alignment.values() for site in sites]
        plan(self.model, self.pairs.base, edits=dict.fromkeys(everything, 0.0))
        for variable in self.alignment:
            self._same_places(self.pairs.base, variable, None)
        for item in nested:
            self._same_places(self.pairs.sources[item.variable], item.inner, None)

    def _same_places(self, into: Inputs, variable: str, rows: Tensor | None) -> None:
        """Refuse to put a whole sequence into one of another length or padding: its positions would not match."""
        source, sites = self.pairs.sources[variable], self.alignment[variable]
        picked = torch.arange(len(into)) if rows is None else rows
        matched = (into.lengths == source.lengths[picked]) & (into.starts == source.starts[picked])
        there, here = (locate(self.model.adapter, x, sites) for x in (into, source))
        for site in sites:
            unequal = there[site].sequence and not bool(matched.all())
            if unequal or there[site].shape != here[site].shape:
                raise _unequal(site)

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """For each pair the number of its sampling unit."""
        return sampling_units(self.pairs)

    @cached_property
    def base(self) -> Answers:
        """The network's answers to the bases."""
        if not self.recorded:
            return answers(self.model, self.pairs.base, self.pairs, batch_size=self.batch_size)
        return collected(((rows, bases.logits, {}) for rows, bases in self._bases), self.pairs)

    def source(self, variable: str) -> Answers:
        """The network's answers to the sources of ``variable``, with the numbers at its sites; run once."""
        if variable not in self._read:
            inputs, sites = self.pairs.sources[variable], self.alignment[variable]
            self._read[variable] = answers(self.model, inputs, self.pairs, read=sites, batch_size=self.batch_size)
        return self._read[variable]

    def interchange(
        self, subset: Subset, order: Mapping[Item, Tensor] | None = None, read: Iterable[Site] = ()
    ) -> Answers:
        """The answers to the bases with the sites of ``subset`` set from their sources, and what is then at ``read``.

        ``order`` gives, for a variable, the row of the source that each base receives instead of its own.
        """
        edits, read = {}, tuple(read)
        for item in subset:
            if order is not None:
                self._same_places(self.pairs.base, outer(item), order[item])
            for site, value in self._values(item).items():
                edits[site] = value if order is None else value[order[item].to(value.device)]
        if not self.recorded:
            return answers(self.model, self.pairs.base, self.pairs, edits=edits, read=read, batch_size=self.batch_size)
        runs = ((rows, bases.run({s: v[rows] for s, v in edits.items()}, read)) for rows, bases in self._bases)
        return collected(((rows, run.logits, run.values) for rows, run in runs), self.pairs)

    def _values(self, item: Item) -> Mapping[Site, Tensor]:
        """The numbers that ``item`` is set to; of a nested one, those on a source that is itself intervened on."""
        if isinstance(item, str):
            return self.source(item).values
        if item not in self._read:
            source, read = self.pairs.sources[item.variable], self.alignment[item.variable]
            edits = self.source(item.inner).values
            found = answers(self.model, source, self.pairs, edits=edits, read=read, batch_size=self.batch_size)
            self._read[item] = found
        return self._read[item].values

    def reuse(self, recordings: list[tuple[slice, Recording]]) -> None:
        """Run from these recordings of the bases, of rows in order, unless it has some already."""
        self.__dict__.setdefault("_bases", recordings)

    def within(self, alignment: Alignment) -> "Swap":
        """The same pairs under an alignment inside the places of this one: what was run for it is not run again.

        Each of its sites means some numbers, directions or features of a place that a variable has here as a whole.
        """
        new = replace(self, alignment=alignment)
        new.__dict__["_bases"] = self._bases
        new._expected.update(self._expected)
        for variable, sites in alignment.items():
            whole = self.source(variable)
            new._read[variable] = replace(whole, values={s: self._inside(s, whole.values) for s in sites})
        return new

    def _inside(self, site: Site, values: Mapping[Site, Tensor]) -> Tensor:
        """What ``site`` means of the numbers at its whole place."""
        found = locate(self.model.adapter, self.pairs.base.rows(slice(0, 1)), [site])[site].selection
        last_axis = Selection(neurons=found.neurons, projection=found.projection)
        return last_axis.get(values[widened(site)])

    @cached_property
    def _bases(self) -> list[tuple[slice, Recording]]:
        """Recordings of the bases, batch by batch; those for which there is no memory left run whole."""
        at, kept = readout_of(self.model, self.pairs), 0
        size = plan(self.model, self.pairs.base, batch_size=self.batch_size).batch_size

        def one(rows: slice) -> tuple[slice, Recording]:
            nonlocal kept
            recording = self.model.record(self.pairs.base.rows(rows), at=at, resume=kept < KEPT)
            kept += recording.numbers
            return rows, recording

        return list(in_pieces(len(self.pairs), size, one))

    def hits(self, subset: Subset, given: Answers) -> torch.Tensor:
        """Which answers are the causal model's counterfactual ones, bool [n]."""
        return given.among_choices == self.expected(subset)

    def expect(self, subset: Subset, labels: Tensor) -> None:
        """Take ``labels``, int64 [n], for the expected answers under the interchange of ``subset``."""
        self._expected[subset] = labels

    def expected(self, subset: Subset) -> Tensor:
        """The causal model's answers under the interchange of ``subset``, int64 [n]; raises DataError without any."""
        if subset not in self._expected:
            self._expected[subset] = expected_labels(self.pairs, subset, self.model.tokenizer)
        return self._expected[subset]


def widened(site: Site) -> Site:
    """All the numbers at the place of ``site``."""
    return replace(site, neurons=None, basis=None, featurizer=None, chosen=None)


def _unequal(site: Site) -> SiteError:
    return SiteError(
        f"{site} spans whole examples, and bases and sources have unequal lengths; "
        "name a position with at=, or give prompts of one length"
    )


def sampling_units(pairs: CounterfactualPairs) -> NDArray[np.int64]:
    """For each pair the number of its base; of itself, where the pairs hold every base there is.

    A base that comes again is not new evidence about bases, unless there are no others to draw.
    """
    found, task = pairs.clusters(), pairs.task
    if task is None or pairs.drawn is None:
        return found
    everything = count(task.model.admits[name] for name in task.model.inputs)  # infinite when an input is drawn
    return np.arange(len(found)) if everything == found.max() + 1 else found
