"""How is an alignment trained? Adam on recorded batches, the validation pairs saying when it was at its best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from causalmi.errors import ModelError
from causalmi.methods.align.batches import Batches
from causalmi.methods.align.checkpoint import Kept
from causalmi.methods.align.descent import Descent
from causalmi.methods.align.judging import Counts, Score, counted
from causalmi.methods.align.learner import Learner
from causalmi.methods.align.method import Fitted, Problem, Trained
from causalmi.rng import stream


def precision(module: nn.Module) -> torch.dtype:
    """What is learned in: the network's own precision, at least float32."""
    return torch.float64 if any(p.dtype == torch.float64 for p in module.parameters()) else torch.float32


@dataclass(eq=False)
class Training:
    """One run of training of all points of ``learner``; ``step`` steps are done, ``best`` is each point's best."""

    method: Trained
    problem: Problem
    learner: Learner
    step: int = 0
    scores: list[Score] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    taken: list[int] = field(default_factory=list)  # the step of each point's best
    idle: list[int] = field(default_factory=list)  # checks since then

    def __post_init__(self) -> None:
        learner, n = self.learner, self.learner.points
        kind = torch.zeros((), dtype=precision(self.problem.model.adapter.module), device=self.problem.model.device)
        learner.parameters = {name: value.to(kind).requires_grad_() for name, value in learner.parameters.items()}
        groups = [{"params": [value], "lr": 0.0} for value in learner.parameters.values()]  # set in each step
        self.optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        self.scores, self.taken, self.idle = [(-1.0, -float("inf"))] * n, [0] * n, [0] * n
        self.best = {name: value.detach().clone() for name, value in learner.parameters.items()}
        self.train = Batches(self.problem.train, self.problem.places, self.method.batch)
        self.validation = Batches(self.problem.validation, self.problem.places, self.method.batch)
        self.descent = Descent(self.method, learner, self.train, self.problem.subsets)

    @property
    def active(self) -> list[int]:
        """The points that still improve."""
        return [i for i, idle in enumerate(self.idle) if idle < self.method.patience]

    def run(self) -> None:
        """Train to the end, from where the checkpoint says that it was left."""
        kept = None if self.problem.checkpoint is None else Kept(self, self.problem.checkpoint)
        if kept is not None:
            kept.restore(self)
        while self.step < self.method.steps and self.active:
            self._learn()
            self.step += 1
            if self.step == self.method.steps or (not self.method.whole and self.step % self.method.check == 0):
                self._choose()
            if kept is not None:
                kept.save(self)
            self._tell()

    def _learn(self) -> None:
        """One step of the optimizer."""
        progress = self.step / self.method.steps
        rates = self.learner.rates(self.method.lr, progress)
        for group, name in zip(self.optimizer.param_groups, self.learner.parameters, strict=True):
            group["lr"] = rates[name] * (1 - progress)
        number = self.step % len(self.train.pieces)
        self.descent.set_gradients(number, self._chosen(), self.active, progress)
        if any(p.grad is not None and not bool(p.grad.isfinite().all()) for p in self.learner.parameters.values()):
            raise ModelError(f"the gradient is NaN or infinite at step {self.step}; try float32, or a lower lr")
        with torch.no_grad():
            self.learner.tie()
            self.optimizer.step()
            self.learner.settle()

    def _chosen(self) -> Tensor:
        """For each training pair the set of variables that is interchanged in it, drawn anew in each round."""
        epoch = self.step // len(self.train.pieces)
        rng = stream(self.problem.seed, "sets", str(epoch))
        return torch.from_numpy(rng.integers(len(self.problem.subsets), size=len(self.problem.train.swap.pairs)))

    @torch.no_grad()
    def _choose(self) -> None:
        """Ask the validation pairs, and keep what is better than ever: a point, or all that learn together."""
        active = self.active
        found = dict(zip(active, self._scores(self.judged(active, hard=True)), strict=True))
        for points in self.learner.together():
            if points[0] in found:  # they end together, too
                better = _mean([found[i] for i in points]) > _mean([self.scores[i] for i in points])
                for i in points:
                    self.idle[i] += 1
                    if better:
                        self._keep(i, found[i])

    def _keep(self, point: int, score: Score) -> None:
        """This step is the best of a point."""
        self.scores[point], self.taken[point], self.idle[point] = score, self.step, 0
        for name, value in self.learner.parameters.items():
            self.best[name][point] = value[point]

    def _scores(self, counts: Counts) -> list[Score]:
        reached = self.method.scores(counts)
        return [(float(x), -float(loss)) for x, loss in zip(reached, counts.loss, strict=True)]

    def judged(self, points: Sequence[int], *, hard: bool) -> Counts:
        """What each of the points answers on the validation pairs."""
        with torch.no_grad():
            every = self.learner.shares(self.step / self.method.steps, hard=hard)
        pieces = [piece for batch in self.validation.pieces for piece in batch]
        return counted(self.validation, pieces, self.problem.subsets, [every[i] for i in points])

    def _tell(self) -> None:
        if self.problem.progress is not None:
            self.problem.progress("training", self.step, self.method.steps)

    @torch.no_grad()
    def fitted(self) -> list[Fitted]:
        """What each point found at its best."""
        for name, value in self.learner.parameters.items():
            value.copy_(self.best[name])
        more, found = self._more(), []
        for i in range(self.learner.points):
            own = {"step": self.taken[i], "loss": -self.scores[i][1], "off": self.learner.off(i)}
            said = {**own, **self.learner.more(i), **{name: float(values[i]) for name, values in more.items()}}
            found.append(Fitted(self.learner.labels[i], self.learner.found(i), said, self.learner.nonlinear))
        return found

    def _more(self) -> Mapping[str, Sequence[float]]:
        """What the method says of the points, and how well they do with the masks that were trained."""
        everything = range(self.learner.points)
        found = dict(self.method.more(self.judged(everything, hard=True)))
        if self.method.whole:
            found["soft"] = self.judged(everything, hard=False).agreement.tolist()
        return found


def _mean(scores: Sequence[Score]) -> Score:
    agreement, loss = (sum(each) / len(scores) for each in zip(*scores, strict=True))
    return agreement, loss


def fit(method: Trained, problem: Problem) -> list[Fitted]:
    """Train all points of a method, and give what each found."""
    training = Training(method, problem, method.learner(problem))
    training.run()
    return training.fitted()
