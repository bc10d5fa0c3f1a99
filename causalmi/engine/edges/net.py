"""What does a network give when each receiver reads some senders as they are, and the others as ablated?

A receiver reads the stream plus, for each edge that is not kept, (ablated - current) of its sender. Zhang & Nanda 2024;
Wang et al. 2022; Conmy et al. 2023 for the graph.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.edges.forward import Forward, Outputs, forward
from causalmi.engine.edges.scene import Scene
from causalmi.engine.edges.walk import Walk
from causalmi.engine.state import evaluating


@dataclass(frozen=True, eq=False)
class EdgeNet:
    """A batch on which any set of edges can be run.

    With ``restore`` it is run on the other input, and kept edges are those that carry the replacement.
    """

    scene: Scene
    restore: bool = False

    @cached_property
    def clean_logits(self) -> Tensor:
        """The logits [b, d_out] under all edges, with which metrics compare: the network's own, or all restored."""
        return self.run(torch.ones(self.scene.graph.shape)) if self.restore else self._own

    @cached_property
    def clean(self) -> Forward:
        """The clean run, node by node; raises ModelError if that is not what the network computes."""
        return forward(self.scene)

    @property
    def outputs(self) -> Outputs:
        """What the senders add on the clean run."""
        return self.clean.outputs

    def run(self, keep: Any) -> Float[Tensor, "b d_out"]:
        """The logits where they are read, under ``keep`` [class, receiver, sender]: bools, or shares of the own value.

        Entries for edges that do not exist are not looked at. Gradients flow to a ``keep`` that requires them.
        """
        scene, _ = self.scene, self.clean  # which checks that it can be trusted
        keep = keep if isinstance(keep, Tensor) else torch.tensor(np.asarray(keep))
        keep = keep.to(scene.start.device)
        share = keep.to(scene.start.dtype)
        removed = share if self.restore else 1 - share
        if not removed.requires_grad and not bool((removed * self._exists).any()):
            return self._own
        gradient = torch.enable_grad() if keep.requires_grad else torch.no_grad()
        with gradient, evaluating(scene.parts.adapter.module):
            return scene.parts.tail(Walk(scene, removed).through())

    @cached_property
    def _own(self) -> Tensor:
        """The network's logits on the inputs that it is run on."""
        parts = self.scene.parts
        with torch.no_grad(), evaluating(parts.adapter.module):
            return parts.tail(self.clean.read)

    @cached_property
    def _exists(self) -> Tensor:
        return torch.tensor(self.scene.graph.exists, device=self.scene.start.device)
