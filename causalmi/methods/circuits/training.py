"""How is a number for each edge trained by what masks drawn from it do? One mask a step, on all examples.

Each step runs all examples, batch by batch, under one mask that the seed alone draws: the result does not depend on the
batch size, up to rounding.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from causalmi.errors import DataError, ModelError, SpecError
from causalmi.methods.circuits.moments import Moments, checked
from causalmi.methods.circuits.problem import Problem, Progress, silent
from causalmi.methods.circuits.scores import Scorer
from causalmi.methods.hard_concrete import kept, sampled, uniform
from causalmi.rng import torch_stream

Logits = Float[Tensor, "class receiver sender"]
Gradient = Callable[[Logits, int], Tensor]  # at the logits, in a step


@dataclass(frozen=True)
class Setting:
    """What a training is about: ``exists`` says which edges there are, ``generator`` draws all masks."""

    problem: Problem
    exists: Bool[Tensor, "class receiver sender"]
    generator: torch.Generator


@dataclass(frozen=True, kw_only=True)
class MaskScorer(Scorer):
    """A rule that trains a number for each edge by Adam; its scores order edges, and are no effects.

    Raises SpecError for steps below 1 or a rate that is not above 0.
    """

    steps: int
    rate: float

    def __post_init__(self) -> None:
        problems = [] if self.steps >= 1 else [f"steps is {self.steps!r}, it must be at least 1"]
        if not self.rate > 0:
            problems.append(f"rate is {self.rate!r}, it must be above 0")
        if problems := [*problems, *self._problems()]:
            raise SpecError(type(self).__name__, problems)

    def moments(self, problem: Problem, progress: Progress = silent) -> Moments:
        """The trained scores; raises DataError for a metric without derivative, ModelError where it is not finite."""
        generator = torch_stream(problem.seed, "masks of edges", type(self).__name__)
        setting = Setting(problem, torch.tensor(problem.graph.exists), generator)
        logits, gradient = self._start(setting), self._gradient(setting)
        adam = torch.optim.Adam([logits], lr=self.rate, eps=1e-15)  # gradients of masks near 0 or 1 are tiny
        for step in range(self.steps):
            logits.grad = gradient(logits, step)
            adam.step()
            progress(str(self), step + 1, self.steps)
        scores, n = self._scores(logits, setting).numpy() * problem.graph.exists, len(problem.pairs)
        return checked(Moments(scores * n, None, n), self)

    def _problems(self) -> list[str]:
        """What is wrong with the fields, beside steps and rate."""
        return []

    @abstractmethod
    def _start(self, setting: Setting) -> Logits:
        """The numbers before the first step, float64."""

    @abstractmethod
    def _gradient(self, setting: Setting) -> Gradient:
        """Their derivative in each step."""

    def _scores(self, logits: Logits, setting: Setting) -> Tensor:
        return logits


def derivative(problem: Problem, keep: Logits) -> Logits:
    """The derivative of the mean loss under the mask ``keep`` with respect to it, float64."""
    total = torch.zeros_like(keep)
    for batch in problem.batches():
        mask = keep.detach().to(batch.net.scene.start).requires_grad_()
        loss = batch.loss(batch.net.run(mask)).sum()
        if not loss.requires_grad:
            raise DataError(f"the metric {problem.metric.name!r} has no derivative, on which a mask could be trained")
        (found,) = torch.autograd.grad(loss, mask)
        total += found.to(total)
    if not bool(total.isfinite().all()):
        raise ModelError(
            "the loss of a mask has a derivative that is not finite; try float32 or float64 weights, or a lower rate"
        )
    return total / len(problem.pairs)


def through_mask(setting: Setting, logits: Logits, penalty: Callable[[Tensor], Tensor]) -> Tensor:
    """The derivative, at the logits of hard concrete masks, of the loss of one mask + penalty(expected share kept)."""
    leaf = logits.detach().requires_grad_()
    mask = sampled(leaf, uniform(tuple(leaf.shape), setting.generator))
    slope = derivative(setting.problem, mask.detach())
    pull = penalty(kept(leaf)[setting.exists].mean())
    (found,) = torch.autograd.grad((mask * slope).sum() + pull, leaf)
    return found
