"""From where does a run with edits differ from the clean run? The first block and positions to compute again.

An edit at (layer l, position p) changes nothing in blocks before l and, in a causal network, nothing at positions
before p; what comes after the last position that is read changes nothing that is wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.hooks import Step
from causalmi.models.adapter import Adapter
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Site


@dataclass(frozen=True, eq=False)
class Resume:
    """A replay of blocks ``block`` to the last, on ``width`` positions of each example from its ``starts`` on."""

    block: int
    blocks: int
    starts: Int[Tensor, " n"]
    width: int
    length: int

    @property
    def share(self) -> float:
        """The share of all (block, position) that is computed."""
        return (self.blocks - self.block) * self.width / (self.blocks * self.length)

    def __str__(self) -> str:
        blocks = f"blocks {self.block} to {self.blocks - 1}" if self.block < self.blocks else "no block"
        first, last = int(self.starts.min()), int(self.starts.max())
        begin = f"{first}" if first == last else f"{first} to {last}"
        places = f"{self.width} of {self.length} positions, from {begin} on"
        return f"replays {blocks} of {self.blocks}, {places}: {self.share:.1%} of all blocks and positions"


def resume(adapter: Adapter, inputs: Inputs, steps: Sequence[Step], readout: Int[Tensor, "n k"] | None) -> Resume | str:
    """Where a run with ``steps``, its logits read at ``readout`` (None: everywhere), begins; or why it is whole."""
    if (reason := refusal(adapter)) is not None:
        return reason
    assert isinstance(adapter, DecoderAdapter)
    blocks, (n, length) = adapter.shape.n_layers, inputs.values.shape
    entries = [_entry(adapter, step.site) for step in steps]
    if None in entries:
        site = next(step.site for step, entry in zip(steps, entries, strict=True) if entry is None)
        return f"{site} is outside the blocks, so every block is computed"
    block = min((entry for entry in entries if entry is not None), default=blocks)
    first, last = torch.full((n,), length - 1), torch.zeros(n, dtype=torch.long)
    spans = [_span(step, n, length) for step in steps]
    reads = torch.tensor([0, length - 1]).expand(n, 2) if readout is None else readout.cpu()
    for span in spans:
        first, last = torch.minimum(first, span.amin(1)), torch.maximum(last, span.amax(1))
    width = max(1, int((torch.maximum(last, reads.amax(1)) - first).max()) + 1)
    if not adapter.causal:
        first, width = torch.zeros_like(first), length
    starts = first.clamp(max=length - width)
    return Resume(block, blocks, starts, width, length)


def refusal(adapter: Adapter) -> str | None:
    """Why runs with edits of this network cannot start from a clean one, or None."""
    if not isinstance(adapter, DecoderAdapter):
        return f"{adapter.name} is addressed by module paths, so nothing is known to stay as it was"
    if adapter.family.cache is None:
        return f"blocks of the {adapter.family.name} family take no cache, so none can be computed alone"
    return adapter.whole


def _entry(adapter: DecoderAdapter, site: Site) -> int | None:
    """The first block that a step at ``site`` needs computed; None when the step is before or beside the blocks."""
    if site.kind in ("final_norm", "logits"):
        return adapter.shape.n_layers
    if site.kind == "embed":
        return 0
    if site.kind == "module":
        path, inside = f"{site.path}.", f"{adapter.family.blocks}."
        return int(path.removeprefix(inside).split(".")[0]) if path.startswith(inside) and path != inside else None
    assert site.layer is not None
    return site.layer + (site.kind == "resid_post")


def _span(step: Step, n: int, length: int) -> Int[Tensor, "n k"]:
    """The positions that a step touches; a submodule's second axis may be anything, so all of them."""
    positions = None if step.site.kind == "module" else step.selection.positions
    return torch.tensor([0, length - 1]).expand(n, 2) if positions is None else positions.cpu()
