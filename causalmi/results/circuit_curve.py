"""How faithful are the circuits of all sizes that one ranking gives? A curve, and the areas under it."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from causalmi.results.verdicts import plain
from causalmi.stats.estimate import Estimate


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CurveResult:
    """The outcome of :func:`causalmi.faithfulness_curve`.

    ``frame`` has a row for each size: fraction, edges (after pruning), weighted, x, value (the metric), faithfulness,
    low, high. ``cpr`` and ``cmd`` are the areas under f and |1 - f| over x, None when faithfulness is undefined, which
    ``degenerate`` says. ``full`` and ``empty`` are the metric of the network and with every edge ablated. ``ranking``
    and ``axis`` say how edges were chosen and what x is: areas compare only where both are the same.
    """

    model: str
    seed: int
    metric: str
    ablation: str
    ranking: str
    axis: str
    frame: pd.DataFrame
    full: Estimate
    empty: Estimate
    cpr: Estimate | None
    cmd: Estimate | None
    degenerate: bool

    @property
    def sentence(self) -> str:
        """Both areas, and what they rest on."""
        if self.cpr is None or self.cmd is None:
            return (
                f"undefined: {self.metric} is {self.full:.3g} of the network and {self.empty:.3g} with every edge "
                "ablated, not significantly different, so there is nothing of which faithfulness could be a share"
            )
        return (
            f"CPR is {self.cpr:.3f} and CMD {self.cmd:.3f} over {self.cpr.n} pairs, edges ranked by {self.ranking}, "
            f"x is {self.axis}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON; NaN as None."""
        rows = self.frame.astype(object).where(self.frame.notna(), None).to_dict("records")
        head = {
            name: getattr(self, name)
            for name in ("model", "seed", "metric", "ablation", "ranking", "axis", "degenerate")
        }
        ends = {name: plain(getattr(self, name)) for name in ("full", "empty", "cpr", "cmd")}
        return {**head, **ends, "curve": rows, "sentence": self.sentence}

    def __str__(self) -> str:
        head = f"faithfulness of circuits of {len(self.frame)} sizes on {self.model}, {self.ablation}, seed {self.seed}"
        table = self.frame.to_string(index=False, float_format=lambda x: f"{x:.4g}")
        return "\n".join([head, *(f"  {line}" for line in table.splitlines()), f"  {self.sentence}"])

    __repr__ = __str__
