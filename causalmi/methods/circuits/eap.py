"""How much would ablating each edge change the loss, to first order? Edge attribution patching and its integrals.

Syed et al. 2023 (EAP); Hanna et al. 2024 (EAP-IG). The score of an edge is (ablated - clean output of its sender) times
the derivative of the loss with respect to what its receiver reads; the methods differ in where that is taken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from causalmi.engine.edges.contract import Contraction, changes
from causalmi.engine.edges.forward import Outputs, Point
from causalmi.engine.edges.linear import Slopes
from causalmi.engine.edges.scene import Scene
from causalmi.engine.edges.senders import Senders
from causalmi.engine.metrics import METRICS
from causalmi.errors import DataError, SpecError
from causalmi.methods.circuits.moments import Moments
from causalmi.methods.circuits.problem import Batch, Problem, Progress, silent
from causalmi.methods.circuits.scores import PerExample
from causalmi.spec.site import Site

RULES = {"left": 0.0, "midpoint": 0.5, "right": 1.0}


def shares(steps: int, rule: str) -> tuple[float, ...]:
    """The shares of the clean value at which an integral from ablated (0) to clean (1) is sampled.

    >>> shares(4, "left")
    (0.0, 0.25, 0.5, 0.75)
    """
    return tuple((k + RULES[rule]) / steps for k in range(steps))


@dataclass(frozen=True)
class EAP(PerExample):
    """The derivative on the clean run: one forward and one backward pass for all edges.

    Raises DataError for a metric that is at its minimum there (kl, js), whose derivative is 0 for every edge.
    """

    def moments(self, problem: Problem, progress: Progress = silent) -> Moments:
        """Sums over examples."""
        refuse_at_minimum(self, problem)
        return super().moments(problem, progress)

    def examples(self, batch: Batch, problem: Problem) -> Tensor:
        """[b, class, receiver, sender]."""
        scene = batch.net.scene
        slopes = Slopes(scene, batch.loss)
        return Contraction(scene, changes(scene, slopes.outputs))(slopes.receivers())


@dataclass(frozen=True)
class CleanCorrupted(PerExample):
    """The mean of the derivatives on the clean run and with all inputs ablated (Hanna et al. 2024)."""

    def examples(self, batch: Batch, problem: Problem) -> Tensor:
        """[b, class, receiver, sender]."""
        scene = batch.net.scene
        clean, corrupted = Slopes(scene, batch.loss), Slopes(scene, batch.loss, Point(start=scene.start_replaced()))
        contract = Contraction(scene, changes(scene, clean.outputs))
        return (contract(clean.receivers()) + contract(corrupted.receivers())) / 2


@dataclass(frozen=True, kw_only=True)
class EAPIG(PerExample):
    """The mean derivative at ``steps`` points between the ablated and the clean value.

    ``path="inputs"``: all inputs go from ablated to clean together. ``"activations"``: what a layer's heads, an MLP or
    the inputs add does, all else live, for the edges that leave it. ``rule``: the k-th share of the clean value of m is
    (k - 1) / m ("left", which has the ablated end and not the clean one, as in the EAP-IG code), k / m ("right", as in
    the paper) or in between ("midpoint"). Raises SpecError for other values.
    """

    steps: int = 5
    path: Literal["inputs", "activations"] = "inputs"
    rule: Literal["left", "midpoint", "right"] = "left"

    def __post_init__(self) -> None:
        problems = (
            []
            if type(self.steps) is int and self.steps >= 1
            else [f"steps is {self.steps!r}, it must be a whole number from 1"]
        )
        if self.path not in ("inputs", "activations"):
            problems.append(f"path is {self.path!r}, it must be 'inputs' or 'activations'")
        if self.rule not in RULES:
            problems.append(f"rule is {self.rule!r}, it must be one of {', '.join(map(repr, RULES))}")
        if problems:
            raise SpecError("EAPIG", problems)

    def moments(self, problem: Problem, progress: Progress = silent) -> Moments:
        """Sums over examples; raises DataError where the only point is a minimum of the metric."""
        if min(shares(self.steps, self.rule)) == 1:
            refuse_at_minimum(self, problem)
        return super().moments(problem, progress)

    def examples(self, batch: Batch, problem: Problem) -> Tensor:
        """[b, class, receiver, sender]; raises SpecError for activations of single neurons."""
        if self.path == "activations" and problem.graph.neurons:
            raise SpecError("EAPIG", ["path='activations' takes MLPs whole; use path='inputs', or no neurons"])
        scene, clean = batch.net.scene, batch.net.outputs
        scores = scene.start.new_zeros(len(scene.at), *scene.graph.shape)
        for first, part, between in _paths(scene, clean, self.path):
            contract = Contraction(scene, changes(scene, clean) if part is None else [(first, part)])
            for share in shares(self.steps, self.rule):
                scores += contract(Slopes(scene, batch.loss, between(share)).receivers()) / self.steps
        return scores


def _paths(scene: Scene, clean: Outputs, path: str) -> Iterator[tuple[int, Senders | None, Callable[[float], Point]]]:
    """The senders whose edges are scored (None: all), and the point at each share of the clean value."""
    ablated, start = scene.start_replaced(), scene.start
    if path == "inputs":
        yield 0, None, lambda share: Point(start=torch.lerp(ablated, start, share))
        return
    graph, heads = scene.graph, scene.graph.n_heads
    for first, part in changes(scene, clean):
        layer, within = divmod(first - len(graph.inputs), heads + graph.mlp_senders)
        if first == 0:
            yield first, part, lambda share: Point(start=torch.lerp(ablated, start, share))
        elif within == 0:
            z = scene.replaced[Site("z", layer)].permute(2, 0, 1, 3)
            yield first, part, partial(_between, "z", layer, z, clean.z[layer])
        else:
            out = scene.replaced[Site("mlp_out", layer)]
            yield first, part, partial(_between, "mlp", layer, out, clean.mlp[layer])


def _between(kind: str, layer: int, ablated: Tensor, clean: Tensor, share: float) -> Point:
    return Point(**{kind: {layer: torch.lerp(ablated, clean, share)}})  # type: ignore[arg-type]


def refuse_at_minimum(method: object, problem: Problem) -> None:
    """Raises DataError for a metric that is 0 on the clean run and never below."""
    if problem.metric.floor:
        raise DataError(
            f"{method} takes the derivative of {problem.metric.name!r} on the clean run, at its minimum, where the "
            "derivative is 0 for every edge; use EAPIG(), CleanCorrupted() or ExactPatching(), or another metric, "
            "such as 'logit_diff'"
        )
    if METRICS.get(problem.metric.name) is not problem.metric and _flat(problem):
        raise DataError(
            f"{method} takes the derivative of {problem.metric.name!r} on the clean run, and it is next to 0, as at "
            "a minimum; use EAPIG(), CleanCorrupted() or ExactPatching(), or another metric"
        )


def _flat(problem: Problem) -> bool:
    """Whether a metric that nothing is known of has next to no derivative at the clean logits, but has elsewhere."""
    batch = problem.batch(slice(0, min(len(problem.pairs), problem.batch_size)))
    clean = batch.net.clean_logits
    here, elsewhere = (_steepness(batch, logits) for logits in (clean, clean.roll(1, dims=-1)))
    return here <= 1e-4 * elsewhere


def _steepness(batch: Batch, logits: Tensor) -> float:
    with torch.enable_grad():
        x = logits.detach().clone().requires_grad_()
        value = batch.loss(x)
        if not value.requires_grad:
            return 1.0  # refused where it is used, with another reason
        (found,) = torch.autograd.grad(value.sum(), x)
    return float(found.abs().max())
