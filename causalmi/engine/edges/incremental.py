"""What does the loss become when edges into one receiver are removed, one after the other? At the cost of what changes.

A search that goes from the logits to the inputs removes edges of senders that are still clean, so each removal adds a
constant to what one receiver reads, and only live nodes downstream of it change.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from causalmi.engine.edges.net import EdgeNet
from causalmi.engine.edges.senders import Whole
from causalmi.engine.edges.state import State
from causalmi.engine.edges.trial import Trial
from causalmi.spec.graph import Bools

Place = tuple[int, int]  # class and sender, of an edge into one receiver


@dataclass(eq=False)
class Cost:
    """``rounds`` of runs, and nodes computed in them, for each alternative; ``used``: those that a decision needed."""

    rounds: int = 0
    nodes: int = 0
    used: int = 0
    alone: int = 0  # near-ties that were decided by whole runs


class Incremental:
    """One batch of a search, under ``kept`` bool [class, receiver, sender], which the search makes smaller.

    ``loss`` takes logits [n, d_out], n = alternatives times examples, to losses [n]. The network is expected to be in
    evaluation mode, once for a whole search.
    """

    def __init__(self, net: EdgeNet, loss: Callable[[Tensor], Tensor], kept: Bools) -> None:
        self.net, self.loss, self.state = net, loss, State(net, kept)
        self.last: Trial | None = None

    def reset(self, removed: Bools) -> None:
        """Start from where the edges ``removed`` have been removed already, and ``kept`` are left."""
        nodes, last = self.state.wiring.nodes, removed.shape[1] - 1
        rows = np.nonzero(removed.any((0, 2)))[0].tolist()
        rows = [r for r in rows if r == last or any(map(self.state.live, nodes[r]))]
        if rows:
            with torch.no_grad():
                Trial(self.state, {r: self._without(r, removed[:, r]) for r in rows}).commit(0)

    def try_removing(self, receiver: int, edges: Sequence[Place]) -> Tensor:
        """The losses [alternative, b] when the first of ``edges``, the first two, and so on are removed."""
        scene = self.net.scene
        with torch.no_grad():
            less = self._less(receiver, edges)
            new = less[0] if len(less) == 1 else torch.cat(less)
            self.last = Trial(self.state, {receiver: new})
            return self.loss(scene.parts.tail(self.last.read)).view(len(edges), -1)

    def take(self, which: int) -> None:
        """Make alternative ``which`` of those tried last what is."""
        assert self.last is not None
        self.last.commit(which)

    @property
    def nodes(self) -> int:
        """How many nodes were computed for each alternative tried last."""
        return 0 if self.last is None else self.last.nodes

    def _less(self, receiver: int, edges: Sequence[Place]) -> list[Tensor]:
        """What ``receiver`` reads without the first of ``edges``, the first two, and so on, [b, pos, d_model] each."""
        x, found = self.state.input(receiver), []
        for p, sender in edges:
            change = self.state.fit(self.state.change(sender, self.state.narrow_input(receiver)), receiver)
            x = x + self.state.of_class(change, p, receiver)
            found.append(x)
        return found

    def _without(self, receiver: int, removed: Bools) -> Tensor:
        """What ``receiver`` reads of a clean run without the edges ``removed`` [class, sender]."""
        weight = torch.tensor(removed[:, None]).to(self.state.of_clean)
        classes = self.net.scene.classes
        change = Whole(self.state.of_clean).mix(weight, classes)[0]
        return self.state.clean_input(receiver) + self.state.fit(change, receiver)
