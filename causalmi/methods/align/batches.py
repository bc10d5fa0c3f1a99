"""What does one step of learning run on? Some pairs: recordings of their bases, what their sources have, and labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalmi.engine.execute import in_pieces
from causalmi.engine.mixture import Mixture
from causalmi.engine.plan import Plan
from causalmi.engine.recording import Recording
from causalmi.methods.align.places import Places
from causalmi.methods.examples import readout_of
from causalmi.methods.subsets import Subset, names
from causalmi.methods.swap import KEPT, Swap
from causalmi.spec.site import Site

Mixtures = Mapping[Site, Mixture]


@dataclass(frozen=True, eq=False)
class Piece:
    """Pairs ``rows`` of a swap: the recording of their bases and a plan of edits at the places, made once."""

    rows: slice
    recording: Recording
    todo: Plan
    given: Mapping[Site, Tensor]

    def run(self, points: Sequence[Mapping[Site, Mixture]]) -> Float[Tensor, "points n outputs"]:
        """The logits under each point's mixtures, all in one run."""
        return self.recording.stacked([self._with(mixtures) for mixtures in points])

    def _with(self, mixtures: Mapping[Site, Mixture]) -> Plan:
        steps = tuple(
            replace(
                step, value=self.given[step.site], selection=replace(step.selection, projection=mixtures[step.site])
            )
            for step in self.todo.steps
        )
        return self.todo.doing(steps)


@dataclass(frozen=True, eq=False)
class Pool:
    """Pairs with what was run on them once for all places where variables are looked for.

    Their bases are recorded in batches of one size, of which learning goes round and round.
    """

    swap: Swap
    _recorded: dict[int, list[list[tuple[slice, Recording]]]] = field(default_factory=dict, repr=False)

    def recorded(self, size: int) -> list[list[tuple[slice, Recording]]]:
        """Recordings of the bases for each ``size`` pairs, in pieces where memory asks for it."""
        if size not in self._recorded:
            self._recorded[size] = list(recorded(self.swap, size))
            self.swap.reuse([piece for batch in self._recorded[size] for piece in batch])
        return self._recorded[size]

    def like(self, swap: Swap) -> "Pool":
        """The same bases in another swap, not recorded again."""
        return replace(self, swap=swap, _recorded=self._recorded)


@dataclass(frozen=True, eq=False)
class Batches:
    """The pairs of ``pool`` in batches of ``size``, to be run with other numbers at ``places``."""

    pool: Pool
    places: Places
    size: int

    @property
    def swap(self) -> Swap:
        """The interchanges of these pairs."""
        return self.pool.swap

    @cached_property
    def given(self) -> Mapping[Site, Tensor]:
        """What the sources have at the places."""
        return self.places.given(self.swap)

    @cached_property
    def pieces(self) -> list[list[Piece]]:
        """For each batch its pieces, several where it does not fit in memory at once."""
        return [[self._piece(rows, recording) for rows, recording in batch] for batch in self.pool.recorded(self.size)]

    def _piece(self, rows: slice, recording: Recording) -> Piece:
        todo = recording.plan(dict.fromkeys(self.places.at, 0.0))
        return Piece(rows, recording, todo, {place: value[rows] for place, value in self.given.items()})

    def labels(self, subsets: Sequence[Subset], chosen: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """The right answer of each pair under the interchange of the subset that ``chosen`` picks for it."""
        every = torch.stack([self.swap.expected(subset) for subset in subsets])
        return every[chosen, torch.arange(len(chosen))]


def recorded(swap: Swap, size: int) -> Iterator[list[tuple[slice, Recording]]]:
    """Recordings of the bases for each ``size`` pairs, in pieces where memory asks for it.

    Those for which none is left are not kept: their runs are whole ones. Batches are made equal up to one pair, since a
    small last one would count as much as the others.
    """
    at, kept, n = readout_of(swap.model, swap.pairs), 0, len(swap.pairs)
    batches = -(-n // size)
    ends = [n * i // batches for i in range(batches + 1)]
    most = min(size, swap.batch_size or size)
    for start, end in pairwise(ends):

        def one(rows: slice, start: int = start) -> tuple[slice, Recording]:
            nonlocal kept
            here = slice(start + rows.start, start + rows.stop)
            recording = swap.model.record(swap.pairs.base.rows(here), at=at, resume=kept < KEPT)
            kept += recording.numbers
            return here, recording

        yield list(in_pieces(end - start, most, one))


def gates(subsets: Sequence[Subset], chosen: Int[Tensor, " n"], variables: Sequence[str]) -> Float[Tensor, "n v"]:
    """Which of ``variables`` each row receives, 1 or 0, under the subset that ``chosen`` picks for it."""
    table = torch.tensor([[float(v in names(subset)) for v in variables] for subset in subsets])
    return table[chosen]
