"""How sure is any statistic of a sample? The bootstrap, of examples or of whole clusters of them."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import DataError
from causalmi.rng import stream
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import Floats, checked

METHODS = {"bca": "BCa", "percentile": "percentile"}  # what scipy calls them
CHUNK = 128  # resamples at a time

Statistic = Callable[[Floats], Any]
Rows = NDArray[np.intp]


class _Members:
    """Which rows the chosen clusters have, one after the other."""

    def __init__(self, clusters: NDArray[Any]):
        unit = np.unique(clusters, return_inverse=True)[1]
        self.sizes = np.bincount(unit)
        self.units = len(self.sizes)
        self.order: Rows = np.argsort(unit, kind="stable")  # all rows of the first, all of the second, ...
        self.starts = np.cumsum(self.sizes) - self.sizes

    def __call__(self, chosen: Rows) -> Rows:
        if self.units == len(self.order):
            return self.order[chosen]
        sizes = self.sizes[chosen]
        shifts = self.starts[chosen] - (np.cumsum(sizes) - sizes)
        within: Rows = np.repeat(shifts, sizes) + np.arange(sizes.sum())
        return self.order[within]


class UndefinedError(DataError):
    """The statistic has no finite value on the sample, or on a resample of it."""


def bootstrap(  # noqa: PLR0913  (what is asked, and how)
    x: Any,
    statistic: Statistic = np.mean,
    clusters: Any = None,
    *,
    seed: int,
    draws: int = 9999,
    level: float = 0.95,
    method: str = "bca",
) -> Estimate:
    """The ``statistic`` of ``x`` (float [n], or [n, k] for k paired columns) with its bootstrap interval.

    ``statistic`` takes such an array of any length and gives a number. A resample is n rows of ``x`` drawn with
    replacement; with ``clusters`` (int [n]), m of the m clusters, each with all its rows: large ones weigh more.
    ``"percentile"``: the quantiles of ``draws`` resampled statistics; ``"bca"``: the same at levels corrected for bias
    and skewness, and the percentiles where that correction is undefined. A sample without variation has no width.
    The interval is widened to the value where it would not hold it. Efron 1987; Field & Welsh 2007. Raises DataError
    when a value or the statistic is not finite, the lengths differ, or there are fewer than two clusters.

    >>> print(bootstrap([1.0, 2.0, 3.0, 4.0], seed=0))
    2.50 [1.50, 3.50]
    """
    rows, members = _checked(x, clusters, draws, level, method)
    value = _number(statistic(rows))
    if (rows == rows[0]).all():
        return Estimate(value, value, value, len(rows))

    def resampled(chosen: Rows) -> float:
        return _number(statistic(rows[members(chosen)]))

    low, high = _interval(resampled, members.units, draws, stream(seed, "bootstrap"), level, method)
    return Estimate(value, min(value, low), max(value, high), len(rows))


def _interval(
    resampled: Callable[[Rows], float], size: int, draws: int, generator: np.random.Generator, level: float, method: str
) -> tuple[float, float]:
    """The ends of the interval of a statistic of chosen units, of which there are ``size``."""
    from scipy import stats

    def statistics(chosen: Rows, axis: int) -> Floats:  # scipy's own loop takes several times as long
        units = np.moveaxis(chosen, axis, -1).astype(np.intp)
        values = [resampled(row) for row in units.reshape(-1, units.shape[-1])]
        return np.reshape(values, units.shape[:-1])

    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(size),),
            statistics,
            n_resamples=draws,
            batch=CHUNK,
            vectorized=True,
            confidence_level=level,
            method=METHODS[method],
            random_state=generator,  # scipy 1.15 and later also call it rng
        )
    low, high = found.confidence_interval
    if not math.isfinite(low + high):  # no resample on one side of the value, or a jackknife that does not vary
        low, high = np.quantile(found.bootstrap_distribution, (0.5 - level / 2, 0.5 + level / 2))
    return float(low), float(high)


def _number(value: Any) -> float:
    if np.ndim(value) != 0:
        raise DataError(f"the statistic has the shape {np.shape(value)}; it must give one number for all rows.")
    if not math.isfinite(value):
        raise UndefinedError(f"the statistic is {value} on a resample; take one that is defined on all of them.")
    return float(value)


def _checked(x: Any, clusters: Any, draws: int, level: float, method: str) -> tuple[Floats, _Members]:
    array = np.asarray(x, dtype=np.float64)
    rows = checked(array.T if array.ndim == 2 else [array], clusters, level)
    members = _Members(np.arange(len(rows)) if clusters is None else np.asarray(clusters))
    if members.units < 2:
        raise DataError(f"a bootstrap needs two independent values or more; the {len(rows)} given are one cluster.")
    if method not in METHODS:
        raise DataError(f"the method is {method!r}; give one of {', '.join(METHODS)}.")
    if draws < 1:
        raise DataError(f"draws is {draws!r}; give a number from 1, such as 9999.")
    return rows if array.ndim == 2 else rows[:, 0], members
