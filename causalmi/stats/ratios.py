"""How sure is a ratio of means, where Fieller's interval is not wanted? The delta method and the bootstrap."""

from typing import Any

import numpy as np

from causalmi.stats.estimate import Estimate
from causalmi.stats.means import Floats, mean, ratio
from causalmi.stats.resampling import UndefinedError, bootstrap


def ratio_delta(top: Any, bottom: Any, clusters: Any = None, *, level: float = 0.95) -> Estimate | None:
    """The ratio r = mean(``top``) / mean(``bottom``) of paired values (float [n]) with its delta-method interval.

    r +- t sqrt(V), V = [Var(top) + r^2 Var(bottom) - 2 r Cov(top, bottom)] / (n mean(bottom)^2): that of the mean of
    (top - r bottom) / mean(bottom), with t and ``clusters`` (int [n]) as in :func:`causalmi.stats.means.mean`.
    Symmetric, and too short where the bottom is near 0: prefer :func:`causalmi.stats.means.ratio`. None where that is
    None. Cochran 1977, section 6. Raises DataError as that does.

    >>> print(ratio_delta([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]))
    0.50 [0.19, 0.81]
    """
    fieller = ratio(top, bottom, clusters, level=level)
    if fieller is None:
        return None
    below = np.asarray(bottom, dtype=np.float64)
    rest = mean(np.asarray(top, dtype=np.float64) - fieller.value * below, clusters, level=level)
    half = (rest.high - rest.value) / abs(float(below.mean()))
    return Estimate(fieller.value, fieller.value - half, fieller.value + half, fieller.n)


def ratio_bootstrap(
    top: Any, bottom: Any, clusters: Any = None, *, seed: int, draws: int = 9999, level: float = 0.95
) -> Estimate | None:
    """The ratio mean(``top``) / mean(``bottom``) of paired values (float [n]) with its BCa bootstrap interval.

    Rows, or whole ``clusters``, are resampled, so that top and bottom stay paired. None where
    :func:`causalmi.stats.means.ratio` is None, and where the bottom of a resample is 0. Efron 1987. Raises DataError as
    :func:`causalmi.stats.resampling.bootstrap` does.

    >>> print(ratio_bootstrap([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 8.0], seed=0))
    0.50 [0.41, 0.57]
    """
    if ratio(top, bottom, clusters, level=level) is None:
        return None
    columns = np.stack([np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)], axis=1)
    try:
        return bootstrap(columns, _quotient, clusters, seed=seed, draws=draws, level=level)
    except UndefinedError:
        return None


def _quotient(rows: Floats) -> float:
    top, bottom = rows.sum(0)
    return float(top / bottom) if bottom else float("inf")
