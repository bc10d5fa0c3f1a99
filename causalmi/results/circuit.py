"""Is a circuit what the network does? One finding for each test of it, all beside random circuits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from causalmi.results.verdicts import Controls, Result, Verdict, plain, summary, weakest
from causalmi.stats.estimate import Estimate

COLUMNS = ["test", "value", "low", "high", "n", "p", "p_adjusted", "verdict", "sentence"]


@dataclass(frozen=True, kw_only=True)
class CircuitFinding:
    """What one test of a circuit showed.

    ``estimate`` is its number with the interval, ``value`` the number alone where it has none. ``p_adjusted`` is
    Holm's, over all p-values but those of faithfulness and its controls, one claim whose p is the largest of theirs.
    ``details`` has what else the test found, in plain values.
    """

    name: str
    verdict: Verdict
    sentence: str
    estimate: Estimate | None = None
    value: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    controls: Controls = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> dict[str, Any]:
        """The finding as a row of the table; NaN where there is no such number."""
        e, nan = self.estimate, float("nan")
        numbers = (e.value, e.low, e.high, e.n) if e else (nan if self.value is None else self.value, nan, nan, nan)
        p = [nan if p is None else p for p in (self.p, self.p_adjusted)]
        return dict(zip(COLUMNS, (self.name, *numbers, *p, self.verdict, self.sentence), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """The finding in plain values, for JSON."""
        number = {} if self.estimate else {"value": self.value}
        controls = {name: plain(x) for name, x in self.controls.items()}
        ps = {"p": self.p, "p_adjusted": self.p_adjusted}
        return {**summary(self), **number, **ps, "controls": controls, "details": dict(self.details)}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CircuitEvaluation(Result):
    """The outcome of :func:`causalmi.evaluate_circuit`; ``subject`` is the circuit.

    ``full``, ``empty`` and ``own`` are the metric of the network, with every edge ablated, and of the circuit.
    ``degenerate``: the first two do not differ, so that faithfulness is undefined; ``inverted``: the circuit is better
    than the network, or the network worse than with every edge ablated. ``frame`` has a row for each test, ``frames``
    also one for each edge ("edges") and each random circuit ("random"), where those were tested.
    The verdict is that of faithfulness beside its controls; without that test, the worst of all.
    """

    measure = "faithfulness"
    test: str = "circuit"
    metric: str
    ablation: str
    direction: str
    full: Estimate
    empty: Estimate
    own: Estimate
    degenerate: bool
    inverted: bool
    findings: tuple[CircuitFinding, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[CircuitFinding, ...]:
        """The findings."""
        return self.findings

    @property
    def deciding(self) -> CircuitFinding:
        """The finding that decides."""
        return next((f for f in self.findings if f.name == "faithfulness"), None) or weakest(self.findings)

    @property
    def estimate(self) -> Estimate | None:
        """The faithfulness: a ratio of means, with Fieller's interval; None where it is undefined."""
        return self.deciding.estimate

    @property
    def control(self) -> Estimate | None:
        """The faithfulness of random circuits of the kind that comes closest: its mean, and where 95 % of them are."""
        had = [x for x in self.deciding.controls.values() if isinstance(x, Estimate)]
        return min(had, key=lambda x: abs(1 - x.value), default=None)

    @property
    def verdict(self) -> Verdict:
        """supported, rejected, inconclusive or uninformative."""
        return self.deciding.verdict

    @property
    def sentence(self) -> str:
        """The verdict and the numbers it rests on."""
        return self.deciding.sentence

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The table of the tests, and those of single edges and of random circuits."""
        return {self.test: self.frame, **self.tables}

    def __getitem__(self, name: str) -> CircuitFinding:
        """The finding of that name; raises KeyError for one that is not there."""
        return {f.name: f for f in self.findings}[name]

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON; without the frames."""
        ends = {name: plain(getattr(self, name)) for name in ("full", "empty", "own")}
        flags = {"degenerate": self.degenerate, "inverted": self.inverted}
        how = {name: getattr(self, name) for name in ("metric", "ablation", "direction")}
        return {**super().to_dict(), **how, **ends, **flags}

    def _lines(self) -> Iterator[str]:
        yield f"{self.hypothesis} on {self.model}, seed {self.seed}: {self.claim}"
        yield f"  {self.metric}: {self.full:.4g} of the network, {self.own:.4g} of the circuit"
        yield f"    {self.empty:.4g} with every edge ablated ({self.ablation}, {self.direction})"
        for found in self.findings:
            yield f"  {found.name}: {found.sentence}"
            yield from (f"    {control}: {x}" for control, x in found.controls.items())
        yield f"  {self.sentence}"
