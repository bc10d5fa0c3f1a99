"""Do scores find the edges of a circuit that is known? The ROC curve over all thresholds, as for InterpBench."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score, roc_curve

from causalmi.errors import DataError, SpecError
from causalmi.spec.circuit import Circuit
from causalmi.spec.edge_values import Floats, edge_values
from causalmi.spec.graph import Bools
from causalmi.spec.graph_paths import sending

Level = Literal["edge", "node"]


@dataclass(frozen=True, eq=False)
class RocResult:
    """How well scores tell what is in a circuit from what is not.

    ``auc``: the probability that something in it has a higher score than something not in it, ties counting half.
    ``pessimistic``: the area under the staircase through the curve's points, which has of two points the lower one in
    between, as in Conmy et al. 2023: ties count 0. ``frame``: one row for each distinct score from the highest down,
    after one for infinity: threshold, fpr, tpr of what has at least that score.
    """

    auc: float
    pessimistic: float
    frame: pd.DataFrame
    level: Level

    def __str__(self) -> str:
        return f"AUROC of {self.level}s {self.auc:.3f} (staircase {self.pessimistic:.3f})"


def auroc(scores: Any, truth: Circuit, *, level: Level = "edge") -> RocResult:
    """The ROC curve of ``scores``, at all of their values, for what is in ``truth``.

    ``level="edge"``: each edge is one. "node": each head and MLP (or neuron) is one; it is in ``truth`` when it sends
    an edge there, and its score is the highest of the edges that it sends; the inputs are not judged. ``scores``: float
    [class, receiver, sender], a table or a mapping from Edge; take their absolute values first if signs do not matter.
    Raises DataError when ``truth`` has all or none of what is judged, ModelError for NaN. Mueller et al. 2025.
    """
    if level not in ("edge", "node"):
        raise SpecError("auroc", [f"level is {level!r}, it must be edge or node"])
    values = edge_values(scores, truth.graph)
    inside, judged = _edges(truth, values) if level == "edge" else _nodes(truth, values)
    if inside.all() or not inside.any():
        raise DataError(
            f"truth has {int(inside.sum())} of the {len(inside)} {level}s; a curve needs some in and some out."
        )
    fpr, tpr, threshold = roc_curve(inside, judged, drop_intermediate=False)
    frame = pd.DataFrame({"threshold": threshold, "fpr": fpr, "tpr": tpr})
    return RocResult(float(roc_auc_score(inside, judged)), float(np.diff(fpr) @ tpr[:-1]), frame, level)


def _edges(truth: Circuit, values: Floats) -> tuple[Bools, Floats]:
    return truth.array[truth.graph.exists], values[truth.graph.exists]


def _nodes(truth: Circuit, values: Floats) -> tuple[Bools, Floats]:
    sent = np.where(truth.graph.exists, values, -np.inf).max(axis=(0, 1))
    first = len(truth.graph.inputs)
    return sending(truth.array)[first:], sent[first:]
