"""Do two things measured on the same examples differ, or go together? Exact tests that assume no distribution."""

from collections.abc import Callable
from typing import Any

import numpy as np

from causalmi.errors import DataError
from causalmi.rng import stream
from causalmi.stats.means import Floats, checked
from causalmi.stats.multiplicity import permutation_p


def sign_test(difference: Any) -> float:
    """The two-sided p-value of H0: P(D > 0) = P(D < 0), for paired ``difference`` D (float [n]).

    Binomial with probability 1/2 in the number of differences that are not 0. Ties are dropped: given their number the
    test is exact. With nothing but ties p = 1. Dixon & Mood 1946. Raises DataError when a value is not finite.

    >>> sign_test([0.3, 0.1, 2.0, 0.4, 0.1, 0.0])
    0.0625
    """
    from scipy.stats import binomtest

    signs = np.sign(checked([difference])[:, 0])
    apart = int(np.count_nonzero(signs))
    return float(binomtest(int((signs > 0).sum()), apart, 0.5).pvalue) if apart else 1.0


def mcnemar(a: Any, b: Any) -> float:
    """The exact two-sided p-value of H0: P(``a``) = P(``b``), for paired hits (bool [n]) of two hypotheses.

    The sign test of a - b: only examples on which they differ count. McNemar 1947. Raises DataError when one is not 0
    or 1, or the lengths differ.

    >>> mcnemar([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0])
    0.0625
    """
    hits = checked([a, b])
    if not np.isin(hits, (0, 1)).all():
        raise DataError("hits have values other than 0 and 1; give True for a hit and False for a miss.")
    return sign_test(hits[:, 0] - hits[:, 1])


def covariation(x: Floats, y: Floats) -> float:
    """|sum_i (x_i - mean x) (y_i - mean y)|: among permutations of y the same order as Pearson's |r|."""
    return abs(float((x - x[0] - (x - x[0]).mean()) @ (y - y[0] - (y - y[0]).mean())))


def pairing_permutation(
    x: Any, y: Any, statistic: Callable[[Floats, Floats], float] = covariation, *, seed: int, draws: int = 9999
) -> float:
    """The p-value of H0: ``x`` and ``y`` (float [n]) are independent, by pairing them anew at random.

    p = (1 + #{statistic(x, pi y) >= statistic(x, y)}) / (1 + ``draws``) over random permutations pi; the larger the
    ``statistic`` the more they go together. Ranks of x and y give Spearman's test. Pitman 1937; Phipson & Smyth 2010.
    Raises DataError when a value or a statistic is not finite, or the lengths differ.

    >>> pairing_permutation(range(9), range(9), seed=0, draws=999)
    0.001
    """
    columns = checked([x, y])
    if draws < 1:
        raise DataError(f"draws is {draws!r}; give a number from 1, such as 9999.")
    generator, (one, other) = stream(seed, "pairing"), columns.T
    null = [float(statistic(one, generator.permutation(other))) for _ in range(draws)]
    return permutation_p(float(statistic(one, other)), null)
