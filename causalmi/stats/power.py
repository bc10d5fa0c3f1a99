"""How many examples does a question need? Sample sizes for a wanted half width, and power by simulation."""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from causalmi.errors import DataError
from causalmi.rng import stream
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import proportion


def sample_size_proportion(half_width: float, p: float = 0.5, *, level: float = 0.95) -> int:
    """The n for which a share near ``p`` is known to +-``half_width``: z^2 p (1 - p) / half_width^2, rounded up.

    p = 1/2 is the worst case. Cochran 1977. Raises DataError when the half width is not above 0 or p or level is no
    share.

    >>> sample_size_proportion(0.02), sample_size_proportion(0.02, p=0.95)
    (2401, 457)
    """
    return sample_size_mean(half_width, math.sqrt(_share("p", p) * (1 - p)), level=level)


def sample_size_mean(half_width: float, sd: float, *, level: float = 0.95) -> int:
    """The n for which a mean of values with deviation ``sd`` is known to +-``half_width``: (z sd / half_width)^2.

    Rounded up. Cochran 1977. Raises DataError when the half width or sd is not above 0 or level is no share.

    >>> sample_size_mean(0.1, sd=1.5)
    865
    """
    z = NormalDist().inv_cdf(0.5 + _share("level", level) / 2)
    return math.ceil((z * _positive("sd", sd) / _positive("the half width", half_width)) ** 2)


def rule_of_three(n: int) -> float:
    """The upper bound 3 / ``n``, at 95 %, of the rate of failures when n examples showed none.

    Just above the exact 1 - 0.05^(1/n). Hanley & Lippman-Hand 1983. Raises DataError when n < 1.

    >>> rule_of_three(300)
    0.01
    """
    if not 1 <= n < math.inf:
        raise DataError(f"n is {n!r}; give how many examples there were, from 1.")
    return min(1.0, 3 / n)


def power_by_simulation(
    p_value: Callable[[Any], float],
    study: Callable[[np.random.Generator], Any],
    *,
    seed: int,
    alpha: float = 0.05,
    draws: int = 1000,
) -> Estimate:
    """The share of simulated studies that reject, P[p <= ``alpha``], with Wilson's interval over ``draws`` studies.

    ``study`` draws the data of one study from a generator, in whatever form (pairs, clusters), and ``p_value`` tests
    it. With studies drawn under H0 it is the rate of false alarms. Raises DataError when a p-value is not between 0 and
    1.

    >>> from causalmi.stats.paired import sign_test
    >>> print(power_by_simulation(sign_test, lambda g: g.normal(0.5, 1, size=40), seed=0, draws=200))
    0.68 [0.61, 0.74]
    """
    _share("alpha", alpha)
    if draws < 1:
        raise DataError(f"draws is {draws!r}; give a number from 1, such as 1000.")
    generator = stream(seed, "power")
    p = np.array([p_value(study(generator)) for _ in range(draws)], dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():  # NaN is in no order
        raise DataError("some p-values are not between 0 and 1, or NaN; check the test on one study.")
    return proportion(p <= alpha)


def _share(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise DataError(f"{name} is {value!r}; give a share between 0 and 1.")
    return value


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise DataError(f"{name} is {value!r}; give a number above 0.")
    return value
