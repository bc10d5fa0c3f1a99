"""How faithful are circuits of all sizes? Faithfulness over size, with MIB's CPR and CMD. Mueller et al. 2025."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd

from causalmi.errors import DataError, SpecError
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.select import Greedy, Selection, TopN
from causalmi.results.circuit_curve import CurveResult
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Graph
from causalmi.stats.curves import FRACTIONS
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import Floats, mean, ratio
from causalmi.stats.resampling import UndefinedError, bootstrap

SELECTIONS: Mapping[str, Callable[..., Selection]] = MappingProxyType({"top": TopN, "greedy": Greedy})
AXES = {
    "requested": "the requested share of edges",
    "edges": "the share of edges left after pruning",
    "weighted": "the weighted share of edges left after pruning",
}
DRAWS = 1999
NONE = (np.nan, np.nan, np.nan)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What the curve is drawn over; raises SpecError for what is none."""

    fractions: tuple[float, ...] = FRACTIONS
    name: str = "requested"
    log: bool = False

    def __post_init__(self) -> None:
        p, problems = np.asarray(self.fractions, dtype=np.float64), list[str]()
        if p.ndim != 1 or len(p) < 2 or not ((p >= 0) & (p <= 1)).all() or not (np.diff(p) > 0).all():
            problems.append(f"fractions are {self.fractions!r}; give two or more that rise, from 0 to 1")
        if self.name not in AXES:
            problems.append(f"axis is {self.name!r}; give one of {', '.join(AXES)}")
        if problems:
            raise SpecError("faithfulness_curve", problems)

    def __str__(self) -> str:
        return AXES[self.name] + (", its natural logarithm" if self.log else "")

    def weights(self, x: Floats) -> Floats:
        """What the value at each of ``x`` counts in the area by the trapezoid rule, float64 [k].

        Of circuits of one size the mean counts, and one without edges counts nothing where x is logarithmic.
        """
        sizes, group = np.unique(x, return_inverse=True)
        kept = np.flatnonzero(sizes > 0) if self.log else np.arange(len(sizes))
        each = np.zeros(len(sizes))
        widths = np.diff(np.log(sizes[kept]) if self.log else sizes[kept]) / 2
        each[kept[:-1]] += widths
        each[kept[1:]] += widths
        return np.asarray((each / np.bincount(group))[group])


def faithfulness_curve(  # noqa: PLR0913  (the public call: which scores, of which network, on what, and which curve)
    model: Any,
    scores: Any,
    pairs: Any,
    *,
    metric: Any = "logit_diff",
    ablation: Any = None,
    graph: Graph | None = None,
    fractions: Sequence[float] = FRACTIONS,
    absolute: bool = False,
    select: Literal["top", "greedy"] = "top",
    axis: Literal["requested", "edges", "weighted"] = "requested",
    log_x: bool = False,
    seed: int = 0,
    batch_size: int | None = None,
) -> CurveResult:
    """The faithfulness of the best floor(p N) of N edges, pruned, for each p of ``fractions``, and the areas under it.

    f(p) = (m(C_p) - m(empty)) / (m(full) - m(empty)) with m the mean ``metric``, and Fieller's interval; CPR is the
    trapezoid integral of f dx, CMD that of |1 - f| dx, with BCa bootstrap intervals, robust to bases that repeat. x is
    p, or by ``axis`` the share of edges, or weighted edges, left after pruning; ``log_x`` integrates over ln x.
    ``scores``: the table of edge_scores, or float [class, receiver, sender] with ``graph``, ranked by value, or by size
    with ``absolute``; "greedy" takes only edges that lead to the logits. MIB has signed scores for CPR and absolute
    ones for CMD. Raises SpecError, DataError or ModelError for what does not fit, before any run.
    """
    over = Axis(fractions=tuple(float(p) for p in fractions), name=axis, log=log_x)
    if select not in SELECTIONS:
        raise SpecError("faithfulness_curve", [f"select is {select!r}; give one of {', '.join(SELECTIONS)}"])
    circuits = [SELECTIONS[select](share=p, absolute=absolute).circuit(scores, graph) for p in over.fractions]
    how = {"metric": metric, "ablation": ablation, "seed": seed, "batch_size": batch_size}
    problem = Problem.of(model, pairs, graph=circuits[0].graph, **how)
    ranking = f"{'absolute ' if absolute else ''}score, {select}"
    return curve(problem, circuits, over, f"{ranking}, pruned", problem.model.name)


def curve(problem: Any, circuits: Sequence[Circuit], axis: Axis, ranking: str, model: str) -> CurveResult:
    """The curve through ``circuits``, one for each of the axis' fractions."""
    clusters = np.asarray(problem.clusters)
    if np.unique(clusters).size < 2:
        raise DataError("all pairs share one base, so nothing has an interval; give pairs of two bases or more")
    full, empty = problem.ends()
    losses = problem.losses(np.stack([c.array for c in circuits]))
    sign = -1 if problem.metric.better == "higher" else 1
    frame = _sizes(circuits, axis)
    frame["value"] = sign * losses.mean(1)
    shares = [ratio(empty - loss, empty - full, clusters) for loss in losses]
    frame[["faithfulness", "low", "high"]] = [(e.value, e.low, e.high) if e else NONE for e in shares]
    degenerate = any(e is None for e in shares) or bool(abs((empty - full).mean()) <= problem.noise)
    columns = np.stack([*(empty - losses), empty - full], axis=1)
    areas = (None, None) if degenerate else _areas(columns, frame["x"].to_numpy(), axis, clusters, problem.seed)
    return CurveResult(
        model=model,
        seed=problem.seed,
        metric=problem.metric.name,
        ablation=str(problem.ablation),
        ranking=ranking,
        axis=str(axis),
        frame=frame,
        full=mean(sign * full, clusters),
        empty=mean(sign * empty, clusters),
        cpr=areas[0],
        cmd=areas[1],
        degenerate=degenerate,
    )


def _sizes(circuits: Sequence[Circuit], axis: Axis) -> pd.DataFrame:
    whole = Circuit.full(circuits[0].graph)
    frame = pd.DataFrame({"fraction": axis.fractions, "edges": [len(c) for c in circuits]})
    frame["weighted"] = [c.weighted_edges for c in circuits]
    shares = {"requested": 1.0, "edges": len(whole), "weighted": whole.weighted_edges}
    source = {"requested": "fraction"}.get(axis.name, axis.name)
    frame["x"] = frame[source] / shares[axis.name]
    return frame


def _areas(columns: Floats, x: Floats, axis: Axis, clusters: Any, seed: int) -> tuple[Estimate | None, Estimate | None]:
    """CPR and CMD of ``columns`` [n, sizes + 1]: what each circuit gains on each example, and the network."""
    weights = axis.weights(x)

    def cpr(rows: Floats) -> float:
        return float(weights @ _shares(rows))

    def cmd(rows: Floats) -> float:
        return float(weights @ np.abs(1 - _shares(rows)))

    try:
        found = [bootstrap(columns, area, clusters, seed=seed, draws=DRAWS) for area in (cpr, cmd)]
    except UndefinedError:
        return None, None
    return found[0], found[1]


def _shares(rows: Floats) -> Floats:
    sums = rows.sum(0)
    return np.asarray(sums[:-1] / sums[-1] if sums[-1] else np.full(len(sums) - 1, np.inf))
