"""What is left of the behaviour? Each reference's metric under the scrub, clean, and with another example's label."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.engine.metrics import METRICS, Metric
from causalmi.errors import DataError
from causalmi.methods.scrubbing.labels import Labels
from causalmi.methods.scrubbing.population import Ids

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """One number per reference [n] of each: the metric scrubbed and clean, the change of it, KL, right answers.

    ``random`` [n] has as its mean the metric over all pairs of one example's output and another's label, the
    U-statistic over label permutations, and as its spread that of the U-statistic (its influence values). ``constant``
    is the metric of giving the label frequencies whatever the input, where that can be said.
    """

    scrubbed: Floats
    clean: Floats
    change: Floats
    kl: Floats
    right: Floats
    right_clean: Floats
    random: Floats
    exact: bool
    constant: float | None
    expected: bool = False  # over every draw that there is, so that nothing is left to chance


class Scorer:
    """Collects the scores of batches of references."""

    def __init__(self, metric: Metric, labels: Labels, seed: int):
        if metric.needs and "clean" in metric.needs:
            raise DataError(
                f"the metric {metric.name!r} compares with the clean run, so it has no value for a permuted label; "
                "it is reported beside the loss as kl; give a metric of the answer, such as 'cross_entropy'"
            )
        if "foil" in metric.needs and labels.foil is None:
            raise DataError(
                f"the metric {metric.name!r} needs a wrong answer, which in a scrub is the other one of two choices; "
                "give the task choices=[right, wrong], or take 'cross_entropy'"
            )
        metric.check(labels.target)
        if (labels.repeats == len(labels.answer)).all():
            raise DataError("all references are one datum, so there is no other label to compare with; give more data")
        self.metric, self.labels, self.seed, self.outputs = metric, labels, seed, 0
        self._parts = list[tuple[Ids, Tensor]]()
        self._others: Ids | None = None

    def add(self, rows: Ids, clean: Tensor, scrubbed: Tensor) -> None:
        """Score the references ``rows``."""
        if not self.outputs:
            self.outputs = clean.shape[1]
            self._others = None if self.labels.listed(self.metric, self.outputs) else self.labels.others(self.seed)
        index = torch.from_numpy(rows)
        target = replace(self.labels.target.rows(index), clean=clean)
        answer, choices = self.labels.answer[index], self.labels.choices
        right = [best(x, None if choices is None else choices[index]) == answer for x in (scrubbed, clean)]
        own = [self.metric(x, target).cpu().double() for x in (scrubbed, clean)]
        kl = METRICS["kl"](scrubbed, target).cpu().double()
        part = torch.stack([*own, kl, *(x.double() for x in right)], 1)
        self._parts.append((rows, torch.cat([part, self._against_others(clean, rows)], 1)))

    def _against_others(self, clean: Tensor, rows: Ids) -> Tensor:
        """The metric of each clean output with every kind of label, or with the labels of some others, [b, k]."""
        if self._others is None:
            return self.labels.crossed(self.metric, clean, rows)
        kinds = self.labels.kinds[1][torch.from_numpy(self._others[rows])]
        found = [self.labels.compared(self.metric, clean, rows, kind) for kind in kinds.unbind(1)]
        return torch.stack(found, 1)

    def done(self) -> Scores:
        """All scores, in the order of the references."""
        rows = np.concatenate([r for r, _ in self._parts])
        table = torch.cat([x for _, x in self._parts]).numpy()[np.argsort(rows, kind="stable")]
        scrubbed, clean, kl, right, right_clean = table[:, :5].T
        return Scores(
            scrubbed=scrubbed,
            clean=clean,
            change=np.abs(scrubbed - clean),
            kl=kl,
            right=right,
            right_clean=right_clean,
            random=self._listed(table[:, 5:], clean) if self._others is None else self._sampled(table[:, 5:]),
            exact=self._others is None,
            constant=self.labels.constant(self.metric, self.outputs),
        )

    def _listed(self, cross: Floats, clean: Floats) -> Floats:
        """U + 2 (h_i - U): h_i is the mean metric of i's output with labels of other data, and of those with i's label.

        The references of one datum are not compared with each other, however often it was drawn.
        """
        of, n, same = self.labels.kinds[1].numpy(), len(clean), self.labels.repeats
        counts = np.bincount(of, minlength=cross.shape[1])
        mine, theirs = cross @ counts - same * clean, cross.sum(0)[of] - same * clean
        pairs = float((n - same).sum())
        u, h = float(mine.sum()) / pairs, (mine + theirs) / 2
        moved = n * (h - u * (n - same)) / pairs
        influence: Floats = u + 2 * (moved - moved.mean())
        return influence

    def _sampled(self, cross: Floats) -> Floats:
        """The same from a sample of pairs: a label counts by the outputs that it was compared with."""
        assert self._others is not None
        n, u = len(cross), float(cross.mean())
        total, times = np.zeros(n), np.zeros(n)
        np.add.at(total, self._others.reshape(-1), cross.reshape(-1))
        np.add.at(times, self._others.reshape(-1), 1.0)
        theirs = np.where(times > 0, total / np.maximum(times, 1), u)
        h: Floats = (cross.mean(1) + theirs) / 2
        influence: Floats = u + 2 * (h - h.mean())
        return influence


def best(logits: Tensor, choices: Tensor | None) -> Tensor:
    """The answer of each row, among the choices where there are some."""
    if choices is None:
        return logits.argmax(-1).cpu()
    choices = choices.to(logits.device)
    return choices.gather(1, logits.gather(1, choices).argmax(1, keepdim=True))[:, 0].cpu()
