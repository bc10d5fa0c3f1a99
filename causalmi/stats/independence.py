"""Does one score tell anything about another, linear or not? The Hilbert-Schmidt independence criterion."""

from typing import Any

import numpy as np

from causalmi.errors import DataError
from causalmi.rng import stream
from causalmi.stats.means import Floats
from causalmi.stats.multiplicity import permutation_p


def hsic(x: Any, y: Any, widths: tuple[float, float] | None = None) -> float:
    """tr(K H L H) / (n - 1)^2 for Gaussian kernels K of ``x`` and L of ``y`` (float [n] or [n, k]); H = 1 - 11'/n.

    K_ij = exp(-|x_i - x_j|^2 / (2 w^2)). ``widths`` are those of x and of y; unless given, the medians of |x_i - x_j|
    and of |y_i - y_j| over i < j, each of its own, or of those above 0 when the median is 0. 0 when one of them is
    constant. Gretton et al. 2005. Raises DataError when a value is not finite, the lengths differ, n < 2, or a width is
    not above 0.

    >>> x = [0.0, 1, 2, 3, 4, 5, 6, 7]
    >>> round(hsic(x, [v * v for v in x], widths=(9, 9)), 6)
    0.020613
    """
    return _criterion(*_kernels(x, y, widths))


def hsic_test(x: Any, y: Any, widths: tuple[float, float] | None = None, *, seed: int, draws: int = 999) -> float:
    """The p-value of H0: ``x`` and ``y`` (float [n] or [n, k]) are independent, by :func:`hsic` and permutations of y.

    p = (1 + #{HSIC(x, pi y) >= HSIC(x, y)}) / (1 + ``draws``). Gretton et al. 2007; Shi et al. 2024 for the scores of a
    network and of what a circuit leaves out. Raises DataError as :func:`hsic` does.

    >>> hsic_test(range(40), [(v - 20) ** 2 for v in range(40)], seed=0)
    0.001
    """
    if draws < 1:
        raise DataError(f"draws is {draws!r}; give a number from 1, such as 999.")
    K, L = _kernels(x, y, widths)
    generator = stream(seed, "hsic")
    orders = (generator.permutation(len(L)) for _ in range(draws))
    return permutation_p(_criterion(K, L), [_criterion(K, L[np.ix_(order, order)]) for order in orders])


def _criterion(K: Floats, L: Floats) -> float:
    """tr(K L) / (n - 1)^2 for K that is centred already: never below 0, but for rounding."""
    return max(0.0, float(np.vdot(K, L)) / (len(K) - 1) ** 2)


def _kernels(x: Any, y: Any, widths: tuple[float, float] | None) -> tuple[Floats, Floats]:
    """H K H and L."""
    one, other = _points(x), _points(y)
    if len(one) != len(other):
        raise DataError(f"unequal lengths: {len(one)} and {len(other)} values; give pairs.")
    first, second = widths or (None, None)
    K, L = _kernel(one, first), _kernel(other, second)
    K = K - K.mean(0)
    return K - K.mean(1, keepdims=True), L


def _kernel(points: Floats, width: float | None) -> Floats:
    from scipy.spatial.distance import pdist, squareform

    distances = pdist(points)
    if width is None:
        width = _typical(distances)
    if not 0 < width < np.inf:
        raise DataError(f"the width of a kernel is {width!r}; give a number above 0, or leave widths out.")
    kernel: Floats = np.exp(-(squareform(distances / width) ** 2) / 2)
    return kernel


def _typical(distances: Floats) -> float:
    """The median; of those above 0 when most are 0, and any number when all are."""
    apart = distances[distances > 0]
    return float(np.median(distances)) or (float(np.median(apart)) if apart.size else 1.0)


def _points(x: Any) -> Floats:
    points = np.asarray(x, dtype=np.float64)
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or len(points) < 2 or points.shape[1] == 0:
        raise DataError(f"the values have the shape {np.shape(x)}; give [n] or [n, k] with n of 2 or more.")
    if not np.isfinite(points).all():
        raise DataError("some values are not finite; leave out what was not measured.")
    return points
