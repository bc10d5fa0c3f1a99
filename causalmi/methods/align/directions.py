"""Which directions tell the values of a variable apart? Found without training, and claimed to be where it lives.

That a direction tells values apart does not say that the network uses it: the pairs that judge do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalmi.errors import DataError
from causalmi.methods.align.method import Fitted, Method, Problem
from causalmi.methods.align.observed import Floats
from causalmi.methods.align.subspaces import label as shown
from causalmi.spec.basis import Basis
from causalmi.spec.site import Site

SMALLEST = 1e-6  # a direction whose singular value is this much less than the largest is rounding


@dataclass(frozen=True, kw_only=True)
class FromValues(Method):
    """What the methods share that find directions from the values of variables.

    ``dims``: how many directions a variable has at most; None for as many as there are, its values minus 1. Of
    variables that share a place, those later in the alignment get directions orthogonal to those before them.
    """

    dims: int | None = None

    @property
    def by_answers(self) -> bool:
        return False

    def problems(self) -> list[str]:
        if self.dims is None or (type(self.dims) is int and self.dims > 0):
            return []
        return [f"dims is {self.dims!r}, it must be a whole number from 1, or None"]

    def spanned(self, problem: Problem, rows: Callable[[Site, str], Floats], **label: Any) -> Fitted:
        """The alignment to what the ``rows`` of each place and variable, [m, width], span."""
        found: dict[tuple[str, Site], Floats] = {}
        for place, variables in problem.places.at.items():
            taken = np.zeros((problem.widths[place], 0))
            for v in variables:
                columns = _leading(rows(place, v), taken, self.dims)
                if not columns.shape[1]:
                    raise DataError(f"nothing at {place} tells the values of {v} apart that other variables leave")
                taken = np.concatenate([taken, columns], 1)
                found[v, place] = columns
        sizes = {v: max(c.shape[1] for (u, _), c in found.items() if u == v) for v in problem.places.of}
        sites = {
            v: tuple(place.along(Basis.of(found[v, place].T)) for place in places)
            for v, places in problem.places.of.items()
        }
        return Fitted({"dims": shown(sizes), **label}, sites)


def _leading(rows: Floats, taken: Floats, dims: int | None) -> Floats:
    """Orthonormal columns that span the most of ``rows``, without what lies in the columns ``taken``."""
    size = np.linalg.norm(rows, axis=1).max(initial=0.0)
    rest = rows - (rows @ taken) @ taken.T
    _, values, directions = np.linalg.svd(rest, full_matrices=False)
    kept = int((values > SMALLEST * size).sum()) if size else 0
    return directions[: min(kept, dims or kept)].T
