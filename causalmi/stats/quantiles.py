"""Does a candidate beat more than a share q of random ones? A binomial test of the quantile it stands at."""

from causalmi.errors import DataError


def quantile_test(successes: int, n: int, q: float = 0.9, alternative: str = "greater") -> float:
    """The p-value of H0: the candidate beats a share of at most ``q`` of random ones, given ``successes`` of ``n``.

    ``"greater"``: P[K >= successes], for sufficiency and partial necessity, where a circuit has to beat random ones;
    ``"less"``: P[K <= successes] of H0: at least q, for minimality, where an edge that does not beat random ones is not
    needed; K is binomial of n and q. At q = 0.9, fewer than 29 draws cannot reach p <= 0.05. Give ``"less"`` p-values
    of many edges to :func:`causalmi.stats.multiplicity.adjust`. Shi et al. 2024. Raises DataError when the numbers are
    not counts or q is not between 0 and 1.

    >>> round(quantile_test(96, 100), 4)
    0.0237
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= n or n < 1 or successes % 1 or n % 1:  # NaN and inf are in no order, or leave NaN
        raise DataError(f"{successes!r} successes of {n!r} are no counts; give whole numbers, n from 1.")
    if not 0 < q < 1:
        raise DataError(f"q is {q!r}; give a share between 0 and 1, such as 0.9.")
    if alternative not in ("greater", "less"):
        raise DataError(f"the alternative is {alternative!r}; give one of greater, less.")
    return float(binomtest(int(successes), int(n), q, alternative=alternative).pvalue)
