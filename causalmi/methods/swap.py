"""What does the network answer when the numbers at some places come from other inputs? The interchange itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.model import Model, plan
from causalmi.errors import DataError, SiteError
from causalmi.methods.agreement import Answers, answers
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

    def check(self) -> None:
        """Find everything that cannot be run, before anything is; raises SiteError or PositionError."""
        for variable, sites in self.alignment.items():
            base, source = (
                plan(self.model, x, read=sites).shapes for x in (self.pairs.base, self.pairs.sources[variable])
            )
            for site in sites:
                if base[site] != source[site]:
                    raise SiteError(
                        f"{site} has shape {base[site]} on the bases, {source[site]} on the sources: unequal lengths; "
                        "name a position with at=, or give prompts of one length"
                    )

    @cached_property
    def base(self) -> Answers:
        """The network's answers to the bases."""
        return answers(self.model, self.pairs.base, self.pairs, batch_size=self.batch_size)

    @cached_property
    def sources(self) -> dict[str, Answers]:
        """The network's answers to each variable's sources, with the numbers at its sites."""
        return {
            variable: answers(
                self.model, self.pairs.sources[variable], self.pairs, read=sites, batch_size=self.batch_size
            )
            for variable, sites in self.alignment.items()
        }

    def interchange(self, subset: Sequence[str], order: Mapping[str, Tensor] | None = None) -> Answers:
        """The answers to the bases with the sites of ``subset`` set from their sources.

        ``order`` gives, for a variable, the row of the source that each base receives instead of its own.
        """
        edits = {}
        for variable in subset:
            for site, value in self.sources[variable].values.items():
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
