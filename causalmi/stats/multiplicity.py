"""Which of many effects are not chance? Exact sign-flip tests, and p-values that know how many were looked at."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import DataError
from causalmi.rng import stream
from causalmi.stats.means import Floats, cluster_totals

ADJUSTMENTS = {"bh": "fdr_bh", "by": "fdr_by", "holm": "holm"}  # what statsmodels calls them
CHUNK = 128  # flips at a time; fixed, so that a column's p does not depend on the other columns


def sign_flip(x: Any, clusters: Any = None, *, seed: int, draws: int = 9999) -> Floats:
    """Two-sided p-values, float [m], that each column of ``x`` (float [n, m]) is symmetric about 0.

    The share of sign flips s for which |mean(s x)| >= |mean(x)|, one sign for each of the ``clusters`` (int [n]), the
    same for all columns. All flips when they are at most ``draws`` + 1; else p = (1 + #) / (1 + ``draws``) over as many
    random ones. Fisher 1935; Phipson & Smyth 2010. Raises DataError when a value is not finite or the lengths differ.

    >>> sign_flip([[1.0], [2.0], [3.0]], seed=0)
    array([0.25])
    """
    values = _checked(x, clusters, draws)
    totals = cluster_totals(values, clusters)
    rounding = len(values) * np.finfo(np.float64).eps * np.abs(values).sum(0)
    reached = np.abs(totals.sum(0)) - rounding  # a flip that ties exactly must count, however it was summed
    exact = 2 ** len(totals) <= draws + 1
    flips = _all_flips(len(totals)) if exact else _random_flips(len(totals), draws, seed)
    hits = sum((np.abs(signs @ totals) >= reached).sum(0) for signs in flips)
    p: Floats = hits / 2 ** (len(totals) - 1) if exact else (1 + hits) / (1 + draws)
    return p


def adjust(p: Any, method: str = "bh") -> Floats:
    """The p-values ``p`` (float [m]) adjusted for their number.

    ``"bh"``: min_{j >= i} m p_(j) / j, the false discovery rate of independent tests; ``"by"``: the same times
    sum_k 1 / k, under any dependence; ``"holm"``: max_{j <= i} (m - j + 1) p_(j), the chance of any false discovery;
    none above 1. Benjamini & Hochberg 1995; Benjamini & Yekutieli 2001; Holm 1979. Raises DataError for values that are
    no p-values.

    >>> adjust([0.01, 0.04, 0.03])
    array([0.03, 0.04, 0.04])
    """
    from statsmodels.stats.multitest import multipletests

    values = np.asarray(p, dtype=np.float64)
    if method not in ADJUSTMENTS:
        raise DataError(f"the adjustment is {method!r}; give one of {', '.join(ADJUSTMENTS)}.")
    if values.ndim != 1 or values.size == 0:
        raise DataError(f"p-values have the shape {values.shape}; give at least one, in one row.")
    if not ((values >= 0) & (values <= 1)).all():  # NaN is in no order
        raise DataError("some p-values are not between 0 and 1, or NaN; leave out what was not tested.")
    adjusted: Floats = multipletests(values, method=ADJUSTMENTS[method])[1]
    return adjusted


def _all_flips(units: int) -> Iterator[Floats]:
    """Every choice of signs [k, units] but for a change of all, which changes no absolute value."""
    bits = np.arange(units)
    for first in range(0, 2 ** (units - 1), CHUNK):
        codes = np.arange(first, min(first + CHUNK, 2 ** (units - 1)))
        yield _signs(codes[:, None] >> bits & 1)


def _random_flips(units: int, draws: int, seed: int) -> Iterator[Floats]:
    generator = stream(seed, "sign-flip")
    for first in range(0, draws, CHUNK):
        yield _signs(generator.integers(0, 2, size=(min(CHUNK, draws - first), units), dtype=np.int8))


def _signs(bits: NDArray[Any]) -> Floats:
    return 1.0 - 2.0 * bits


def _checked(x: Any, clusters: Any, draws: int) -> Floats:
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise DataError(f"the values have the shape {values.shape}; give [n, m], a column for each test.")
    if not np.isfinite(values).all():
        column = int((~np.isfinite(values)).any(0).argmax())
        raise DataError(f"column {column} has values that are not finite; leave out what was not measured.")
    if clusters is not None and np.shape(clusters) != values.shape[:1]:
        raise DataError(
            f"unequal lengths: {len(values)} rows and clusters of shape {np.shape(clusters)}; give one cluster each."
        )
    if draws < 1:
        raise DataError(f"draws is {draws!r}; give a number from 1, such as 9999.")
    return values
