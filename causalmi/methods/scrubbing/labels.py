"""With what is a scrubbed output compared? Right answers, those of other references, and the best constant answer."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from causalmi.engine.metrics import METRICS, Metric, Target
from causalmi.methods.scrubbing.population import Ids
from causalmi.rng import stream

NEVER = -1e4  # the logit of an answer that is never right
ONE_LOOK = ("logit_diff", "logprob", "prob", "cross_entropy", "accuracy")  # for all labels from one look at the logits
TABLE, WORK = 5e7, 2e10  # entries of a table of outputs and labels, and numbers looked at to fill it
SAMPLED = 64  # labels of others that an output is compared with where there are too many for a table


@dataclass(frozen=True, eq=False)
class Labels:
    """The right answers to the references: ``answer`` [n], ``choices`` [n, c], and which ``datum`` each is [n]."""

    answer: Tensor
    choices: Tensor | None
    datum: Ids

    @property
    def target(self) -> Target:
        """What a metric compares with."""
        return Target(answer=self.answer, foil=self.foil, index=torch.arange(len(self.answer)))

    @cached_property
    def foil(self) -> Tensor | None:
        """The other one of two choices."""
        if self.choices is None or self.choices.shape[1] != 2:
            return None
        return torch.where(self.choices[:, 0] == self.answer, self.choices[:, 1], self.choices[:, 0])

    @cached_property
    def kinds(self) -> tuple[Tensor, Tensor]:
        """The distinct pairs of answer and foil [k, 2], and which of them each reference has [n]."""
        foil = self.answer if self.foil is None else self.foil
        kinds, of = torch.unique(torch.stack([self.answer, foil], 1), dim=0, return_inverse=True)
        return kinds, of

    @cached_property
    def repeats(self) -> Ids:
        """How many references are of the same datum, itself included [n]."""
        _, of, counts = np.unique(self.datum, return_inverse=True, return_counts=True)
        found: Ids = counts[of.reshape(-1)]
        return found

    def others(self, seed: int) -> Ids:
        """For each reference some others of another datum, at random [n, SAMPLED]."""
        n, rng = len(self.answer), stream(seed, "labels")
        picked = rng.integers(n, size=(n, SAMPLED))
        for _ in range(100):
            same = self.datum[picked] == self.datum[:, None]
            if not same.any():
                break
            picked[same] = rng.integers(n, size=int(same.sum()))
        return picked

    def listed(self, metric: Metric, outputs: int) -> bool:
        """Whether every output can be compared with every kind of label."""
        entries = len(self.kinds[0]) * len(self.answer)
        return entries <= TABLE and (_one_look(metric) or entries * outputs <= WORK)

    def crossed(self, metric: Metric, logits: Tensor, rows: Ids) -> Tensor:
        """The metric of the outputs of ``rows``, each with every kind of label, float64 [b, k]."""
        kinds = self.kinds[0].to(logits.device)
        if _one_look(metric):
            return _at_once(metric.name, logits, kinds).double().cpu()
        every = torch.arange(len(kinds)).split(1)
        found = [self.compared(metric, logits, rows, kind.expand(len(rows))) for kind in every]
        return torch.stack(found, 1)

    def compared(self, metric: Metric, logits: Tensor, rows: Ids, kind: Tensor) -> Tensor:
        """The metric of the outputs of ``rows`` with labels of ``kind`` [b], float64 [b]."""
        answer, foil = self.kinds[0][kind].unbind(1)
        foils = None if self.foil is None else foil
        target = Target(answer=answer, foil=foils, clean=logits, index=torch.from_numpy(rows))
        return metric(logits, target).cpu().double()

    def constant(self, metric: Metric, outputs: int) -> float | None:
        """The metric of giving the label frequencies whatever the input; None where that is no answer to compare."""
        kinds, of = self.kinds
        answers, at = torch.unique(kinds[:, 0], return_inverse=True)
        if METRICS.get(metric.name) is not metric or not set(kinds[:, 1].tolist()) <= set(answers.tolist()):
            return None  # a function may look at anything, and a wrong answer that is never right has no frequency
        share = torch.bincount(of, minlength=len(kinds)).double() / len(of)
        logits = torch.full((outputs,), NEVER, dtype=torch.float64)
        logits[answers] = torch.zeros(len(answers), dtype=torch.float64).index_add(0, at, share).log()
        target = Target(answer=kinds[:, 0], foil=None if self.foil is None else kinds[:, 1])
        return float(metric(logits.expand(len(kinds), -1), target) @ share)


def _one_look(metric: Metric) -> bool:
    return metric.name in ONE_LOOK and METRICS[metric.name] is metric


def _at_once(name: str, logits: Tensor, kinds: Tensor) -> Tensor:
    """Of each output and kind of label, [b, k], what METRICS[name] gives one by one."""
    answer, foil = kinds.unbind(1)
    if name == "accuracy":
        return logits.argmax(-1)[:, None] == answer
    scores = logits if logits.dtype == torch.float64 else logits.float()
    if name == "logit_diff":
        return scores[:, answer] - scores[:, foil]
    log_p = scores[:, answer] - scores.logsumexp(-1, keepdim=True)
    return {"logprob": log_p, "cross_entropy": -log_p, "prob": log_p.exp()}[name]
