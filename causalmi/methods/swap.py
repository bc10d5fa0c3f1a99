"""What does the network answer when the numbers at some places come from other inputs? The interchange itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.execute import in_pieces
from causalmi.engine.locate import locate
from causalmi.engine.model import Model, plan
from causalmi.engine.recording import Recording
from causalmi.errors import DataError, SiteError
from causalmi.methods.agreement import Answers, answers, collected
from causalmi.methods.examples import readout_of
from causalmi.spec.causal_model import CausalModel
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
    _read: dict[str, Answers] = field(init=False, default_factory=dict, repr=False)

    def check(self) -> None:
        """Find everything that cannot be run, before anything is; raises SiteError or PositionError."""
        everything = [site for sites in self.alignment.values() for site in sites]
        plan(self.model, self.pairs.base, edits=dict.fromkeys(everything, 0.0))
        for variable, sites in self.alignment.items():
            source = self.pairs.sources[variable]
            base_places, places = (locate(self.model.adapter, x, sites) for x in (self.pairs.base, source))
            for site in sites:
                if base_places[site].shape != places[site].shape:
                    raise _unequal(site)
        self._same_spans(self.alignment, None)

    def _same_spans(self, subset: Iterable[str], order: Mapping[str, Tensor] | None) -> None:
        """Refuse to put a whole sequence into one of another length or padding: its positions would not match."""
        base = self.pairs.base
        for variable in subset:
            source = self.pairs.sources[variable]
            rows = torch.arange(len(base)) if order is None else order[variable]
            matched = (base.lengths == source.lengths[rows]) & (base.starts == source.starts[rows])
            for site, place in locate(self.model.adapter, base, self.alignment[variable]).items():
                if place.sequence and not bool(matched.all()):
                    raise _unequal(site)

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """For each pair the number of its base; of itself, where the pairs hold every base there is.

        A base that comes again is not new evidence about bases, unless there are no others to draw.
        """
        found, task = self.pairs.clusters(), self.pairs.task
        everything = task is not None and self.pairs.drawn is not None and _settings(task.model) == found.max() + 1
        return np.arange(len(found)) if everything else found

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

    def interchange(self, subset: Sequence[str], order: Mapping[str, Tensor] | None = None) -> Answers:
        """The answers to the bases with the sites of ``subset`` set from their sources.

        ``order`` gives, for a variable, the row of the source that each base receives instead of its own.
        """
        if order is not None:
            self._same_spans(subset, order)
        edits = {}
        for variable in subset:
            for site, value in self.source(variable).values.items():
                edits[site] = value if order is None else value[order[variable].to(value.device)]
        if not self.recorded:
            return answers(self.model, self.pairs.base, self.pairs, edits=edits, batch_size=self.batch_size)
        runs = ((rows, bases.run({s: v[rows] for s, v in edits.items()}).logits) for rows, bases in self._bases)
        return collected(((rows, logits, {}) for rows, logits in runs), self.pairs)

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

    def hits(self, subset: tuple[str, ...], given: Answers) -> torch.Tensor:
        """Which answers are the causal model's counterfactual ones, bool [n]."""
        return given.among_choices == self.expected(subset)

    def expected(self, subset: tuple[str, ...]) -> Tensor:
        """The causal model's answers under the interchange of ``subset``, int64 [n]."""
        for other, labels in self.pairs.expected.items():
            if set(other) == set(subset):
                return labels
        have = ", ".join("+".join(s) for s in self.pairs.expected) or "none"
        raise DataError(
            f"these pairs have no expected labels for {'+'.join(subset)} (they have: {have}); "
            f"draw them with task.pairs(vary={list(subset)})"
        )


def _unequal(site: Site) -> SiteError:
    return SiteError(
        f"{site} spans whole examples, and bases and sources have unequal lengths; "
        "name a position with at=, or give prompts of one length"
    )


def _settings(model: CausalModel) -> float:
    """How many settings of its inputs a causal model has; infinite when one is drawn."""
    return count(model.admits[name] for name in model.inputs)
