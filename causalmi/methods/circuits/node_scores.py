"""How much does each node matter, by a method that scores nodes? A table with intervals over examples."""

from typing import Any

import numpy as np
import pandas as pd

from causalmi.errors import SpecError
from causalmi.methods.circuits.eap import refuse_at_minimum
from causalmi.methods.circuits.moments import Moments, Tally
from causalmi.methods.circuits.nodes import AtPStar, NodeScorer, node_names
from causalmi.methods.circuits.problem import Problem, Progress, silent
from causalmi.spec.graph import Graph
from causalmi.stats.means import Floats


def node_scores(  # noqa: PLR0913  (the public call)
    model: Any,
    pairs: Any,
    *,
    metric: Any = "logit_diff",
    method: NodeScorer = AtPStar(),  # noqa: B008  (a value)
    ablation: Any = None,
    graph: Graph | None = None,
    level: float = 0.95,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> pd.DataFrame:
    """The score of every node: the estimated effect L(node ablated) - L(clean), L the metric as a loss.

    Nodes are the senders, and queries, keys (of a group) and values of heads, "ablated" when all they read is. Returns
    node, (position), score, and low and high, a t interval over bases; ``frame.attrs`` has graph, method,
    metric, ablation, n. Raises SpecError, DataError or ModelError.
    """
    if not isinstance(method, NodeScorer):
        raise SpecError(
            "node_scores", [f"method is {method!r}, which scores no nodes; give AtPStar(), AtP() or HISP()"]
        )
    problem = Problem.of(model, pairs, metric=metric, ablation=ablation, graph=graph, seed=seed, batch_size=batch_size)
    refuse_at_minimum(method, problem)
    moments = _moments(problem, method, progress)
    half = moments.half(level)
    frame = _table(problem.graph, {"score": moments.mean, "low": moments.mean - half, "high": moments.mean + half})
    frame.attrs = {"graph": problem.graph, "method": str(method), "metric": problem.metric.name}
    frame.attrs |= {"ablation": str(problem.ablation), "n": moments.n}
    return frame


def _moments(problem: Problem, method: NodeScorer, progress: Progress) -> Moments:
    tally = Tally(problem.clusters, (problem.graph.shape[0], len(node_names(problem.graph))))
    for batch in problem.batches():
        tally.add(batch.rows, method.nodes(batch, problem))
        progress(str(method), batch.rows.stop, len(problem.pairs))
    return tally.moments(method)


def _table(graph: Graph, columns: dict[str, Floats]) -> pd.DataFrame:
    names, at = node_names(graph), graph.positions or (None,)
    frame = pd.DataFrame({"node": [*names] * len(at)})
    if graph.positions:
        frame["position"] = np.repeat(np.array(at), len(names))
    return frame.assign(**{name: values.ravel() for name, values in columns.items()})
