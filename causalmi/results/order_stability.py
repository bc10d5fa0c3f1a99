"""Does the circuit depend on the order in which a search visits the edges? The circuits of several orders, compared."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SHOWN = 12


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class OrderStability:
    """The outcome of :func:`causalmi.order_stability`.

    ``frame`` has a row for each order: ``senders``, ``heads``, ``seed``, ``edges`` and the ``metric`` of the circuit,
    its mean over the pairs. ``circuits`` are in the same order, and ``jaccard`` float64 [order, order] is
    |A and B| / |A or B| of each two of them, 1 where both are empty.
    """

    model: str
    method: str
    metric: str
    seed: int
    frame: pd.DataFrame
    circuits: tuple[Any, ...]
    jaccard: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The mean Jaccard index of two different orders."""
        return float(self.jaccard[np.triu_indices(len(self.jaccard), 1)].mean())

    @property
    def always(self) -> Any:
        """The circuit of the edges that every order keeps."""
        found = self.circuits[0]
        for circuit in self.circuits[1:]:
            found = found & circuit
        return found

    @property
    def sentence(self) -> str:
        """How alike the circuits are, and on how many edges all agree."""
        ever = frozenset().union(*(circuit.edges for circuit in self.circuits))
        return (
            f"the mean Jaccard index of the circuits of {len(self.circuits)} orders is {self.mean:.2f}; "
            f"{len(self.always)} of {len(ever)} edges are in every one"
        )

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON."""
        head = {name: getattr(self, name) for name in ("model", "method", "metric", "seed")}
        numbers = {"mean": self.mean, "jaccard": self.jaccard.tolist(), "orders": _rows(self.frame)}
        edges = [sorted(map(str, circuit.edges)) for circuit in self.circuits]
        return {**head, **numbers, "edges": edges, "sentence": self.sentence}

    def __str__(self) -> str:
        head = f"orders of {self.method} on {self.model}, seed {self.seed}"
        table = self.frame.head(SHOWN).to_string(index=False, float_format=lambda x: f"{x:.4g}").splitlines()
        more = [f"... and {len(self.frame) - SHOWN} orders more"] if len(self.frame) > SHOWN else []
        return "\n".join([head, *(f"  {line}" for line in [*table, *more]), f"  {self.sentence}"])

    __repr__ = __str__


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Plain values; None for an order without a seed."""
    rows: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return rows
