"""What would a run do, and can it? Every bad site, position and shape is found here, before the first forward pass."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.clashes import refuse_clashes
from causalmi.engine.hooks import Step
from causalmi.engine.joint import joint
from causalmi.engine.locate import Place, locate
from causalmi.engine.resume import Resume, resume
from causalmi.errors import DataError, SiteError
from causalmi.models.adapter import Adapter
from causalmi.spec.site import KINDS, Site

NUMBERS_A_BATCH = 2048  # tokens (or input numbers) that one forward pass takes when no batch size is given


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do: its steps in the network's order, the rows of a batch, and the shape of what is read."""

    adapter: Adapter
    inputs: Inputs
    steps: tuple[Step, ...]
    batch_size: int
    shapes: Mapping[Site, tuple[int, ...]]
    readout: Int[Tensor, "n k"] | None = None  # where logits are wanted; None for everywhere
    whole: str | None = None  # why it is a whole run, even where the network's runs could start in the middle

    @cached_property
    def resume(self) -> Resume | str:
        """Where a run from a recording begins, or why it is a whole run."""
        return self.whole or resume(self.adapter, self.inputs, self.steps, self.readout)

    def doing(self, steps: tuple[Step, ...]) -> "Plan":
        """The same with other values at the same places, so that a run from a recording begins where this one does."""
        new = replace(self, steps=steps)
        new.__dict__["resume"] = self.resume
        return new

    @property
    def passes(self) -> int:
        """Forward passes, one for each batch."""
        return -(-len(self.inputs) // self.batch_size)

    @property
    def needs_pattern(self) -> bool:
        """Whether attention weights are read or written."""
        return any(step.tap.needs_pattern for step in self.steps)

    def __str__(self) -> str:
        kept = sum(torch.Size(shape).numel() for shape in self.shapes.values())
        head = f"{len(self.inputs)} examples in {self.passes} forward passes of {self.batch_size}"
        steps = [f"  {'read' if s.value is None else 'edit'} {s.site}{self._tokens(s)}" for s in self.steps]
        cost = f"a whole run: {self.resume}" if isinstance(self.resume, str) else str(self.resume)
        return "\n".join([f"{head}; keeps {kept:,} numbers", *steps, f"  from a recording: {cost}"])

    def _tokens(self, step: Step) -> str:
        """The tokens that a step's positions fall on in the first example."""
        at = step.selection.positions
        if at is None or self.inputs.values.is_floating_point():
            return ""
        positions = at[0].tolist()
        show = self.inputs.tokens_text or str
        shown = [f"{p} {show(int(self.inputs.values[0, p]))!r}" for p in positions]
        return f"  (first example: {', '.join(shown)})"


def check_sites(edits: Any, read: Iterable[Any]) -> None:
    """Refuse what is no mapping from sites, or no site."""
    if not isinstance(edits, Mapping):
        raise SiteError(f"edits is a {type(edits).__name__}; give a mapping from sites to values")
    for site in (*edits, *read):
        if not isinstance(site, Site):
            raise SiteError(f"{site!r} is no site; make one with causalmi.site, or with site.parse from text")


def make_plan(
    adapter: Adapter,
    inputs: Inputs,
    edits: Mapping[Site, Any],
    read: Iterable[Site],
    batch_size: int | None,
    readout: Int[Tensor, "n k"] | None = None,
) -> Plan:
    """The plan of one run; raises SiteError, PositionError or DataError for what could not be done."""
    if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
        raise DataError(f"batch_size is {batch_size}; give a whole number from 1, or leave it out")
    if len(inputs) == 0:
        raise DataError("there are no examples to run; give at least one")
    adapter.check(inputs.values)
    read = tuple(dict.fromkeys(read))
    places = locate(adapter, inputs, (*edits, *read))
    writes = [_step(site, places[site], _fit(site, value, places[site].shape)) for site, value in edits.items()]
    reads = [_step(site, places[site], None) for site in read]
    refuse_clashes(writes, reads)
    rows = batch_size or max(1, NUMBERS_A_BATCH // max(1, inputs.values[0].numel()))
    return Plan(
        adapter=adapter,
        inputs=inputs,
        steps=tuple(sorted((*joint(writes), *reads), key=order)),
        batch_size=min(rows, len(inputs)),
        shapes={site: places[site].shape for site in read},
        readout=readout,
    )


def _step(site: Site, place: Place, value: Tensor | None) -> Step:
    return Step(site=site, tap=place.tap, selection=place.selection, value=value)


def order(step: Step) -> tuple[int, bool]:
    """The network's order within one module, an edit before a read of the same place: a read sees what goes on."""
    return KINDS.index(step.site.kind), step.value is None


def _fit(site: Site, value: Any, shape: tuple[int, ...]) -> Tensor:
    """``value`` with the shape of the site's numbers: given so, or without the batch axis, or a single number."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise SiteError(f"{site}: the edit is a {type(value).__name__}; give a tensor of shape {shape}") from None
    if tuple(tensor.shape) not in (shape, shape[1:], ()):
        raise SiteError(
            f"{site}: the edit has shape {tuple(tensor.shape)}; give {shape}, or {shape[1:]} for all examples alike"
        )
    if bool(tensor.detach().isnan().any()):
        raise SiteError(f"{site}: the edit has NaN in it; give numbers")
    return tensor.expand(shape)
