"""What is a scrub under each refuter? The variations of which is known what they must give."""

import numpy as np
import torch

from causalmi.engine.metrics import Metric
from causalmi.errors import DataError
from causalmi.methods.refutation.refuters import EmptyHypothesis, EquivalentRelabelling, PermutedLabels, SelfDonor
from causalmi.methods.scrubbing.controls import Rescrubbed, rescrub, shares, simply
from causalmi.methods.scrubbing.population import Ids
from causalmi.methods.scrubbing.run import scored
from causalmi.methods.scrubbing.scores import Floats, Scorer
from causalmi.methods.scrubbing.setup import Setup
from causalmi.methods.scrubbing.variants import emptied, own_donors, relabelled
from causalmi.rng import stream


@rescrub.register
def _(control: SelfDonor, setup: Setup, metric: Metric) -> Rescrubbed:
    return Rescrubbed(simply(own_donors(setup), metric))


@rescrub.register
def _(control: EmptyHypothesis, setup: Setup, metric: Metric) -> Rescrubbed:
    return Rescrubbed(simply(emptied(setup), metric))


@rescrub.register
def _(control: EquivalentRelabelling, setup: Setup, metric: Metric) -> Rescrubbed:
    return Rescrubbed(simply(relabelled(setup), metric))


@rescrub.register
def _(control: PermutedLabels, setup: Setup, metric: Metric) -> Rescrubbed:
    """Each draw exchanges the labels of the scrubbed outputs; the anchors stay."""
    scorer = _Crossed(metric, setup.labels, setup.seed)
    scores, _ = scored(setup, scorer, lambda stage, done, total: None)
    cross, of = scorer.crossed(), setup.labels.kinds[1].numpy()
    rng, rows = stream(setup.seed, "scrub", control.name), np.arange(len(of))
    tables = (cross[rows, of[rng.permutation(len(of))]] for _ in range(control.n))
    return Rescrubbed(scores, None, [share for table in tables for share in shares(scores, [table])])


class _Crossed(Scorer):
    """Keeps the metric of every scrubbed output with every kind of label."""

    def add(self, rows: Ids, clean: torch.Tensor, scrubbed: torch.Tensor) -> None:
        super().add(rows, clean, scrubbed)
        if self._others is not None:
            raise DataError("there are too many kinds of labels to exchange all of them; give fewer references")
        self._found = [*getattr(self, "_found", []), (rows, self.labels.crossed(self.metric, scrubbed, rows).numpy())]

    def crossed(self) -> Floats:
        """[references, kinds], in the order of the references."""
        rows = np.concatenate([r for r, _ in self._found])
        table: Floats = np.concatenate([x for _, x in self._found])[np.argsort(rows, kind="stable")]
        return table
