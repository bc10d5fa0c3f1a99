"""Does what is read of a subspace move by itself? Natural movement, what an interchange puts in, and class means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalmi.methods.illusion.splitting import Floats, Split
from causalmi.spec.columns import groups


@dataclass(frozen=True)
class Movement:
    """Sums over directions of one subspace, or of several places that are interchanged together.

    ``put``: E|U U^T V V^T (s - x)|^2, how far interchange moves what is read. ``natural``: E|R^T (s - x)|^2 for the
    unit row parts R, how far that differs by itself. ``variance``: that of R^T x, ``typical`` what it would be along
    random directions of what is read. ``null`` and ``row``: variance between the variable's values along each part of
    V, unbiased; None where values do not come up again.
    """

    put: float = 0.0
    natural: float = 0.0
    variance: float = 0.0
    typical: float = 0.0
    null: float | None = 0.0
    row: float | None = 0.0

    def __add__(self, other: "Movement") -> "Movement":
        def known(a: float | None, b: float | None) -> float | None:
            return None if a is None or b is None else a + b

        return Movement(
            self.put + other.put,
            self.natural + other.natural,
            self.variance + other.variance,
            self.typical + other.typical,
            known(self.null, other.null),
            known(self.row, other.row),
        )

    @property
    def activity(self) -> float | None:
        """``natural`` / ``put``; None where interchange moves nothing that is read."""
        return self.natural / self.put if self.put > 0 else None

    @property
    def spread(self) -> float | None:
        """``variance`` / ``typical``; None where nothing that is read varies."""
        return self.variance / self.typical if self.typical > 0 else None

    @property
    def separation(self) -> float | None:
        """``null`` / (``null`` + ``row``); None where the values are not apart, or not known."""
        if self.null is None or self.row is None or self.null + self.row <= 0:
            return None
        return self.null / (self.null + self.row)


def movement(split: Split, x: Floats, other: Floats, values: Sequence[Any] | None) -> Movement:
    """How ``split`` moves on natural data ``x`` [n, width], from ``x`` to ``other`` [n, width], by ``values`` of x."""
    change, row = other - x, split.row_alone
    put = ((change @ split.directions) @ split.row.T) ** 2
    scatter = (x - x.mean(0)) @ split.read
    along = (x - x.mean(0)) @ row.columns if row is not None else np.zeros((len(x), 0))
    rank = max(1, split.read.shape[1])
    return Movement(
        put=float(put.sum(1).mean()),
        natural=0.0 if row is None else float(((change @ row.columns) ** 2).sum(1).mean()),
        variance=float((along**2).sum(1).mean()),
        typical=float((scatter**2).sum(1).mean()) * along.shape[1] / rank,
        null=None if values is None else between(x @ split.null, values),
        row=None if values is None else between(x @ split.row, values),
    )


def between(x: Floats, values: Sequence[Any]) -> float | None:
    """The variance of class means of ``x`` [n, k], summed over k: sum_c (n_c / n) |m_c - m|^2 without its bias.

    The bias, (C - 1) / n times the variance within classes, is what classes that do not differ would give. Only values
    that come up twice count; None when fewer than two do.

    >>> between(np.array([[0.0], [0.0], [2.0], [2.0]]), "aabb")
    1.0
    """
    classes = [np.asarray(rows) for rows in groups(values).values() if len(rows) > 1]
    if len(classes) < 2:
        return None
    every = np.concatenate(classes)
    middle, n = x[every].mean(0), len(every)
    apart = sum(len(rows) * float(((x[rows].mean(0) - middle) ** 2).sum()) for rows in classes) / n
    within = sum(float(((x[rows] - x[rows].mean(0)) ** 2).sum()) for rows in classes) / (n - len(classes))
    return max(0.0, apart - (len(classes) - 1) / n * within)
