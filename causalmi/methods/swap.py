"""What does the network answer when the numbers at some places come from other inputs? The interchange itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.locate import locate
from causalmi.engine.model import Model, plan
from causalmi.errors import DataError, SiteError
from causalmi.methods.agreement import Answers, answers
from causalmi.spec.causal_model import CausalModel
from causalmi.spec.domain import count
from causalmi.spec.site import Site

Alignment = Mapping[str, tuple[Site, ...]]


@dataclass(frozen=True)
class Swap:
    """Interchange interventions of one network under one alignment on given pairs.

    The activations of each variable's sources are read once, on the run that also gives the network's answers to them.
    """

    model: Model
    pairs: CounterfactualPairs
    alignment: Alignment
    batch_size: int | None = None
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
        return answers(self.model, self.pairs.base, self.pairs, batch_size=self.batch_size)

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
        return answers(self.model, self.pairs.base, self.pairs, edits=edits, batch_size=self.batch_size)

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
