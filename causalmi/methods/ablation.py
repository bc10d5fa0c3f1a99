"""What is an ablation? A rule that gives each example, at each ablated site, the numbers to put there instead."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.locate import Place, locate
from causalmi.engine.model import Model, plan
from causalmi.errors import DataError
from causalmi.methods.examples import Given, examples_of, inputs_of
from causalmi.spec.site import Site

Values = dict[Site, Tensor]


@dataclass(frozen=True, eq=False)
class AblationData:
    """The examples that are ablated, and the ``reference`` examples from which replacements are taken."""

    model: Model
    examples: Given
    reference: Given
    seed: int = 0
    batch_size: int | None = None
    resume: bool = True

    @classmethod
    def of(cls, model: Model, examples: Any, reference: Any = None, **how: Any) -> "AblationData":
        """Pairs, inputs or tensors made ready; without a ``reference`` it is the examples themselves."""
        ready = examples_of(model, examples)
        return cls(model, ready, ready if reference is None else examples_of(model, reference), **how)

    @property
    def inputs(self) -> Inputs:
        """What the network is run on: of pairs, the bases."""
        return inputs_of(self.examples)

    @property
    def pool(self) -> Inputs:
        """The inputs of the reference."""
        return inputs_of(self.reference)

    @property
    def described(self) -> str:
        """The reference in words."""
        return f"{len(self.pool)} {'bases' if isinstance(self.reference, CounterfactualPairs) else 'inputs'}"

    @property
    def alike(self) -> str | None:
        """Why taking numbers from the bases may show nothing: they have one answer, and the sources another."""
        given = self.reference
        if not isinstance(given, CounterfactualPairs) or given.tensors is None or given.tensors.base_labels is None:
            return None
        own = set(given.base_labels.tolist())
        others = {label for labels in given.source_labels.values() for label in labels.tolist()}
        if len(own) > 1 or not others - own:
            return None
        return (
            "all bases have one answer, so numbers from other bases may swap like for like; "
            "give reference=pairs.source, or Resample(share='paired')"
        )

    @property
    def source(self) -> Inputs:
        """Each example's own source; raises DataError for inputs that have none."""
        if not isinstance(self.examples, CounterfactualPairs):
            raise DataError("these examples have no sources of their own; give pairs, or resample with share='node'")
        return self.examples.source

    def places(self, sites: Sequence[Site], inputs: Inputs) -> Mapping[Site, Place]:
        """Where ``sites`` are on ``inputs``; raises SiteError or PositionError."""
        return locate(self.model.adapter, inputs, sites)

    def captured(self, sites: Sequence[Site], inputs: Inputs) -> Iterator[tuple[Inputs, Values]]:
        """``inputs`` batch by batch, each with what the network has at ``sites``."""
        size = plan(self.model, inputs, read=sites, batch_size=self.batch_size).batch_size
        for start in range(0, len(inputs), size):
            some = inputs.rows(slice(start, start + size))
            yield some, self.model.capture(some, sites, batch_size=size)


@dataclass(frozen=True, eq=False)
class Replacement:
    """``rows(slice)`` gives, for these of the examples, the values [rows, ...] at each site, of the shape of a read.

    A row's values do not depend on which others are asked for with it. ``losses`` are those of a trained ablation.
    """

    rows: Callable[[slice], Values]
    losses: Mapping[str, float] = field(default_factory=dict)


class Ablation(ABC):
    """What takes the place of activations.

    ``together``: it depends on which sites are ablated at the same time. ``borrows``: it is taken from the reference.
    """

    together: ClassVar[bool] = False
    borrows: ClassVar[bool] = False

    @abstractmethod
    def replacement(self, data: AblationData, sites: Sequence[Site]) -> Replacement:
        """What to put at ``sites`` of each of the examples; raises SiteError, PositionError or DataError."""


def constant(
    data: AblationData, values: Mapping[Site, Tensor], losses: Mapping[str, float] | None = None
) -> Replacement:
    """The same values [(head,) width], or a number, at each position of every example."""
    shapes = {site: place.shape[1:] for site, place in data.places([*values], data.inputs).items()}
    every = range(len(data.inputs))

    def rows(some: slice) -> Values:
        return {site: value.expand(len(every[some]), *shapes[site]) for site, value in values.items()}

    return Replacement(rows, losses or {})


def over_positions(site: Site, place: Place, inputs: Inputs) -> bool:
    """Whether axis 1 of the values at ``site`` runs over positions."""
    if site.at is not None:
        return not place.selection.one_position
    return place.tap.positions and len(place.shape) > 2 and place.shape[1] == inputs.values.shape[1]


def real(inputs: Inputs) -> Tensor:
    """Which positions are the examples' own, bool [n, pos]."""
    if inputs.mask is not None:
        return inputs.mask
    return torch.ones(inputs.values.shape[:2], dtype=torch.bool)
