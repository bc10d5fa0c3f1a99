"""How does a search of edges go on, decision by decision? Ahead of itself where it can, never by a rounding error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import torch

from causalmi.engine.edges.incremental import Cost, Incremental, Place
from causalmi.engine.state import evaluating
from causalmi.errors import ModelError, SpecError
from causalmi.methods.circuits.acdc import ACDC, Decision
from causalmi.methods.circuits.order import Walk, order_of
from causalmi.methods.circuits.problem import Problem, Progress, silent
from causalmi.spec.graph import Bools
from causalmi.spec.wiring import Wiring
from causalmi.stats.means import Floats

MOST = {"cpu": 8}  # removals tried at once; elsewhere it costs more to start a run than to run it
MOST_ELSEWHERE = 32
ULPS = 50  # what a difference of losses may be off by
TIE = 5  # what that of two whole runs may be off by; nearer to the threshold it is equal


@dataclass(eq=False)
class Search:
    """One search under way: the edges ``kept`` so far, and every decision."""

    problem: Problem
    method: ACDC
    start: Bools
    walk: Walk
    kept: Bools
    decisions: list[Decision] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    baseline: float = 0.0
    _parts: list[Incremental] = field(default_factory=list)
    _equal: float = 0.0  # nearer to the threshold than this, an effect that was decided alone is equal to it
    _eps: float = 0.0

    @classmethod
    def begin(cls, problem: Problem, method: ACDC, only: Bools | None = None) -> "Search":
        """A search of all edges, or of those in ``only``: then all others are removed from the start."""
        if problem.graph.neurons:
            raise SpecError("ACDC", ["it takes MLPs whole; score single neurons with EAPIG()"])
        if problem.restore:
            raise SpecError("ACDC", ["it removes edges from the clean run; use direction='ablate'"])
        start = np.array(problem.graph.exists if only is None else problem.graph.exists & only)
        without_dead(start, Wiring(problem.graph))
        walk = order_of(problem.graph, method.senders, method.heads, problem.seed)
        return cls(problem, method, start, walk, start.copy())

    def run(
        self,
        done: Sequence[Decision] = (),
        progress: Progress = silent,
        after: Callable[[list[Decision]], Any] = lambda decisions: None,
    ) -> "Search":
        """Search on from the decisions ``done``, all those on the first receivers of the walk."""
        self.decisions = list(done)
        for decision in done:
            self.kept[decision.place] = decision.kept
        finished = {decision.place[1] for decision in done}
        self._parts = [Incremental(b.net, b.loss, self.kept) for b in self.problem.batches()]
        self._eps = torch.finfo(self._parts[0].net.scene.start.dtype).eps
        self.baseline = self._whole()
        with evaluating(self.problem.model.module):
            for part in self._parts:
                part.reset(self.problem.graph.exists & ~self.kept)
            for receiver, edges in self.walk:
                if receiver not in finished:
                    self._receiver(receiver, [(p, s) for p, s in edges if self.start[p, receiver, s]])
                    after(self.decisions)
                progress("edges", len(self.decisions), int(self.start.sum()))
        self._parts = []  # values of every live node, which nobody asks for again
        return self

    def _receiver(self, receiver: int, edges: list[Place]) -> None:
        nodes = self._nodes.get(receiver, ())
        if nodes and not self.kept[:, :, nodes].any():
            self.kept[:, receiver] = False
            self.decisions += [Decision((p, receiver, s), kept=False, effect=None) for p, s in edges]
            return
        at, ahead = 0, 1
        while at < len(edges):
            some = edges[at : at + ahead]
            used, all_went = self._step(receiver, some)
            at += used
            ahead = min(2 * ahead, self._most) if all_went else 1

    def _step(self, receiver: int, edges: list[Place]) -> tuple[int, bool]:
        """Try to remove ``edges`` together; how many were decided, and whether all of them went."""
        losses = self._losses(receiver, edges)
        went = 0
        for (p, s), loss in zip(edges, losses.tolist(), strict=True):
            effect = loss - self.baseline
            place = (p, receiver, s)
            if self._distance(effect) <= self.rounding(loss):
                effect = self._alone(place)
            keeps = self.method.keeps(effect) or self._distance(effect) <= self._equal
            self.decisions.append(Decision(place, keeps, effect))
            if keeps:
                break
            self.kept[place], self.baseline, went = False, loss, went + 1
        decided = min(went + 1, len(edges))
        self.cost.used += decided * max(part.nodes for part in self._parts)
        if went:
            for part in self._parts:
                part.take(went - 1)
        return decided, went == len(edges)

    def _losses(self, receiver: int, edges: list[Place]) -> Floats:
        """The mean loss without the first of ``edges``, the first two, and so on."""
        sums = [part.try_removing(receiver, edges).double().sum(1).cpu().numpy() for part in self._parts]
        self.cost.rounds += 1
        self.cost.nodes += len(edges) * max(part.nodes for part in self._parts)
        losses: Floats = np.sum(sums, axis=0) / len(self.problem.pairs)
        if not np.isfinite(losses).all():
            raise ModelError("the loss is not finite without some edge; try float32 or float64, or another ablation")
        return losses

    def _alone(self, place: tuple[int, int, int]) -> float:
        """The effect of one edge by two runs of the whole network, which no order of sums can turn."""
        self.cost.alone += 1
        without = self.kept.copy()
        without[place] = False
        losses = self.problem.losses([self.kept, without])
        before, after = losses.mean(1)
        fine = min(self._eps, torch.finfo(torch.float32).eps)  # metrics are computed in float32 or better
        self._equal = TIE * fine * float(np.abs(losses).mean())
        return float(after - before)

    def _whole(self) -> float:
        return float(self.problem.losses([self.kept])[0].mean())

    def _distance(self, effect: float) -> float:
        """From the threshold."""
        return abs((abs(effect) if self.method.absolute else effect) - self.method.threshold)

    def rounding(self, loss: float) -> float:
        """By how much a difference of losses of about this size may be off."""
        return ULPS * self._eps * max(1.0, abs(loss), abs(self.baseline))

    @cached_property
    def _nodes(self) -> dict[int, tuple[int, ...]]:
        return Wiring(self.problem.graph).nodes

    @cached_property
    def _most(self) -> int:
        device = self.problem.model.device.type
        return self.method.at_once or MOST.get(device, MOST_ELSEWHERE)


def without_dead(kept: Bools, wiring: Wiring) -> None:
    """Remove from ``kept`` the edges into nodes that no kept edge leaves."""
    for receiver in range(len(wiring.graph.receivers) - 2, -1, -1):
        if not kept[:, :, list(wiring.nodes[receiver])].any():
            kept[:, receiver] = False


def by_receiver(decisions: Sequence[Decision]) -> list[list[Decision]]:
    """The decisions of one receiver after the other."""
    return [list(some) for _, some in groupby(decisions, key=lambda d: d.place[1])]
