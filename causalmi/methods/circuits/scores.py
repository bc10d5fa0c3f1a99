"""How much does each edge matter? One meaning for every method: the estimated effect of ablating it on a loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri
from torch import Tensor

from causalmi.errors import ModelError, SpecError
from causalmi.methods.circuits.problem import Batch, Problem, Progress, silent
from causalmi.spec.graph import Graph
from causalmi.stats.means import Floats


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over ``n`` examples of their scores and of the squares, float64 [class, receiver, sender].

    ``square`` is None for a method whose scores are of all examples together.
    """

    total: Floats
    square: Floats | None
    n: int

    @property
    def mean(self) -> Floats:
        """The scores."""
        return self.total / self.n

    @property
    def error(self) -> Floats | None:
        """Their standard errors, of independent examples; None where there are no scores of examples."""
        if self.square is None or self.n < 2:
            return None
        spread = np.maximum(self.square / self.n - self.mean**2, 0) / (self.n - 1)
        return np.sqrt(spread)


class Scorer(ABC):
    """A rule that scores every edge: the effect of ablating it alone, estimated. A mask's scores order edges alone."""

    @abstractmethod
    def moments(self, problem: Problem, progress: Progress = silent) -> Moments:
        """The scores; raises DataError or ModelError for a metric that it cannot be used with."""


class PerExample(Scorer):
    """A rule with scores of each example, batch by batch."""

    @abstractmethod
    def examples(self, batch: Batch, problem: Problem) -> Tensor:
        """Scores [b, class, receiver, sender] of the batch's examples."""

    def moments(self, problem: Problem, progress: Progress = silent) -> Moments:
        """Sums over the batches, in float64."""
        if problem.restore:
            raise SpecError(str(self), ["it estimates what ablating an edge does; use direction='ablate'"])
        exists, n = problem.graph.exists, len(problem.pairs)
        total, square = np.zeros(exists.shape), np.zeros(exists.shape)
        for batch in problem.batches():
            scores = self.examples(batch, problem).detach().double()
            total += scores.sum(0).cpu().numpy()
            square += scores.square().sum(0).cpu().numpy()
            progress(str(self), batch.rows.stop, n)
        return checked(Moments(total * exists, square * exists, n), self)


def checked(moments: Moments, method: object) -> Moments:
    """The ``moments`` if they are finite; raises ModelError."""
    if not np.isfinite(moments.total).all():
        raise ModelError(f"{method} gives scores that are not finite; try float32 or float64, or another metric")
    return moments


def edge_scores(  # noqa: PLR0913  (the public call)
    model: Any,
    pairs: Any,
    *,
    metric: Any = "logit_diff",
    method: Scorer,
    ablation: Any = None,
    graph: Graph | None = None,
    level: float = 0.95,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """The score of every edge: the estimated effect L(edge ablated) - L(clean), where L is the metric as a loss.

    So an edge with a positive score is one that the behaviour needs: L is the metric where lower is better, else minus
    it. ``ablation`` None takes the sender's value from each pair's own source; Zero(), Mean(), MeanPositional(),
    Resample(...) and Optimal() are the others. ``graph``: that of `causalmi.graph_of`, for separate embeddings,
    neurons or positions. Returns a row for each edge in the graph's order: sender, receiver, (position), score, and low
    and high, a normal interval over examples where the method has scores of examples, else NaN.
    ``frame.attrs`` has graph, method, metric, ablation, n. Raises SpecError, DataError or ModelError.
    """
    problem = Problem.of(model, pairs, metric=metric, ablation=ablation, graph=graph, seed=seed, batch_size=batch_size)
    return framed(problem, method, method.moments(problem, progress), level)


def framed(problem: Problem, method: Scorer, moments: Moments, level: float = 0.95) -> pd.DataFrame:
    """The table of :func:`edge_scores`."""
    graph, exists = problem.graph, problem.graph.exists
    score, error = moments.mean[exists], moments.error
    half = np.full(len(score), np.nan) if error is None else ndtri(0.5 + level / 2) * error[exists]
    edges = graph.edges
    columns: dict[str, Any] = {"sender": [e.sender for e in edges], "receiver": [e.receiver for e in edges]}
    if graph.positions:
        columns["position"] = [e.at for e in edges]
    frame = pd.DataFrame(columns | {"score": score, "low": score - half, "high": score + half})
    frame.attrs = {"graph": graph, "method": str(method), "metric": problem.metric.name}
    frame.attrs |= {"ablation": str(problem.ablation), "n": moments.n}
    return frame
