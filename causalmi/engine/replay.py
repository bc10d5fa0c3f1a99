"""What does a run with edits give, when only what the edits change is computed?

Blocks from the first edited one on run on the positions from the first edited one on; keys and values of the positions
before come from the clean run. Several runs, each with edits of its own, are stacked along the batch.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalmi.engine.execute import check_fired, running
from causalmi.engine.hooks import Enough, Step, Trace, hooked, narrowed
from causalmi.engine.plan import order
from causalmi.engine.resume import Resume
from causalmi.engine.selection import Selection
from causalmi.engine.tape import Tape
from causalmi.engine.window import Window
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Site

AFTER_BLOCKS = ("final_norm", "logits")
BEFORE_MLP = ("resid_pre", "resid_mid", "attn_out", "mlp_in", "q", "k", "v", "z", "pattern", "head_out")


@dataclass(frozen=True, eq=False)
class Replay:
    """Runs of all examples of ``tape``, each with its own steps, all from one block on and on equally many positions.

    ``readout``, int64 [n, k], is where logits are wanted. ``opened``: attention weights are read or written.
    """

    adapter: DecoderAdapter
    tape: Tape
    runs: Sequence[tuple[Sequence[Step], Resume]]
    readout: Int[Tensor, "n k"]
    opened: bool = False

    def __call__(
        self, *, stop: bool = False, unembed: bool = True
    ) -> tuple[Float[Tensor, "runs*n k out"], dict[Site, Tensor]]:
        """Logits, meaningful from where each row's window begins, and what was read; ``stop`` gives no logits.

        Without ``unembed`` it gives what logits are computed from, [runs * n, k, d_model], where no step comes after.
        """
        entrance = self.adapter.blocks[self._block - 1] if self._block else None
        early = [s for s in self._steps if s.site.kind == "embed" or s.tap.module is entrance]
        late = [s for s in self._steps if s.site.kind == "logits"]
        inner = [s for s in self._steps if not any(s is other for other in (*early, *late))]
        before, after, logits = Trace(early), Trace(late), torch.empty(0)
        gradient = any(s.learns for s in self._steps)
        with running(self.adapter, [], gradient=gradient):  # apart: on the way in, no place of the blocks is passed
            x = self._begin(early, before)
        with running(self.adapter, inner, opened=self.opened, stop=stop and not late, gradient=gradient) as trace:
            self.adapter.expect(*x.shape[:2])
            with suppress(Enough), self._short_end(inner, late, gradient):
                if not stop or any(s.value is None for s in (*inner, *late)):  # else all was read on the way in
                    for call in self.tape.calls[self._block :]:
                        x = call.again(x, self._window, opened=self.opened)
                    logits = self._end(x, late, after, unembed=unembed)
        for steps, done in ((early, before), (inner, trace), (late, after)):
            check_fired(self.adapter, steps, done, stopped=stop)
        return logits, before.values | trace.values | after.values

    @property
    def _block(self) -> int:
        return self.runs[0][1].block

    @cached_property
    def _window(self) -> Window:
        starts, one = [resume.starts for _, resume in self.runs], self.runs[0][1]
        return Window.of(starts, one.width, one.length, self.tape.final.device, all_keys=self.opened)

    @cached_property
    def _steps(self) -> list[Step]:
        """All steps, each on its own rows and counted from where they begin."""
        n, found = len(self.tape.inputs), list[Step]()
        for number, (steps, resume) in enumerate(self.runs):
            batch = slice(number * n, (number + 1) * n) if len(self.runs) > 1 else None
            for step in steps:
                early = step.site.kind == "embed"  # done on whole examples
                starts = torch.zeros_like(resume.starts) if early else resume.starts
                found.append(replace(step, selection=step.selection.within(starts, batch)))
        return sorted(found, key=order)

    def _begin(self, early: list[Step], trace: Trace) -> Float[Tensor, "runs*n width d"]:
        """What enters the first block, with the edits at that place, or of the embeddings from which it comes."""
        embeds = [s for s in early if s.site.kind == "embed"]
        if not embeds:
            x = self._window.take(self.tape.hidden(self._block))
            changed = trace.act(list(enumerate(early)), None, x) if early else None
            return x if changed is None else changed
        place = Site("resid_pre", 0)
        steps = [*embeds, Step(site=place, tap=self.adapter.tap(place), selection=Selection())]
        inputs = self.tape.inputs.rows(self._window.rows)
        with hooked(steps, stop=True) as run, suppress(Enough):
            self.adapter.call(inputs.values, inputs.mask)
        trace.values, trace.fired = {s.site: run.values.pop(s.site) for s in embeds if s.value is None}, run.fired[:-1]
        return replace(self._window, n=len(inputs), runs=1).take(run.values[place])  # which has a row for each of ours

    def _short_end(self, inner: list[Step], late: list[Step], gradient: bool) -> AbstractContextManager[None]:
        """The last block's MLP is needed only where logits are read, unless a step looks at what comes of it.

        Positions before a row's window share its first entry, which would count its gradient twice.
        """
        family, last = self.adapter.family, self.adapter.shape.n_layers - 1
        safe = all(s.site.layer is not None and (s.site.layer < last or s.site.kind in BEFORE_MLP) for s in inner)
        safe &= not late and not (gradient and self._at.shape[1] > 1)
        alone = self.adapter.shape.has_mlp and not (family.one_norm or family.post_norm or family.flat)
        if not (safe and alone) or self._block > last:
            return nullcontext()
        block = self.adapter.blocks[last]
        first, last_part = (block.get_submodule(path) for path in (family.mlp_norm, family.mlp_out))
        return narrowed(first, last_part, self._rows, self._at)

    @cached_property
    def _rows(self) -> Int[Tensor, "runs*n 1"]:
        return torch.arange(len(self._window.rows), device=self._window.rows.device)[:, None]

    @cached_property
    def _at(self) -> Int[Tensor, "runs*n k"]:
        """Where logits are read, counted from where each row begins; before that the clean ones hold."""
        readout = self.readout.to(self._window.rows.device)[self._window.rows]
        return (readout - self._window.starts[:, None]).clamp(min=0)

    def _end(self, x: Float[Tensor, "runs*n width d"], late: list[Step], trace: Trace, *, unembed: bool) -> Tensor:
        """Logits at the read-out; of every computed position only where a step needs them."""
        if not any(s.site.kind in AFTER_BLOCKS for s in self._steps):
            few = x[self._rows, self._at]
            return self.adapter.tail(few) if unembed else few
        logits = self.adapter.tail(x)
        if self.adapter.readout_position is not None:
            logits = logits[self._rows[:, 0], self._at[:, 0]]
        changed = trace.act(list(enumerate(late)), None, logits) if late else None
        logits = logits if changed is None else changed
        return logits[:, None] if logits.ndim == 2 else logits[self._rows, self._at]
