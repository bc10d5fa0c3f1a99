"""Which part of the numbers at a place is meant? Their coordinates along some directions: a subspace.

A variable need not have neurons of its own; it may be carried by directions across all of them (Geiger et al. 2024,
"Finding alignments between interpretable causal variables and distributed neural representations").
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import SiteError

DEPENDENT = 1e-6  # a direction no further than this from the span of those before it, both of length 1, adds nothing
ROUNDING = 1e-9


@dataclass(frozen=True)
class Basis:
    """Orthonormal directions, the ``columns`` of a float64 [width, dims] matrix R with R^T R = 1.

    Two are equal, and hash alike, when their numbers are the same bytes. A vector x [width] has the coordinates x R
    [dims]. :meth:`of` makes one of any directions. Raises SiteError for columns that are not orthonormal.
    """

    columns: NDArray[np.float64] = field(compare=False)
    _digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        columns = np.array(self.columns, dtype=np.float64, order="C") + 0.0  # which makes no difference but to -0.0
        if columns.ndim != 2 or not columns.size:
            raise SiteError(f"a basis has shape {columns.shape}; give a matrix [width, dims], or use Basis.of")
        off = np.abs(columns.T @ columns - np.eye(columns.shape[1])).max()
        if not off <= ROUNDING:  # NaN is no basis either
            raise SiteError(f"the columns of a basis are off orthonormal by {off:.1g}; use Basis.of(directions)")
        columns.flags.writeable = False
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "_digest", blake2b(repr(columns.shape).encode() + columns.tobytes()).digest())

    @classmethod
    def of(cls, directions: Any) -> "Basis":
        """The basis of what ``directions``, one [width] or a row for each [dims, width], span.

        They are made orthonormal in their order (Gram & Schmidt, by QR): column i lies in the span of the first i + 1
        rows and on the side of row i. Anything that numpy reads is taken, and torch tensors. Raises SiteError for zero,
        NaN or infinite directions, for more than there are numbers, and for one that lies in the span of others.

        >>> Basis.of([[3.0, 0.0, 0.0], [3.0, -4.0, 0.0]]).columns.T
        array([[ 1.,  0.,  0.],
               [ 0., -1.,  0.]])
        """
        rows = _rows(directions)
        rows = rows / np.abs(rows).max(1, keepdims=True)  # so that no square is too large
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        q, r = np.linalg.qr(rows.T)
        apart = np.diag(r)
        if np.abs(apart).min() <= DEPENDENT:
            number = int((np.abs(apart) <= DEPENDENT).argmax())
            raise SiteError(f"direction {number} lies in the span of those before it; give independent ones")
        return cls(q * np.sign(apart))

    @property
    def width(self) -> int:
        """How many numbers each direction has."""
        return int(self.columns.shape[0])

    @property
    def dims(self) -> int:
        """How many directions there are."""
        return int(self.columns.shape[1])

    def complement(self) -> "Basis":
        """A basis of everything orthogonal to this one; raises SiteError where nothing is."""
        if self.dims == self.width:
            raise SiteError(f"{self} is the whole space, so that nothing is orthogonal to it")
        return Basis(np.linalg.qr(self.columns, mode="complete")[0][:, self.dims :])

    def __repr__(self) -> str:
        return f"Basis({self.dims} of {self.width}, {self._digest.hex()[:4]})"


def _rows(directions: Any) -> NDArray[np.float64]:
    """The directions as rows of finite numbers, none of them zero."""
    try:
        rows = np.array(_plain(directions), dtype=np.float64, ndmin=2)
    except (TypeError, ValueError):
        raise SiteError(
            f"directions are a {type(directions).__name__}; give numbers [width] or [dims, width]"
        ) from None
    if rows.ndim != 2 or not rows.size:
        raise SiteError(f"directions have shape {rows.shape}; give one of shape [width], or rows [dims, width]")
    if not np.isfinite(rows).all():
        raise SiteError("directions have NaN or infinite entries; give finite numbers")
    if not rows.any(1).all():
        raise SiteError(f"direction {int((~rows.any(1)).argmax())} is zero, which points nowhere; leave it out")
    if len(rows) > rows.shape[1]:
        raise SiteError(
            f"there are {len(rows)} directions of {rows.shape[1]} numbers, of which at most {rows.shape[1]} are "
            "independent; give each direction as a row, [dims, width]"
        )
    return rows


def _plain(x: Any) -> Any:
    """What numpy reads without a warning: torch tensors, also in lists, as arrays."""
    if isinstance(x, list | tuple):
        return [_plain(part) for part in x]
    return x.detach().cpu().double().numpy() if hasattr(x, "detach") else x
