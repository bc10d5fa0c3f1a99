"""What does one batch of examples give, clean and under edits? A clean run is recorded once; edits start from it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.execute import execute, in_pieces, read_only, running, stacked
from causalmi.engine.plan import NUMBERS_A_BATCH, Plan, check_sites, make_plan
from causalmi.engine.replay import AFTER_BLOCKS, Replay
from causalmi.engine.resume import Resume
from causalmi.engine.run import Run
from causalmi.engine.state import state
from causalmi.engine.tape import Tape
from causalmi.errors import ModelError
from causalmi.models.adapter import Adapter
from causalmi.spec.site import Site

ROWS_A_TAIL = 512  # examples and positions whose logits a sweep computes at a time
Edits: TypeAlias = Mapping[Site, Any]


@dataclass(frozen=True, eq=False)
class Recording:
    """A clean run of ``inputs``, from which runs with edits start; made by :meth:`causalmi.Model.record`.

    ``logits`` are the clean logits where they are read: [n, d_vocab] for one position, [n, k, d_vocab] for k, [n, pos,
    d_vocab] for all, [n, classes] for a classifier. Runs with edits give theirs in the same shape.
    """

    adapter: Adapter
    inputs: Inputs
    readout: Int[Tensor, "n k"] | None  # None for a network that gives one output for each example
    dropped: bool  # whether the logits have no axis of positions
    tape: Tape | None
    logits: Tensor
    whole: str | None = None  # why there is no tape, so that every run is a whole one

    def __repr__(self) -> str:
        n, *rest = self.inputs.values.shape
        how = f"resumes, keeps {self.numbers:,} numbers" if self.tape else "runs whole"
        return f"Recording({n} examples of {rest}, logits {list(self.logits.shape)}, {how})"

    def plan(self, edits: Edits, read: Iterable[Site] | Site = ()) -> Plan:
        """What :meth:`run` would do with the same arguments, checked; print it to see what is computed."""
        read = (read,) if isinstance(read, Site) else tuple(read)
        check_sites(edits, read)
        todo = make_plan(self.adapter, self.inputs, edits, read, len(self.inputs), self.readout)
        return replace(todo, whole=self.whole)

    def run(self, edits: Edits, read: Iterable[Site] | Site = ()) -> Run:
        """The same as ``model.run`` on these inputs, computing only what ``edits`` change; up to rounding.

        Raises SiteError, PositionError or DataError before any computing.
        """
        todo = self.plan(edits, read)
        if isinstance(todo.resume, str):
            parts = list(execute(self.adapter, todo))  # several where memory did not allow one
            values = {site: torch.cat([part[2][site] for part in parts]) for site in parts[0][2]}
            return Run(self._at(torch.cat([part[1] for part in parts])), values)
        new, values = self._replay([todo])()
        return Run(self._merge(new, todo.resume), values)

    def capture(self, edits: Edits, read: Iterable[Site] | Site) -> Mapping[Site, Tensor]:
        """What is at ``read`` under ``edits``; nothing after the deepest of them is computed."""
        todo = self.plan(edits, read)
        if isinstance(todo.resume, str):
            parts = list(read_only(self.adapter, todo))
            return {site: torch.cat([part[site] for part in parts]) for site in parts[0]}
        return self._replay([todo])(stop=True)[1]

    def sweep(self, edits: Sequence[Edits]) -> Iterator[tuple[int, Tensor]]:
        """The number and the logits of a :meth:`run` under each of ``edits``; in an order that stacks many in one run.

        All are checked before the first is run.
        """
        plans = [self.plan(each) for each in edits]
        stacks: dict[tuple[Any, ...], list[int]] = {}
        for number, todo in enumerate(plans):
            stacks.setdefault(_alike(todo), []).append(number)
        waiting: list[tuple[int, Resume, Tensor]] = []  # runs that have come to the end of the blocks
        for (key, *_), numbers in sorted(stacks.items(), key=lambda item: item[1]):
            if key is None:
                yield from ((i, self.run(edits[i]).logits) for i in numbers)
                continue
            for done in self._stacked([(i, plans[i]) for i in numbers]):
                waiting.append(done)
                if len(waiting) * done[2].shape[:2].numel() >= ROWS_A_TAIL:
                    yield from self._unembedded(waiting)
                    waiting = []
        yield from self._unembedded(waiting)

    def stacked(self, plans: Sequence[Plan]) -> Tensor:
        """The logits of several planned runs of these inputs, computed as one, [runs, n, ...].

        All must be of the same sites. Gradients flow when an edit asks for them.
        """
        first, n = plans[0], len(self.inputs)
        if isinstance(first.resume, str):
            logits = self._at(stacked(self.adapter, plans), len(plans))
            return logits.view(len(plans), n, *logits.shape[1:])
        new, _ = self._replay(plans)()
        return self._merge(new.unflatten(0, (len(plans), n)), first.resume)

    @property
    def numbers(self) -> int:
        """How many numbers are kept of the clean run."""
        return 0 if self.tape is None else self.tape.numbers

    def _stacked(self, todo: Sequence[tuple[int, Plan]]) -> Iterator[tuple[int, Resume, Tensor]]:
        """What comes out of the blocks, in runs that are alike, as many at a time as compute a batch's positions."""
        n, width = len(self.inputs), todo[0][1].resume.width  # type: ignore[union-attr]
        most = max(NUMBERS_A_BATCH, self.inputs.values.numel()) // (n * width)

        def some(rows: slice) -> list[tuple[int, Resume, Tensor]]:
            new, _ = self._replay([plan for _, plan in todo[rows]])(unembed=False)
            parts = zip(todo[rows], new.split(n), strict=True)
            return [(number, plan.resume, part) for (number, plan), part in parts]  # type: ignore[misc]

        for done in in_pieces(len(todo), max(1, most), some):
            yield from done

    def _unembedded(self, runs: Sequence[tuple[int, Resume, Tensor]]) -> Iterator[tuple[int, Tensor]]:
        """The logits of runs that have come out of the blocks: one product with the unembedding serves many."""

        def some(rows: slice) -> list[tuple[int, Tensor]]:
            hidden = torch.cat([x for *_, x in runs[rows]])
            with running(self.adapter, (), gradient=hidden.requires_grad):
                logits = self.adapter.tail(hidden)  # type: ignore[attr-defined]
            parts = zip(runs[rows], logits.split(len(self.inputs)), strict=True)
            return [(number, self._merge(part, begun)) for (number, begun, _), part in parts]

        for done in in_pieces(len(runs), max(1, len(runs)), some):
            yield from done

    def _replay(self, todo: Sequence[Plan]) -> Replay:
        assert self.tape is not None  # then there is nothing to resume from
        if self.tape.state != state(self.adapter.module):
            raise ModelError(
                f"the hooks or weights of {self.adapter.name}, their type or their device, have changed since it was "
                "recorded; record again"
            )
        runs = [(each.steps, each.resume) for each in todo]
        return Replay(self.adapter, self.tape, runs, self._places, opened=todo[0].needs_pattern)  # type: ignore[arg-type]

    @property
    def _places(self) -> Int[Tensor, "n k"]:
        """Where logits are read, everywhere written out."""
        if self.readout is not None:
            return self.readout
        n, length = self.inputs.values.shape
        return torch.arange(length).expand(n, length)

    def _merge(self, new: Tensor, begun: Resume) -> Tensor:
        """Logits of replays, [..., n, k, d_out]; at positions before they begin the clean ones."""
        before = self._places.cpu() < begun.starts[:, None]
        clean = self.logits[:, None] if self.dropped else self.logits
        merged = torch.where(before[..., None].to(new.device), clean, new) if bool(before.any()) else new
        return merged.select(-2, 0) if self.dropped else merged

    def _at(self, logits: Tensor, runs: int = 1) -> Tensor:
        """The logits of whole runs where this recording reads them."""
        if self.readout is None or logits.ndim == 2:
            return logits
        rows = torch.arange(len(logits), device=logits.device)[:, None]
        found = logits[rows, self.readout.repeat(runs, 1).to(logits.device)]
        return found[:, 0] if self.dropped else found


def _alike(plan: Plan) -> tuple[Any, ...]:
    """What runs must share to be stacked; (None,) for those that are run alone."""
    if isinstance(plan.resume, str):
        return (None,)
    if any(step.site.kind in AFTER_BLOCKS for step in plan.steps):
        return (None,)
    return (plan.resume.block, plan.resume.width, plan.needs_pattern)
