"""Of circuits of growing size, which is the smallest that is faithful enough?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalmi.errors import SpecError
from causalmi.methods.circuits.problem import Problem, Progress, silent
from causalmi.methods.circuits.select import Greedy, TopN
from causalmi.spec.circuit import Circuit
from causalmi.stats.means import ratio

GROWTH = 1.25


@dataclass(frozen=True)
class Smallest:
    """The smallest circuit of the best-scored edges that is faithful on pairs of its own: f >= ``faithfulness`` = a.

    Beyond 2 - a it is as far from the network on the other side, and not taken.

    Sizes grow by a quarter; of each the top edges (``greedy``: from the logits up), by size of their score with
    ``absolute``. With none faithful enough the one nearest to 1. Raises SpecError for a number not between 0 and 1.
    """

    faithfulness: float = 0.9
    greedy: bool = False
    absolute: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.faithfulness < 1:
            raise SpecError(
                "Smallest", [f"faithfulness is {self.faithfulness!r}; give a number from 0 to 1, such as 0.9"]
            )

    def choose(self, scores: Any, problem: Problem, progress: Progress = silent) -> tuple[Circuit, pd.DataFrame]:
        """The circuit, and a row for each that was tried: edges, faithfulness, low, high."""
        clean, none = problem.ends()
        rows, circuits = [], list[Circuit]()
        for n in sizes(len(problem.graph.edges)):
            rule = (Greedy if self.greedy else TopN)(n, absolute=self.absolute)
            circuit = rule.circuit(scores, problem.graph)
            loss = problem.losses([circuit.array])[0]
            found = ratio(none - loss, none - clean, problem.clusters)
            value = (none - loss).mean() / (none - clean).mean() if (none != clean).any() else np.nan
            ends = (np.nan, np.nan) if found is None else (found.low, found.high)
            rows.append((len(circuit), float(value), *ends))
            circuits.append(circuit)
            progress("sizes", n, len(problem.graph.edges))
            if abs(1 - value) <= 1 - self.faithfulness:
                break
        tried = pd.DataFrame(rows, columns=["edges", "faithfulness", "low", "high"])
        best = int((tried["faithfulness"] - 1).abs().fillna(np.inf).argmin())
        return circuits[best], tried


def sizes(edges: int) -> list[int]:
    """1, 2, 3, ... and on by a quarter, to all ``edges``.

    >>> sizes(12)
    [1, 2, 3, 4, 5, 7, 9, 12]
    """
    found = [1]
    while found[-1] < edges:
        found.append(min(edges, max(found[-1] + 1, int(np.ceil(found[-1] * GROWTH)))))
    return found
