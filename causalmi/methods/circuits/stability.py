"""Would other examples have given the same circuit? The bootstrap of a search. Méloux et al. 2025."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causalmi.errors import DataError, SpecError
from causalmi.methods.circuits.moments import Moments, checked
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.scores import PerExample, Scorer
from causalmi.methods.circuits.select import Selection
from causalmi.results.circuit_stability import StabilityResult
from causalmi.rng import stream
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Graph
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import Floats

KEPT = 2**27  # scores of single examples that are kept, in float32; with more the network is run for each resample
Rows = NDArray[np.int64]
CircuitOf = Callable[[Rows], Circuit]


@dataclass(frozen=True)
class Stability:
    """Circuits of resampled examples: that of all, and bools [resample, class, receiver, sender] of the resamples."""

    circuit: Circuit
    drawn: NDArray[np.bool_]

    @property
    def between(self) -> Floats:
        """The Jaccard index of each two resamples, float64 [pairs]."""
        flat = self.drawn[:, self.circuit.graph.exists].astype(np.float64)
        return _jaccard(flat, flat)[np.triu_indices(len(flat), 1)]

    @property
    def to_circuit(self) -> Floats:
        """The Jaccard index of each resample with the circuit of all examples, float64 [resample]."""
        exists = self.circuit.graph.exists
        one = self.circuit.array[exists][None].astype(np.float64)
        return _jaccard(self.drawn[:, exists].astype(np.float64), one)[:, 0]

    @property
    def frame(self) -> pd.DataFrame:
        """Each edge that any circuit has, with the share of resamples that have it."""
        graph, often = self.circuit.graph, self.drawn.mean(0)
        ever = (often > 0) | self.circuit.array
        edges = graph.named(ever)
        columns = {"sender": [e.sender for e in edges], "receiver": [e.receiver for e in edges]}
        if graph.positions:
            columns["position"] = [str(e.at) for e in edges]
        frame = pd.DataFrame(columns | {"frequency": often[ever], "in_circuit": self.circuit.array[ever]})
        return frame.sort_values("frequency", ascending=False, kind="stable", ignore_index=True)


def resampled(circuit_of: CircuitOf, clusters: Any, *, n_resamples: int, seed: int) -> Stability:
    """The circuits ``circuit_of(rows)`` of bootstrap resamples of examples, whole ``clusters`` (int [n]) at a time.

    ``rows`` are int64, of any length where clusters differ in size. Raises DataError for fewer than two clusters or
    resamples.
    """
    unit = np.unique(np.asarray(clusters), return_inverse=True)[1]
    members = [np.flatnonzero(unit == i) for i in range(int(unit.max(initial=-1)) + 1)]
    if len(members) < 2:
        raise DataError("all pairs share one base, so there is nothing to resample; give pairs of two bases or more")
    if type(n_resamples) is not int or n_resamples < 2:
        raise DataError(f"n_resamples is {n_resamples!r}; give a whole number from 2, such as 100")
    circuit = circuit_of(np.arange(len(unit)))
    drawn = [circuit_of(_rows(members, stream(seed, "stability", str(i)))).array for i in range(n_resamples)]
    return Stability(circuit, np.stack(drawn))


def circuit_stability(  # noqa: PLR0913  (the public call: which search, of which network, on what, and how often)
    model: Any,
    pairs: Any,
    *,
    method: Scorer | Callable[[Problem], Circuit],
    select: Selection | None = None,
    metric: Any = "logit_diff",
    ablation: Any = None,
    graph: Graph | None = None,
    n_resamples: int = 100,
    seed: int = 0,
    batch_size: int | None = None,
) -> StabilityResult:
    """How alike the circuits are that ``select`` takes from the scores of ``method`` on resampled ``pairs``.

    Or those of any search, where ``method`` is a function of the problem that gives its circuit, without ``select``.
    Bases are drawn with replacement, each with all its pairs. A method with scores of single examples runs once, where
    examples times edges are at most 2^27, and what is ablated to is that of all pairs; others run for each resample,
    on its own pairs. Méloux et al. ask for a Jaccard index of .8 over 100 resamples. Raises SpecError, DataError or
    ModelError before any run for what does not fit.
    """
    if not isinstance(method, Scorer) and not callable(method):
        raise SpecError("circuit_stability", [f"{method!r} gives no scores; give a method such as EAP()"])
    if isinstance(select, Selection) is not isinstance(method, Scorer):
        wanted = "give one such as TopN(100)" if isinstance(method, Scorer) else "leave it out for a function"
        raise SpecError("circuit_stability", [f"select is {select!r}; {wanted}"])
    problem = Problem.of(model, pairs, metric=metric, ablation=ablation, graph=graph, seed=seed, batch_size=batch_size)
    found = resampled(_circuit_of(problem, method, select), problem.clusters, n_resamples=n_resamples, seed=seed)
    return StabilityResult(
        model=problem.model.name,
        seed=seed,
        method=str(method) if isinstance(method, Scorer) else getattr(method, "__name__", str(method)),
        select="" if select is None else str(select),
        circuit=found.circuit,
        frame=found.frame,
        jaccard=_spread(found.between),
        to_circuit=_spread(found.to_circuit),
        sizes=_spread(found.drawn.sum((1, 2, 3)).astype(np.float64)),
        n_resamples=n_resamples,
        n=len(problem.clusters),
    )


def _circuit_of(problem: Problem, method: Any, select: Selection | None) -> CircuitOf:
    """The circuit of some examples: from their scores where they can be kept, else by a run on them."""
    graph, n = problem.graph, len(problem.clusters)
    if not isinstance(method, Scorer):
        return lambda rows: cast(Circuit, method(problem.some(rows)))
    assert select is not None
    if not isinstance(method, PerExample) or n * int(graph.exists.sum()) > KEPT:
        return lambda rows: select.circuit(method.moments(problem.some(rows)).mean, graph)
    kept = list[NDArray[np.float32]]()  # filled by the first call, when all that was asked has been checked

    def circuit_of(rows: Rows) -> Circuit:
        if not kept:
            method.moments(problem.some(np.arange(1)))  # what it refuses, it refuses here
            kept.append(_scores(problem, method))
        counts = np.bincount(rows, minlength=n)
        total = np.zeros(graph.shape)
        total[graph.exists] = np.einsum("n,ne->e", counts, kept[0], dtype=np.float64)
        return select.circuit(checked(Moments(total, None, len(rows)), method).mean, graph)

    return circuit_of


def _scores(problem: Problem, method: PerExample) -> NDArray[np.float32]:
    """The scores of single examples, float32 [n, edges]."""
    found = list[NDArray[np.float32]]()
    for batch in problem.batches():
        scores = method.examples(batch, problem).detach().float().cpu().numpy()
        found.append(scores[:, problem.graph.exists])
    return np.concatenate(found)


def _rows(members: Sequence[Rows], rng: np.random.Generator) -> Rows:
    return np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])


def _jaccard(a: Floats, b: Floats) -> Floats:
    """|A and B| / |A or B| of each row of ``a`` with each of ``b``; 1 where both are empty."""
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1) - both
    shares: Floats = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return shares


def _spread(x: Floats) -> Estimate:
    """The mean, and where 95 % are."""
    value, (low, high) = float(x.mean()), np.quantile(x, (0.025, 0.975))
    return Estimate(value, min(value, float(low)), max(value, float(high)), x.size)
