"""Which of many effects are not chance? Permutation tests, and p-values that know how many were looked at."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import DataError
from causalmi.rng import stream
from causalmi.stats.means import Floats, cluster_totals

ADJUSTMENTS = ("bh", "by", "holm")
ROUNDING = 1e-12  # relative: a draw that ties exactly must count, however it was summed
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
    from scipy.stats import false_discovery_control

    values = np.asarray(p, dtype=np.float64)
    if method not in ADJUSTMENTS:
        raise DataError(f"the adjustment is {method!r}; give one of {', '.join(ADJUSTMENTS)}.")
    if values.ndim != 1 or values.size == 0:
        raise DataError(f"p-values have the shape {values.shape}; give at least one, in one row.")
    if not ((values >= 0) & (values <= 1)).all():  # NaN is in no order
        raise DataError("some p-values are not between 0 and 1, or NaN; leave out what was not tested.")
    if method == "holm":
        return _holm(values)
    adjusted: Floats = false_discovery_control(values, method=method)
    return adjusted


def _holm(p: Floats) -> Floats:
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def permutation_p(observed: Any, null: Any) -> float:
    """The p-value (1 + #{null >= ``observed``}) / (1 + B) of a statistic, from ``null`` (float [B]) drawn under H0.

    Never 0: the observed is one of the draws. Davison & Hinkley 1997; Phipson & Smyth 2010. Raises DataError when there
    is no draw or a value is not finite.

    >>> permutation_p(3.0, [1.0, 2.0, 3.0, 4.0])
    0.6
    """
    return float(max_t([observed], np.asarray(null)[..., None])[0])


def max_t(statistics: Any, null: Any, *, step_down: bool = False) -> Floats:
    """The p-values, float [m], of ``statistics`` t (float [m]) for the best of m, from draws under H0 (float [B, m]).

    p_j = (1 + #{b: max_k null_bk >= t_j}) / (1 + B), where a row of ``null`` is one draw (a permutation, a random
    network) of all m; the larger, the more extreme, so give |t| for two sides. It is the chance of any false discovery,
    under the dependence that the draws show. ``step_down`` takes the maximum over those with t_k <= t_j alone, and the
    running maximum of p: never larger. Westfall & Young 1993, algorithms 2.5 and 2.8. Raises DataError when a value is
    not finite or the shapes do not fit.

    >>> max_t([3.0, 1.0], [[1.0, 2.0], [0.0, 4.0], [2.0, 0.0]])
    array([0.5, 1. ])
    """
    t, draws = _drawn(statistics, null)
    order = np.argsort(-t, kind="stable")
    ranked, best = t[order], draws.max(1, keepdims=True)
    if step_down:
        best = np.maximum.accumulate(draws[:, order[::-1]], axis=1)[:, ::-1]
    p = np.empty(len(t))
    p[order] = np.maximum.accumulate((1 + (best >= ranked - ROUNDING * np.abs(ranked)).sum(0)) / (1 + len(draws)))
    return p


def _drawn(statistics: Any, null: Any) -> tuple[Floats, Floats]:
    t, draws = np.asarray(statistics, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if t.ndim != 1 or draws.ndim != 2 or 0 in draws.shape or draws.shape[1] != t.size:
        raise DataError(f"statistics of shape {t.shape} and draws of shape {draws.shape}; give [m] and [B, m].")
    if not (np.isfinite(t).all() and np.isfinite(draws).all()):
        raise DataError("a statistic or one of its draws is not finite; leave out what was not measured.")
    return t, draws


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
