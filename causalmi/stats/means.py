"""How sure is a mean, and a ratio of means? Student's and Fieller's intervals, for examples that repeat."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from causalmi.errors import DataError
from causalmi.stats.estimate import Estimate

Floats = NDArray[np.float64]


def mean(x: Any, clusters: Any = None, *, level: float = 0.95) -> Estimate:
    """The mean of ``x`` (float [n]) with Student's t interval, robust to dependence within ``clusters`` (int [n]).

    mean +- t sqrt(V), where V = m / (m - 1) sum_g (sum_{i in g} (x_i - mean))^2 / n^2 over the m clusters g, and t has
    m - 1 degrees of freedom; without clusters, V = s^2 / n. Liang & Zeger 1986; Cameron & Miller 2015. Raises DataError
    when a value is not finite, the lengths differ, or there are fewer than two clusters.

    >>> print(mean([1.0, 2.0, 3.0]))
    2.00 [-0.48, 4.48]
    """
    columns = checked([x], clusters, level)
    value, totals = _centred(columns, clusters)
    half = _quantile(totals, level) * math.sqrt(_covariance(totals)[0, 0])
    return Estimate(float(value[0]), float(value[0]) - half, float(value[0]) + half, len(columns))


def ratio(top: Any, bottom: Any, clusters: Any = None, *, level: float = 0.95) -> Estimate | None:
    """The ratio mean(``top``) / mean(``bottom``) of paired values (float [n]) with Fieller's interval.

    All r for which mean(top - r bottom) is not significantly different from 0 by the t-test of :func:`mean`. None when
    mean(bottom) is not significantly different from 0 itself: then such r have no bound. Fieller 1954. Raises DataError
    as :func:`mean` does.

    >>> print(ratio([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]))
    0.50 [-0.32, 0.69]
    """
    columns = checked([top, bottom], clusters, level)
    (a, b), totals = _centred(columns, clusters)
    t = _quantile(totals, level)
    if b * b <= t * t * _covariance(totals)[1, 1]:
        return None
    r = float(a / b)
    below, above = _fieller(float(b), t, _covariance(totals @ np.array([[1.0, 0.0], [-r, 1.0]])))
    return Estimate(r, r + below, r + above, len(columns))


def standard_error(x: Any, clusters: Any = None) -> tuple[float, float, int]:
    """The mean of ``x`` (float [n]), sqrt(V) as in :func:`mean`, and the degrees of freedom m - 1.

    >>> standard_error([1.0, 2.0, 3.0, 2.0])
    (2.0, 0.408248290463863, 3)
    """
    value, totals = _centred(checked([x], clusters), clusters)
    return float(value[0]), math.sqrt(_covariance(totals)[0, 0]), len(totals) - 1


def cluster_totals(x: Floats, clusters: Any) -> Floats:
    """The sums of ``x`` [n, k] over each of m clusters, [m, k]; without clusters every row is one."""
    if clusters is None:
        return x
    unit = np.unique(np.asarray(clusters), return_inverse=True)[1]
    totals = np.zeros((int(unit.max()) + 1, x.shape[1]))
    np.add.at(totals, unit, x)
    return totals


def checked(columns: Any, clusters: Any = None, level: float = 0.95) -> Floats:
    """The ``columns``, k of length n, as a finite float64 array [n, k]; raises DataError for what is none."""
    shapes = {np.shape(column) for column in columns}
    if len(shapes) > 1 or len(*shapes) != 1 or (0,) in shapes:
        raise DataError(f"the values have the shape {', '.join(map(str, shapes))}; give rows of one length, not empty.")
    x = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    if not np.isfinite(x).all():
        raise DataError(f"value {int((~np.isfinite(x)).any(1).argmax())} of {len(x)} is not finite; a mean needs all.")
    if clusters is not None and np.shape(clusters) != x.shape[:1]:
        raise DataError(
            f"unequal lengths: {len(x)} values and clusters of shape {np.shape(clusters)}; give one cluster each."
        )
    if not 0 < level < 1:
        raise DataError(f"level is {level!r}; give a share between 0 and 1, such as 0.95.")
    return x


def _centred(x: Floats, clusters: Any) -> tuple[Floats, Floats]:
    """The means [k] of ``x`` [n, k], and how far each cluster moves them [m, k]."""
    value = x[0] + (x - x[0]).mean(0)  # exact for a constant, whose interval has no width
    totals = cluster_totals(x - value, clusters) / len(x)
    if len(totals) < 2:
        raise DataError(f"an interval needs two independent values or more; the {len(x)} given are one cluster.")
    return value, totals


def _covariance(totals: Floats) -> Floats:
    return len(totals) / (len(totals) - 1) * totals.T @ totals


def _quantile(totals: Floats, level: float) -> float:
    return float(stdtrit(len(totals) - 1, 0.5 + level / 2))


def _fieller(b: float, t: float, covariance: Floats) -> tuple[float, float]:
    """The ends d of d^2 b^2 <= t^2 (V_ee - 2 d V_eb + d^2 V_bb), where e = top - r bottom, of mean 0.

    So r + d is in the interval; in this form nothing cancels, and d = 0 is always inside.
    """
    (ee, eb), bb = covariance[0], covariance[1, 1]
    a = b * b - t * t * bb
    middle, half = -t * t * eb, t * math.sqrt(t * t * eb * eb + a * ee)
    return (middle - half) / a, (middle + half) / a
