"""How much does each edge matter? One meaning for every method: the estimated effect of ablating it on a loss."""

from abc import ABC, abstractmethod
from typing import Any

import pandas as pd
from torch import Tensor

from causalmi.errors import SpecError
from causalmi.methods.circuits.moments import Moments, Tally
from causalmi.methods.circuits.problem import Batch, Problem, Progress, silent
from causalmi.spec.graph import Graph


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
        problem = problem.lighter()
        tally = Tally(problem.clusters, exists.shape)
        for batch in problem.batches():
            tally.add(batch.rows, self.examples(batch, problem))
            progress(str(self), batch.rows.stop, n)
        return tally.moments(self)


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
    and high, a t interval over bases where the method has scores of examples, else NaN.
    ``frame.attrs`` has graph, method, metric, ablation, n. Raises SpecError, DataError or ModelError.
    """
    if not isinstance(method, Scorer):
        raise SpecError(
            "edge_scores", [f"method is {method!r}, which gives no scores; give EAPIG() or another that does"]
        )
    problem = Problem.of(model, pairs, metric=metric, ablation=ablation, graph=graph, seed=seed, batch_size=batch_size)
    return framed(problem, method, method.moments(problem, progress), level)


def framed(problem: Problem, method: Scorer, moments: Moments, level: float = 0.95) -> pd.DataFrame:
    """The table of :func:`edge_scores`."""
    graph, exists = problem.graph, problem.graph.exists
    score, half = moments.mean[exists], moments.half(level)[exists]
    edges = graph.edges
    columns: dict[str, Any] = {"sender": [e.sender for e in edges], "receiver": [e.receiver for e in edges]}
    if graph.positions:
        columns["position"] = [e.at for e in edges]
    frame = pd.DataFrame(columns | {"score": score, "low": score - half, "high": score + half})
    frame.attrs = {"graph": graph, "method": str(method), "metric": problem.metric.name}
    frame.attrs |= {"ablation": str(problem.ablation), "n": moments.n}
    return frame
