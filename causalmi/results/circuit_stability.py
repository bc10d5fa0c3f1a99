"""Would other examples have given the same circuit? How alike the circuits of resampled examples are."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from causalmi.results.verdicts import plain
from causalmi.stats.estimate import Estimate

SHOWN = 12


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StabilityResult:
    """The outcome of :func:`causalmi.circuit_stability`; ``circuit`` is that of all examples.

    ``jaccard`` is the mean of |A and B| / |A or B| over all two circuits of resamples, ``to_circuit`` the mean over
    resamples of that with the circuit of all examples; their ends are where 95 % of them are. ``sizes`` likewise.
    ``frame`` has a row for each edge that any of them has: sender, receiver, (position), ``frequency``, the share of
    resamples that have it, and ``in_circuit``; the most frequent first.
    """

    model: str
    seed: int
    method: str
    select: str
    circuit: Any
    frame: pd.DataFrame
    jaccard: Estimate
    to_circuit: Estimate
    sizes: Estimate
    n_resamples: int
    n: int

    @property
    def sentence(self) -> str:
        """How alike the circuits are, and on how many edges all agree."""
        always, ever = int((self.frame["frequency"] == 1).sum()), len(self.frame)
        return (
            f"the Jaccard index of circuits of {self.n_resamples} resamples of {self.n} pairs is {self.jaccard:.2f} "
            f"({self.to_circuit:.2f} with the circuit of all); {always} of {ever} edges are in every one"
        )

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON."""
        head = {name: getattr(self, name) for name in ("model", "seed", "method", "select", "n_resamples", "n")}
        numbers = {name: plain(getattr(self, name)) for name in ("jaccard", "to_circuit", "sizes")}
        return {**head, **numbers, "edges": self.frame.to_dict("records"), "sentence": self.sentence}

    def __str__(self) -> str:
        by = f", {self.select}" if self.select else ""
        head = f"circuits by {self.method} on {self.model}{by}, seed {self.seed}: {self.sizes:.0f} edges"
        table = self.frame.head(SHOWN).to_string(index=False, float_format=lambda x: f"{x:.2f}").splitlines()
        more = [f"... and {len(self.frame) - SHOWN} edges more"] if len(self.frame) > SHOWN else []
        return "\n".join([head, *(f"  {line}" for line in [*table, *more]), f"  {self.sentence}"])

    __repr__ = __str__
