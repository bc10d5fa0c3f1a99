"""Does a variable lie where a linear probe reads it? The probe's directions are claimed, and judged by interchange.

Alain & Bengio 2017, "Understanding intermediate layers using linear classifier probes". A probe may well read what the
network does not use.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from causalmi.methods.align.directions import FromValues
from causalmi.methods.align.method import Fitted, Problem
from causalmi.methods.align.observed import Floats, Ints, Observed
from causalmi.methods.readout import STEPS
from causalmi.spec.site import Site


@dataclass(frozen=True, kw_only=True)
class ProbeAlignment(FromValues):
    """The span of the directions of a linear probe for the variable's value at each place.

    ``reads="classes"``: logistic regression, whose weights w_a - w_b, of more than two values their leading ``dims``
    directions, are claimed. ``"number"``: least squares, one direction. Minimised is the mean loss plus
    penalty |w|^2 / 2, of vectors whose mean squared entry about the mean is 1, so that turning the vectors turns the
    directions. Each of ``penalties`` is an alignment of its own. Raises DataError for pairs without values, and for
    values that cannot be read so.
    """

    reads: Literal["classes", "number"] = "classes"
    penalties: tuple[float, ...] = (1e-4, 1e-2, 1.0)
    name = "linear probe"

    def fits(self, problem: Problem) -> list[Fitted]:
        seen = Observed(problem)
        return [self._fitted(problem, seen, penalty) for penalty in self.penalties]

    def _fitted(self, problem: Problem, seen: Observed, penalty: float) -> Fitted:
        return self.spanned(problem, lambda place, v: self._rows(seen, (place, v), penalty), penalty=penalty)

    def alone(self, label: Mapping[str, Any]) -> "ProbeAlignment":
        return replace(self, penalties=(label["penalty"],))

    def problems(self) -> list[str]:
        found = super().problems()
        if self.reads not in ("classes", "number"):
            found.append(f"reads is {self.reads!r}, it must be 'classes' or 'number'")
        given = self.penalties if isinstance(self.penalties, tuple) else ()
        if not given or not all(isinstance(x, int | float) and 0 < x < float("inf") for x in given):
            found.append(f"penalties is {self.penalties!r}, it must be a tuple of one or more positive numbers")
        return found

    def _rows(self, seen: Observed, where: tuple[Site, str], penalty: float) -> Floats:
        x = _scaled(seen.vectors(where[0]))
        if self.reads == "number":
            return least_squares(x, seen.numbers(*where), penalty)
        return logistic(x, seen.kinds(*where), penalty)


def _scaled(x: Floats) -> Floats:
    """``x`` about its mean in units of its size, one for all entries."""
    centred = x - x.mean(0)
    size = float(np.sqrt((centred**2).mean()))
    scaled: Floats = centred / size if size else centred
    return scaled


def logistic(x: Floats, kinds: Ints, penalty: float) -> Floats:
    """Weights less their mean over classes, [classes, width]; of two classes one row."""
    from sklearn.linear_model import LogisticRegression

    probe = LogisticRegression(C=1 / (penalty * len(x)), max_iter=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of steps that ran out
        probe.fit(x, kinds)
    weights: Floats = probe.coef_ if len(probe.coef_) == 1 else probe.coef_ - probe.coef_.mean(0)
    return weights


def least_squares(x: Floats, y: Floats, penalty: float) -> Floats:
    """The weights of ridge regression, [1, width]."""
    gram = x.T @ x / len(x) + penalty * np.eye(x.shape[1])
    weights: Floats = np.linalg.solve(gram, x.T @ (y - y.mean()) / len(x))[None]
    return weights
