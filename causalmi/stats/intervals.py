"""How sure is a share, and a difference of shares? Intervals that hold near 0 and 1 and for examples that repeat."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from causalmi.errors import DataError
from causalmi.stats.estimate import Estimate


def proportion(hits: Any, clusters: Any = None, *, level: float = 0.95) -> Estimate:
    """The share p of ``hits`` (bool [n]) with Wilson's interval, at the effective sample size when ``clusters`` repeat.

    ``clusters`` (int [n]) says which hits share a sampling unit. Of m < n clusters, n_eff = (n / deff) (t_n / t_m)^2
    with deff = Var_cluster(p) / (p (1 - p) / n) and t_k the quantile of Student's t with k - 1 degrees of freedom,
    between 1 and n. When p is 0 or 1, deff is not known and n_eff = m. Wilson 1927; Korn & Graubard 1998; Dean & Pagano
    2015. Raises DataError when there are no hits, when one is not 0 or 1, or when the lengths differ.

    >>> print(proportion([True] * 9 + [False]))
    0.90 [0.60, 0.98]
    """
    x = _checked(hits, clusters, level)
    p, n, tail = float(x.mean()), x.size, 0.5 + level / 2
    size = n if clusters is None else _effective(x, np.unique(np.asarray(clusters), return_inverse=True)[1], tail)
    z = NormalDist().inv_cdf(tail)
    centre, half = p + z * z / (2 * size), z * math.sqrt(p * (1 - p) / size + (z / (2 * size)) ** 2)
    low, high = ((centre + sign * half) / (1 + z * z / size) for sign in (-1, 1))
    return Estimate(p, min(p, max(0.0, low)), max(p, min(1.0, high)), n)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """The difference a - b of independent estimates, by square-and-add of their intervals (Newcombe 1998, method 10).

    >>> print(difference(Estimate(0.9, 0.8, 0.95, 100), Estimate(0.5, 0.4, 0.6, 50)))
    0.40 [0.26, 0.51]
    """
    d = a.value - b.value
    low = d - math.hypot(a.value - a.low, b.high - b.value)
    high = d + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(d, low, high, min(a.n, b.n))


def _effective(x: NDArray[np.float64], cluster: NDArray[np.int64], tail: float) -> float:
    n, p, m = x.size, float(x.mean()), int(cluster.max()) + 1
    if m == n:
        return n
    if p in (0.0, 1.0) or m == 1:
        return m
    totals = np.bincount(cluster, x - p, minlength=m)
    variance = m / (m - 1) * float(totals @ totals) / n**2  # of p, robust to any dependence within a cluster
    few = (float(stdtrit(n - 1, tail)) / float(stdtrit(m - 1, tail))) ** 2
    return max(1.0, min(n, few * p * (1 - p) / variance)) if variance > 0 else n


def _checked(hits: Any, clusters: Any, level: float) -> NDArray[np.float64]:
    x = np.asarray(hits)
    if x.ndim != 1 or x.size == 0:
        raise DataError(f"hits have the shape {x.shape}; give at least one, in one row.")
    if not np.isin(x, (0, 1)).all():
        raise DataError("hits have values other than 0 and 1; give True for a hit and False for a miss.")
    if clusters is not None and np.shape(clusters) != x.shape:
        raise DataError(
            f"unequal lengths: {x.size} hits and clusters of shape {np.shape(clusters)}; give one cluster each."
        )
    if not 0 < level < 1:
        raise DataError(f"level is {level!r}; give a share between 0 and 1, such as 0.95.")
    return x.astype(np.float64)
