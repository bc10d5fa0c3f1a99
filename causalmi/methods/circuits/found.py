"""What was found? A circuit, how it was found, and how faithful it is on pairs that the search did not see."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.edges.incremental import Cost
from causalmi.spec.circuit import Circuit
from causalmi.stats.estimate import Estimate


@dataclass(frozen=True, eq=False)
class CircuitResult:
    """The ``circuit``, and the pairs on which it was searched, selected and judged (``held_out``; None: all searched).

    ``faithfulness`` is (L(none) - L(circuit)) / (L(none) - L(all edges)) of mean losses, on the pairs held out, None
    where the denominator may be 0. ``frame``: for a search a row for each decision (sender, receiver, kept, effect), in
    the order of their visit; for scores the table of `edge_scores`. ``settings`` is everything the result depends on.
    ``margin``: the smallest |effect - threshold| of all decisions. ``tried``: the circuits of which one was selected.
    """

    circuit: Circuit
    frame: pd.DataFrame
    settings: dict[str, Any]
    search: CounterfactualPairs
    held_out: CounterfactualPairs | None
    faithfulness: Estimate | None
    cost: Cost | None = None
    margin: float | None = None
    redundant: pd.DataFrame | None = None
    tried: pd.DataFrame | None = None
    losses: dict[str, float] = field(default_factory=dict)

    @property
    def edges(self) -> frozenset[Any]:
        """The circuit's edges."""
        return self.circuit.edges

    def __str__(self) -> str:
        size = f"{len(self.circuit):,} of {len(self.circuit.graph.edges):,} edges ({len(self.circuit.nodes)} nodes)"
        where = "the pairs searched on" if self.held_out is None else f"{len(self.held_out)} pairs held out"
        how = "not defined, for ablating all edges does not clearly change the metric"
        f = how if self.faithfulness is None else str(self.faithfulness)
        return f"{self.settings['method']} keeps {size}; faithfulness in {self.settings['metric']} on {where}: {f}"

    def __repr__(self) -> str:
        return f"<CircuitResult: {self}>"

    def to_dict(self) -> dict[str, Any]:
        """What can be written as JSON."""
        f = self.faithfulness
        found = {
            "edges": [str(edge) for edge in sorted(self.circuit.edges)],
            "n_edges": len(self.circuit),
            "faithfulness": None if f is None else {"value": f.value, "low": f.low, "high": f.high, "n": f.n},
            "losses": self.losses,
            "margin": self.margin,
            "settings": self.settings,
        }
        return found | ({} if self.cost is None else {"cost": vars(self.cost)})
