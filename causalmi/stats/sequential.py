"""When may one stop looking? Tests and intervals that stay valid however often one looks."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalmi.errors import DataError
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import Floats, checked

CELLS = 1000  # of [0, 1], the means that are told apart
SHARE = 0.5  # of the capital that is at stake at most
CHUNK = 64  # observations at a time


@dataclass(frozen=True)
class Decision:
    """Which rate was accepted (None: look further), and after how many outcomes."""

    accepted: float | None
    n: int


@dataclass(frozen=True)
class Sprt:
    """Is a rate ``p0`` or ``p1``? The sequential probability ratio test, with as few outcomes as that takes.

    S_n = sum_i [y_i ln(p1 / p0) + (1 - y_i) ln((1 - p1) / (1 - p0))]; p1 is accepted once S_n >= ln((1 - beta) / alpha)
    and p0 once S_n <= ln(beta / (1 - alpha)). ``alpha`` bounds P(accept p1 | p0), ``beta`` P(accept p0 | p1), but for
    what the last outcome oversteps. Wald 1945. Raises DataError for rates or errors that are no shares.

    >>> Sprt(p0=0.5, p1=0.9).decision([1] * 20)
    Decision(accepted=0.9, n=6)
    """

    p0: float
    p1: float
    alpha: float = 0.05
    beta: float = 0.05

    def __post_init__(self) -> None:
        if not (0 < self.p0 < 1 and 0 < self.p1 < 1) or self.p0 == self.p1:
            raise DataError(f"the rates are {self.p0!r} and {self.p1!r}; give two that differ, between 0 and 1.")
        if not (self.alpha > 0 and self.beta > 0 and self.alpha + self.beta < 1):
            raise DataError(f"alpha is {self.alpha!r} and beta {self.beta!r}; give shares above 0 that sum below 1.")

    @property
    def bounds(self) -> tuple[float, float]:
        """ln(beta / (1 - alpha)) and ln((1 - beta) / alpha), where p0 and p1 are accepted."""
        return math.log(self.beta / (1 - self.alpha)), math.log((1 - self.beta) / self.alpha)

    def evidence(self, outcomes: Any) -> Floats:
        """S_1 to S_n (float [n]) of ``outcomes`` (bool [n]) in their order. Raises DataError when one is not 0 or 1."""
        y = checked([outcomes])[:, 0]
        if not np.isin(y, (0, 1)).all():
            raise DataError("outcomes have values other than 0 and 1; give True for a hit and False for a miss.")
        hit, miss = math.log(self.p1 / self.p0), math.log((1 - self.p1) / (1 - self.p0))
        return np.cumsum(np.where(y == 1, hit, miss))

    def decision(self, outcomes: Any) -> Decision:
        """What ``outcomes`` (bool [n]), all so far and in their order, decide, at the first that decides."""
        evidence, (lower, upper) = self.evidence(outcomes), self.bounds
        decided = (evidence <= lower) | (evidence >= upper)
        first = int(decided.argmax())
        if not decided[first]:
            return Decision(None, len(evidence))
        return Decision(self.p1 if evidence[first] >= upper else self.p0, first + 1)


def betting_interval(y: Any, *, level: float = 0.95) -> Estimate:
    """The mean of ``y`` (float [n] in [0, 1]) with an interval that holds at any n, however one chose to stop there.

    The last of :func:`betting_sequence`.

    >>> print(betting_interval([1.0, 1.0, 0.0, 1.0] * 100))
    0.75 [0.67, 0.83]
    """
    ends = betting_sequence(y, level=level)[-1]
    return Estimate(float(np.mean(y)), float(ends[0]), float(ends[1]), len(np.asarray(y)))


def betting_sequence(y: Any, *, level: float = 0.95) -> Floats:
    """The intervals (float [n, 2]) after each of ``y`` (float [n] in [0, 1], in the order observed).

    With probability ``level`` the mean is in all of them at once: stop when you like, such as at a half width of 0.02.
    A candidate mean m is out once K(m) >= 1 / (1 - level) for K_t(m) = 1/2 prod_i (1 + b_i (y_i - m)) + 1/2 prod_i
    (1 - b_i (y_i - m)), the capital of one who bets b_i against m, at most c / m up and c / (1 - m) down with c = 1/2;
    b_i^2 = 2 ln(2 / (1 - level)) / (v_{i-1} i ln(1 + i)) knows the variance v_{i-1} of what came before alone. All t so
    far count, in cells of 1/1000, rounded outward and to the mean so far; where no m is left, as when values drift, the
    interval is [0, 1]. Average what shares a cluster first. Waudby-Smith & Ramdas 2024, theorem 3. Raises DataError
    when a value is not in [0, 1].
    """
    x = checked([y], None, level)[:, 0]
    if x.min() < 0 or x.max() > 1:
        raise DataError(f"values from {x.min():g} to {x.max():g} are not all in [0, 1]; scale them by their bounds.")
    ends = _running_ends(x, _bets(x, 1 - level), 1 / (1 - level))
    means = np.cumsum(x) / np.arange(1, len(x) + 1)
    return np.stack([np.minimum(ends[:, 0], means), np.maximum(ends[:, 1], means)], axis=1)


def empirical_bernstein(x: Any, span: float = 1.0, *, level: float = 0.95) -> Estimate:
    """The mean of ``x`` (float [n]), whose values lie within a range of ``span``, known in advance, at a fixed n.

    mean +- [sqrt(2 v ln(3 / d) / n) + 3 span ln(3 / d) / n], v = sum (x_i - mean)^2 / n, d = 1 - ``level``: never less
    than it claims, at any n and distribution. Audibert, Munos & Szepesvári 2009. Raises DataError when a value is not
    finite or the values span more.

    >>> print(empirical_bernstein([0.0, 1.0] * 500))
    0.50 [0.44, 0.56]
    """
    values = checked([x], None, level)[:, 0]
    if not float(np.ptp(values)) <= span < math.inf:
        raise DataError(f"the values span {np.ptp(values):g}, not {span!r}; give the range that all values can have.")
    n, log, value = values.size, math.log(3 / (1 - level)), float(values.mean())
    half = math.sqrt(2 * float(values.var()) * log / n) + 3 * span * log / n
    return Estimate(value, value - half, value + half, n)


def _bets(x: Floats, alpha: float) -> Floats:
    t = np.arange(1, len(x) + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    return np.sqrt(2 * math.log(2 / alpha) / (before * t * np.log1p(t)))


def _wins(x: Floats, bets: Floats, m: Floats) -> Floats:
    """1 + b (x - m) and 1 - b (x - m) for x and bets [t, 1] and m [k]: [2, t, k]."""
    with np.errstate(divide="ignore"):
        up, down = np.minimum(bets, SHARE / m), np.minimum(bets, SHARE / (1 - m))
    return 1 + np.stack([up * (x - m), down * (m - x)])


def _running_ends(x: Floats, bets: Floats, limit: float) -> Floats:
    """The ends [n, 2] of the means on which the capital has stayed below ``limit``; others are dropped on the way."""
    edges, capital = np.linspace(0, 1, CELLS + 1), np.full((2, CELLS + 1), 0.5)
    ends = np.tile([0.0, 1.0], (len(x), 1))
    for first in range(0, len(x), CHUNK):
        part = slice(first, first + CHUNK)
        with np.errstate(over="ignore"):  # what is infinite is out, and stays so
            paths = capital[:, None] * np.cumprod(_wins(x[part, None], bets[part, None], edges), axis=1)
        least = paths[0, :, 1:] + paths[1, :, :-1]  # in a cell: the first falls with the mean, the second rises
        stay = np.logical_and.accumulate(least < limit, axis=0)
        low, beyond = stay.argmax(1), stay.shape[1] - stay[:, ::-1].argmax(1)
        until = int(np.count_nonzero(stay.any(1)))
        ends[first : first + until] = edges[np.stack([low, beyond], axis=1)][:until]
        if until < len(stay):
            break
        left = slice(low[-1], beyond[-1] + 1)
        edges, capital = edges[left], paths[:, -1, left]
    return ends
