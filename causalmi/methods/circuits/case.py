"""What is known of a circuit before it is judged? Its loss on each example, beside both ends and random circuits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.special import stdtr

from causalmi.errors import DataError
from causalmi.methods.circuits.random_circuits import random_circuits
from causalmi.methods.circuits.rule import How
from causalmi.results.verdicts import Controls, Verdict
from causalmi.spec.graph import Bools
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import Floats, cluster_totals, mean, ratio, standard_error

MASKS = 2**26  # numbers in the masks of circuits that are run at a time
ROUNDING = 1e-5  # relative to the largest loss: what sums of float32 in another order may differ by


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a test measured, before all p-values are known.

    ``shows`` is the verdict when p, adjusted, is at most .05; ``otherwise`` that when it is not, or there is no p.
    ``part``: it is part of the claim of faithfulness.
    """

    name: str
    said: str
    otherwise: Verdict
    shows: Verdict = "supported"
    estimate: Estimate | None = None
    value: float | None = None
    p: float | None = None
    controls: Controls = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    table: pd.DataFrame | None = None
    part: bool = False


class Case:
    """A circuit and a problem that was made ready. Losses: the higher, the worse, float64 [n]; m(x) = -loss."""

    def __init__(self, problem: Any, circuit: Any, how: How):
        self.problem, self.circuit, self.how = problem, circuit, how
        self.array: Bools = np.asarray(circuit.array)
        self.exists: Bools = np.asarray(problem.graph.exists)
        self.clusters = np.unique(np.asarray(problem.clusters), return_inverse=True)[1]
        if self.clusters.max(initial=0) < 1:
            raise DataError("all pairs share one base, so nothing has an interval; give pairs of two bases or more")
        self._random: dict[str, tuple[list[Bools], Floats]] = {}

    @cached_property
    def ends(self) -> tuple[Floats, Floats]:
        """Both of the following."""
        clean, ablated = self.problem.ends()
        return np.asarray(clean, dtype=np.float64), np.asarray(ablated, dtype=np.float64)

    @property
    def full(self) -> Floats:
        """The losses of the network."""
        return self.ends[0]

    @property
    def empty(self) -> Floats:
        """The losses with every edge ablated."""
        return self.ends[1]

    @cached_property
    def own(self) -> Floats:
        """The losses of the circuit."""
        (losses,) = self.losses([self.array])
        return np.asarray(losses)

    @cached_property
    def others(self) -> Floats:
        """The losses of the network without the circuit's edges."""
        (losses,) = self.losses([self.exists & ~self.array])
        return np.asarray(losses)

    @property
    def span(self) -> Floats:
        """m(full) - m(empty) of each example."""
        return self.empty - self.full

    @property
    def sign(self) -> int:
        """1 when the network is better than with every edge ablated on the whole, else -1."""
        return 1 if self.span.mean() >= 0 else -1

    @cached_property
    def tolerance(self) -> float:
        """Differences up to this are rounding."""
        return ROUNDING * float(np.abs([self.full, self.empty]).max())

    @property
    def tie(self) -> float:
        """Shares of mean(m(full) - m(empty)) up to this far apart are the same."""
        return self.tolerance / abs(float(self.span.mean()))

    @cached_property
    def degenerate(self) -> bool:
        """Whether mean(m(full) - m(empty)) is not significantly different from 0."""
        e = mean(self.span, self.clusters)
        return e.low <= 0 <= e.high or abs(e.value) <= max(self.tolerance, self.problem.noise)

    def losses(self, keeps: Iterable[Bools]) -> Floats:
        """The losses of m circuits, float64 [m, n]."""
        left, found = iter(keeps), list[Floats]()
        while chunk := list(islice(left, max(1, MASKS // self.exists.size))):
            found.append(np.asarray(self.problem.losses(np.stack(chunk)), dtype=np.float64))
        return np.concatenate(found) if found else np.empty((0, len(self.full)))

    def share(self, losses: Floats) -> Floats:
        """(m(x) - m(empty)) / (m(full) - m(empty)), a ratio of means: float64 [m] of ``losses`` [m, n]."""
        shares: Floats = (self.empty - losses).mean(-1) / self.span.mean()
        return shares

    def ratio(self, top: Floats) -> Estimate | None:
        """mean(``top``) as a share of mean(m(full) - m(empty)), with Fieller's interval."""
        return ratio(top, self.span, self.clusters)

    def random(self, kind: str) -> tuple[list[Bools], Floats]:
        """Random circuits as large as this one, and their losses [n_random, n]; drawn and run once."""
        if kind not in self._random:
            drawn = random_circuits(self.circuit, cast(Any, kind), n=self.how.n_random, seed=self.how.seed)
            arrays = [np.asarray(c.array) for c in drawn]
            self._random[kind] = arrays, self.losses(arrays)
        return self._random[kind]

    def metric(self, losses: Floats) -> Estimate:
        """The metric itself, with its interval."""
        sign = -1 if self.problem.metric.better == "higher" else 1
        return mean(sign * losses, self.clusters)

    def units(self, x: Floats) -> Floats:
        """The mean of ``x`` [n] over each base, which alone are independent."""
        sizes = np.bincount(self.clusters)
        totals: Floats = cluster_totals(x[:, None], self.clusters)[:, 0] / sizes
        return totals

    def settled(self, x: Floats) -> Floats:
        """``x``, 0 where it is rounding alone."""
        return np.where(np.abs(x) <= self.tolerance, 0.0, x)


def above_zero(x: Floats, clusters: Any) -> float:
    """The p-value of H0: the mean of ``x`` [n] is at most 0; Student's t, robust to ``clusters``."""
    value, error, freedom = standard_error(x, clusters)
    return float(stdtr(freedom, -value / error)) if error > 0 else float(value <= 0)
