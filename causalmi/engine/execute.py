"""How is a plan carried out? Batch by batch, with hooks; a batch that does not fit in memory is halved and goes on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from causalmi.engine.hooks import Enough, Step, Trace, hooked
from causalmi.engine.plan import Plan
from causalmi.engine.state import evaluating
from causalmi.errors import ModelError
from causalmi.models.adapter import Adapter
from causalmi.spec.site import Site

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
T = TypeVar("T")


def execute(adapter: Adapter, plan: Plan) -> Iterator[tuple[slice, Tensor, dict[Site, Tensor]]]:
    """The rows, logits and read values of each batch in turn; results do not depend on the batch size.

    Gradients are kept exactly when an edit's value asks for them. Raises ModelError when a site is not passed exactly
    once, and whatever the network itself raises; its hooks, mode and weights are then as they were.
    """
    yield from in_pieces(len(plan.inputs), plan.batch_size, lambda rows: (rows, *_run(adapter, plan, rows)))


def read_only(adapter: Adapter, plan: Plan) -> Iterator[dict[Site, Tensor]]:
    """What a plan without edits reads, batch by batch; each run ends at the deepest site."""
    yield from in_pieces(len(plan.inputs), plan.batch_size, lambda rows: _run(adapter, plan, rows, stop=True)[1])


def in_pieces(n: int, size: int, do: Callable[[slice], T]) -> Iterator[T]:
    """What ``do`` gives for each ``size`` of ``n`` rows; of half as many at a time once they do not fit in memory."""
    start = 0
    while start < n:
        rows, failed = slice(start, min(start + size, n)), False
        try:
            done = do(rows)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if rows.stop - start == 1 or not any(words in str(error).lower() for words in OUT_OF_MEMORY):
                raise
            failed = True
        if failed:  # outside the except clause, so that the error no longer holds the memory
            size = (rows.stop - start) // 2
            continue
        yield done
        start = rows.stop


def _run(adapter: Adapter, plan: Plan, rows: slice, *, stop: bool = False) -> tuple[Tensor, dict[Site, Tensor]]:
    steps = [step.rows(rows) for step in plan.steps]
    batch, logits = plan.inputs.rows(rows).to(adapter.device), torch.empty(0)
    with running(adapter, steps, opened=plan.needs_pattern, stop=stop) as trace, suppress(Enough):
        logits = adapter.call(batch.values, batch.mask)
    check_fired(adapter, steps, trace, stopped=stop)
    return logits, trace.values


def stacked(adapter: Adapter, plans: Sequence[Plan]) -> Tensor:
    """The logits of several plans without reads for the same inputs, run as one batch, [plans * n, ...]."""
    inputs, start = plans[0].inputs.to(adapter.device), torch.zeros(len(plans[0].inputs), dtype=torch.long)
    steps = [
        replace(step, selection=step.selection.within(start, slice(i * len(inputs), (i + 1) * len(inputs))))
        for i, todo in enumerate(plans)
        for step in todo.steps
    ]
    mask = None if inputs.mask is None else torch.cat([inputs.mask] * len(plans))
    with running(adapter, steps, opened=plans[0].needs_pattern) as trace:
        logits = adapter.call(torch.cat([inputs.values] * len(plans)), mask)
    check_fired(adapter, steps, trace)
    return logits


@contextmanager
def running(
    adapter: Adapter, steps: Sequence[Step], *, opened: bool = False, stop: bool = False, gradient: bool | None = None
) -> Iterator[Trace]:
    """Within, the network runs in evaluation mode with ``steps`` hooked, and with gradients when an edit asks."""
    wanted = any(step.learns for step in steps)
    with ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(wanted if gradient is None else gradient))
        stack.enter_context(evaluating(adapter.module))
        if opened:
            stack.enter_context(adapter.pattern_in_the_open())
        yield stack.enter_context(hooked(steps, stop=stop))


def check_fired(adapter: Adapter, steps: Sequence[Step], trace: Trace, *, stopped: bool = False) -> None:
    """Refuse a run in which a site was not passed exactly once; a run that stopped need not have come to its edits."""
    for step, times in zip(steps, trace.fired, strict=True):
        if times != 1 and not (stopped and times == 0 and step.value is not None):
            raise ModelError(
                f"{step.site} was passed {times} times in one run of {adapter.name}, it must be exactly once"
            )
