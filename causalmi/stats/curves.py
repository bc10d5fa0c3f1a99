"""How faithful are circuits of all sizes together? Areas under the curve of faithfulness over size."""

from typing import Any

import numpy as np

from causalmi.errors import DataError
from causalmi.stats.means import Floats, checked

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of all edges, those of the paper


def cpr(fractions: Any, faithfulness: Any) -> float:
    """The circuit performance ratio: the area under ``faithfulness`` f (float [k]) over ``fractions`` p (float [k]).

    The trapezoid rule for the integral of f dp, p rising within [0, 1], linear in p: from .001 to 1 a circuit as good
    as the network at all sizes has 0.999, and half of the weight is on p >= .5. Higher is better. Mueller et al. 2025.
    Raises DataError when the lengths differ, p does not rise, or a value is not finite.

    >>> round(cpr(FRACTIONS, [1.0] * 10), 3)
    0.999
    """
    p, f = _checked(fractions, faithfulness)
    return float(np.trapezoid(f, p))


def cmd(fractions: Any, faithfulness: Any) -> float:
    """The circuit-model distance: the area under |1 - f| for ``faithfulness`` f over ``fractions`` (float [k] each).

    The trapezoid rule on the values of |1 - f| at the fractions. 0 is best; f above 1 counts as far as f below. Mueller
    et al. 2025. Raises DataError as :func:`cpr` does.

    >>> cmd(FRACTIONS, [1.0] * 10)
    0.0
    """
    p, f = _checked(fractions, faithfulness)
    return float(np.trapezoid(np.abs(1 - f), p))


def _checked(fractions: Any, faithfulness: Any) -> tuple[Floats, Floats]:
    p, f = checked([fractions, faithfulness]).T
    if len(p) < 2 or p.min() < 0 or p.max() > 1 or not (np.diff(p) > 0).all():
        raise DataError(f"fractions are {p.tolist()}; give two or more that rise, from 0 to 1.")
    return p, f
