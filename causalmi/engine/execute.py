"""How is a plan carried out? Batch by batch, with hooks; a batch that does not fit in memory is halved and goes on."""

from collections.abc import Iterator
from contextlib import ExitStack

import torch
from torch import Tensor

from causalmi.engine.hooks import Step, evaluating, hooked
from causalmi.engine.plan import Plan
from causalmi.errors import ModelError
from causalmi.models.adapter import Adapter
from causalmi.spec.site import Site

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def execute(adapter: Adapter, plan: Plan) -> Iterator[tuple[slice, Tensor, dict[Site, Tensor]]]:
    """The rows, logits and read values of each batch in turn; results do not depend on the batch size.

    Gradients are kept exactly when an edit's value asks for them. Raises ModelError when a site is not passed exactly
    once, and whatever the network itself raises; its hooks, mode and weights are then as they were.
    """
    start, size = 0, plan.batch_size
    while start < len(plan.inputs):
        rows = slice(start, min(start + size, len(plan.inputs)))
        try:
            batch = _run(adapter, plan, rows)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if size == 1 or not any(words in str(error).lower() for words in OUT_OF_MEMORY):
                raise
            batch = None
        if batch is None:  # outside the except clause, so that the error no longer holds the memory
            size = max(1, size // 2)
            continue
        yield rows, *batch
        start = rows.stop


def _run(adapter: Adapter, plan: Plan, rows: slice) -> tuple[Tensor, dict[Site, Tensor]]:
    steps = [step.rows(rows) for step in plan.steps]
    device = adapter.device
    batch = plan.inputs.rows(rows)
    mask = None if batch.mask is None else batch.mask.to(device)
    with ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(_needs_gradient(steps)))
        stack.enter_context(evaluating(adapter.module))
        if plan.needs_pattern:
            stack.enter_context(adapter.pattern_in_the_open())
        trace = stack.enter_context(hooked(steps))
        logits = adapter.call(batch.values.to(device), mask)
    for number, step in enumerate(steps):
        if (times := trace.fired.get(number, 0)) != 1:
            raise ModelError(
                f"{step.site} was passed {times} times in one run of {adapter.name}, it must be exactly once"
            )
    return logits, trace.values


def _needs_gradient(steps: list[Step]) -> bool:
    return any(step.value is not None and step.value.requires_grad for step in steps)
