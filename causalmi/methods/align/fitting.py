"""How is an alignment trained? Adam on recorded batches, the validation pairs saying when it was at its best."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from causalmi.engine.mixture import Mixture
from causalmi.errors import ModelError
from causalmi.methods.align.batches import Batches, gates
from causalmi.methods.align.judging import Score, judged
from causalmi.methods.align.learner import Learner, Shares, mixtures
from causalmi.methods.align.loss import Answering
from causalmi.methods.align.method import Fitted, Problem, Trained
from causalmi.rng import stream
from causalmi.spec.site import Site


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
        for value in learner.parameters.values():
            value.requires_grad_()
        rates = learner.rates(self.method.lr)
        groups = [{"params": [value], "lr": rates[name]} for name, value in learner.parameters.items()]
        self.rates = [float(group["lr"]) for group in groups]  # type: ignore[arg-type]
        self.optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        self.scores, self.taken, self.idle = [(-1.0, -float("inf"))] * n, [0] * n, [0] * n
        self.best = {name: value.detach().clone() for name, value in learner.parameters.items()}
        self.train = Batches(self.problem.train, self.problem.places, self.method.batch)
        self.validation = Batches(self.problem.validation, self.problem.places, self.method.batch)

    @property
    def active(self) -> list[int]:
        """The points that still improve."""
        return [i for i, idle in enumerate(self.idle) if idle < self.method.patience]

    def run(self) -> None:
        """Train to the end."""
        while self.step < self.method.steps and self.active:
            self._learn()
            self.step += 1
            if self.step % self.method.check == 0 or self.step == self.method.steps:
                self._choose()
            self._tell()

    def _learn(self) -> None:
        """One step of the optimizer."""
        left = 1 - self.step / self.method.steps
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * left
        self.optimizer.zero_grad()
        shares, active = self.learner.shares(self.step / self.method.steps), self.active
        batch = self.train.pieces[self.step % len(self.train.pieces)]
        n = batch[-1].rows.stop - batch[0].rows.start
        answering, chosen = Answering(self.problem.train.swap.pairs), self._chosen()
        for piece in batch:
            logits = piece.run([self._edits(shares[i], chosen[piece.rows]) for i in active])
            labels = self.train.labels(self.problem.subsets, chosen)[piece.rows]
            (answering.loss(logits, labels, piece.rows).sum() / n).backward(retain_graph=True)
        penalty = self.learner.penalty()
        if penalty.requires_grad:
            penalty[active].sum().backward()
        if any(p.grad is not None and not bool(p.grad.isfinite().all()) for p in self.learner.parameters.values()):
            raise ModelError(f"the gradient is NaN or infinite at step {self.step}; try float32, or a lower lr")
        self.optimizer.step()
        with torch.no_grad():
            self.learner.settle()

    def _chosen(self) -> Tensor:
        """For each training pair the set of variables that is interchanged in it, drawn anew in each round."""
        epoch = self.step // len(self.train.pieces)
        rng = stream(self.problem.seed, "sets", str(epoch))
        return torch.from_numpy(rng.integers(len(self.problem.subsets), size=len(self.problem.train.swap.pairs)))

    def _edits(self, shares: Shares, chosen: Tensor) -> Mapping[Site, Mixture]:
        places = self.problem.places
        return mixtures(shares, places, gates(self.problem.subsets, chosen, places.variables))

    @torch.no_grad()
    def _choose(self) -> None:
        """Ask the validation pairs, and keep each point that is better than ever."""
        active = self.active
        for i, found in zip(active, self.judged(active, hard=True), strict=True):
            self.idle[i] += 1
            if found > self.scores[i]:
                self.scores[i], self.taken[i], self.idle[i] = found, self.step, 0
                for name, value in self.learner.parameters.items():
                    self.best[name][i] = value[i]

    def judged(self, points: Sequence[int], *, hard: bool) -> list[Score]:
        """Each of the points on the validation pairs."""
        with torch.no_grad():
            every = self.learner.shares(self.step / self.method.steps, hard=hard)
        pieces = [piece for batch in self.validation.pieces for piece in batch]
        return judged(self.validation, pieces, self.problem.subsets, [every[i] for i in points])

    def _tell(self) -> None:
        if self.problem.progress is not None:
            self.problem.progress("training", self.step, self.method.steps)

    def fitted(self) -> Iterator[Fitted]:
        """What each point found at its best."""
        with torch.no_grad():
            for name, value in self.learner.parameters.items():
                value.copy_(self.best[name])
            soft = self.judged(range(self.learner.points), hard=False)
            for i in range(self.learner.points):
                more = {
                    "step": self.taken[i],
                    "loss": -self.scores[i][1],
                    "soft": soft[i][0],
                    "off": self.learner.off(i),
                }
                yield Fitted(self.learner.labels[i], self.learner.found(i), more, self.learner.nonlinear)


def fit(method: Trained, problem: Problem) -> list[Fitted]:
    """Train all points of a method, and give what each found."""
    training = Training(method, problem, method.learner(problem.places, problem.widths, problem.seed))
    training.run()
    return list(training.fitted())
