"""Which share of the loss is recovered, and is there one to speak of?"""

import math
from typing import Any

import numpy as np

from causalmi.engine.metrics import Metric
from causalmi.methods.scrubbing.scores import Floats, Scores
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import mean, ratio

MATERIAL = 1e-6  # of the anchors' own size: a difference below it is rounding


def recovered(scores: Scores, metric: Metric, clusters: Any = None) -> Estimate | None:
    """(scrubbed - random) / (clean - random) with Fieller's interval; None where :func:`undefined` says why."""
    if undefined(scores, metric) is not None:
        return None
    if not scores.expected:
        return ratio(scores.scrubbed - scores.random, scores.clean - scores.random, clusters)
    loss, best, worst = (exactly(x).value for x in (scores.scrubbed, scores.clean, scores.random))
    return exactly(np.full(len(scores.clean), (loss - worst) / (best - worst)))


def undefined(scores: Scores, metric: Metric) -> str | None:
    """Why there is no share: the network's own metric is no better than that with permuted labels."""
    sign = 1.0 if metric.better == "higher" else -1.0
    gain = sign * (scores.clean - scores.random)
    apart, size = float(gain.mean()), float(np.abs(scores.clean).mean() + abs(scores.random.mean()))
    surely = scores.expected or ratio(np.ones(len(gain)), gain) is not None
    if apart > MATERIAL * size and surely:
        return None
    interval = "" if scores.expected else f" (95 % interval of the gain: {mean(gain):.3g})"
    return (
        f"the network's own {metric.name}, {scores.clean.mean():.4g}, is not significantly better than with permuted "
        f"labels, {scores.random.mean():.4g}{interval}, so no share of the difference counts; give more references, or "
        f"inputs on which the task is done ({metric.name}: {metric.better} is better)"
    )


def exactly(x: Floats) -> Estimate:
    """The mean of all there is, which has no interval."""
    value = math.fsum(x) / len(x)
    return Estimate(value, value, value, len(x))
