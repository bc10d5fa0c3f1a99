"""Are two things the same, up to a margin? Tests that can accept, and one whose failure to reject proves nothing."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr

from causalmi.errors import DataError
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import checked, mean, standard_error


@dataclass(frozen=True)
class Equivalence:
    """The p-value of "they differ by the margin or more", what was measured, and whether p is below alpha.

    The estimate has the interval of level 1 - 2 alpha: it lies inside the margins exactly if ``equivalent``.
    """

    p: float
    estimate: Estimate
    equivalent: bool


def tost(difference: Any, margin: float, clusters: Any = None, *, alpha: float = 0.05) -> Equivalence:
    """Is the mean of paired ``difference`` d (float [n]) within +-``margin`` of 0? Two one-sided t-tests.

    H0: |mean| >= margin. p = max(P[T >= (d + margin) / se], P[T <= (d - margin) / se]), with the standard error and
    degrees of freedom of :func:`causalmi.stats.means.mean`, robust to ``clusters`` (int [n]). Choose the margin in the
    units of the task, before looking. Schuirmann 1987. Raises DataError when a value is not finite, the lengths differ,
    there are fewer than two clusters, or the margin is not above 0.

    >>> tost([0.1, -0.1, 0.2, 0.0, -0.2], margin=0.3).equivalent
    True
    """
    level = _level(alpha)
    if not 0 < margin < math.inf:
        raise DataError(f"the margin is {margin!r}; give the smallest difference that matters, above 0.")
    value, error, freedom = standard_error(difference, clusters)
    excess = abs(value) - margin
    p = float(stdtr(freedom, excess / error)) if error > 0 else float(excess >= 0)
    return Equivalence(p, mean(difference, clusters, level=level), p < alpha)


def sign_tost(difference: Any, margin: float = 0.1, *, alpha: float = 0.05) -> Equivalence:
    """Is P(D > 0) + P(D = 0) / 2 within +-``margin`` of 1/2, for paired ``difference`` D (float [n])?

    H0: it is not. p = max(P[K >= k | 1/2 - margin], P[K <= k | 1/2 + margin]) for K binomial of n and k = #{D > 0} +
    #{D = 0} / 2, a last half counted against equivalence; the interval is that of Clopper & Pearson. Ties count half,
    since two systems that always agree are equivalent. Schuirmann 1987; Shi et al. 2024 for the margin on signs. Raises
    DataError when a value is not finite or the margin is not between 0 and 1/2.

    >>> sign_tost([1.0, -1.0] * 200).equivalent
    True
    """
    from scipy.stats import binomtest

    twice, n = _twice_wins(difference)
    level = _level(alpha)
    if not 0 < margin < 0.5:
        raise DataError(f"the margin is {margin!r}; give a share between 0 and 1/2, such as 0.1.")
    least = binomtest(twice // 2, n, 0.5 - margin, alternative="greater")
    most = binomtest(-(-twice // 2), n, 0.5 + margin, alternative="less")
    p = float(max(least.pvalue, most.pvalue))
    low, high = least.proportion_ci((1 + level) / 2).low, most.proportion_ci((1 + level) / 2).high
    return Equivalence(p, Estimate(twice / (2 * n), float(low), float(high), n), p < alpha)


def sign_equivalence(difference: Any, margin: float = 0.1) -> float:
    """The p-value of H0: |P(D > 0) + P(D = 0) / 2 - 1/2| <= ``margin``, for paired ``difference`` D (float [n]).

    p = sum over |k / n - 1/2| >= t of C(n, k) (1/2 + margin)^k (1/2 - margin)^(n - k), t = |share - 1/2|, a tie being
    half a share. A small p says *not* equivalent; a large one says little, and with few examples nothing: to accept
    equivalence use :func:`sign_tost`. Shi et al. 2024. Raises DataError when a value is not finite or the margin is not
    from 0 to 1/2.

    >>> round(sign_equivalence([1.0] * 70 + [-1.0] * 30), 7)
    0.0247828
    """
    from scipy.stats import binom

    twice, n = _twice_wins(difference)
    if not 0 <= margin <= 0.5:
        raise DataError(f"the margin is {margin!r}; give a share from 0 to 1/2, such as 0.1.")
    far = abs(twice - n)  # 2 n t, a whole number, so that ties with t are exact
    if far == 0:
        return 1.0
    tails = binom.cdf((n - far) // 2, n, 0.5 + margin) + binom.sf((n + far + 1) // 2 - 1, n, 0.5 + margin)
    return min(1.0, float(tails))


def _twice_wins(difference: Any) -> tuple[int, int]:
    """2 #{D > 0} + #{D = 0}, and n."""
    d = checked([difference])[:, 0]
    return int((1 + np.sign(d)).sum()), d.size


def _level(alpha: float) -> float:
    if not 0 < alpha < 0.5:
        raise DataError(f"alpha is {alpha!r}; give a share between 0 and 1/2, such as 0.05.")
    return 1 - 2 * alpha
