"""How is a network tried? Runs on one small batch, and a comparison that names what does not agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.execute import execute
from causalmi.engine.plan import make_plan
from causalmi.errors import ModelError
from causalmi.models.adapter import Adapter
from causalmi.rng import torch_stream
from causalmi.spec.site import Site

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}  # relative, for sums done in another order; else 0.1
ROUNDED = 1e-5  # some families' norms compute in float32 whatever the network's precision
Values = Mapping[Site, Tensor]


def noise(like: Tensor) -> Tensor:
    """Standard normal numbers, the same each time, of the shape and kind of ``like``."""
    return torch.randn(like.shape, generator=torch_stream(0, "proof")).to(like)


@dataclass(frozen=True)
class Trial:
    """The network of ``adapter`` on a few ``inputs``, all in one batch."""

    adapter: Adapter
    inputs: Inputs

    def run(self, edits: Mapping[Site, Any], read: Sequence[Site]) -> tuple[Tensor, dict[Site, Tensor]]:
        """The logits, and what was read, under ``edits``."""
        plan = make_plan(self.adapter, self.inputs, edits, read, batch_size=len(self.inputs))
        ((_, logits, values),) = execute(self.adapter, plan)
        return logits, values

    def equal(self, a: Tensor, b: Tensor, what: str, *, within: float = 0.0) -> None:
        """Raise ModelError unless ``a`` and ``b`` agree up to rounding, or ``within`` if that is more."""
        tolerance = max(TOLERANCE.get(b.dtype, 0.1), within)
        scale = max(1.0, float(b.abs().max())) if b.numel() else 1.0
        if not bool(((a - b).abs() <= tolerance * scale).all()):  # NaN does not agree either
            raise ModelError(f"{self.adapter.name} failed its self-check: {what} do not agree to {tolerance:g}")

    def check(self, holds: bool, what: str) -> None:
        """Raise ModelError that says ``what`` is wrong unless it ``holds``."""
        if not holds:
            raise ModelError(f"{self.adapter.name} failed its self-check: {what}")
