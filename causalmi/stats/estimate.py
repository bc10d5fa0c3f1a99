"""What does a number say? A value never stands without its interval and the size of the sample behind it."""

import math
from dataclasses import dataclass

from causalmi.errors import DataError


@dataclass(frozen=True)
class Estimate:
    """A value with the ends of its interval, from ``n`` observations.

    A format such as ``.3f`` applies to all three numbers. Raises DataError when they are not finite or not in order.

    >>> print(Estimate(0.971, 0.952, 0.983, 400))
    0.97 [0.95, 0.98]
    """

    value: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            raise DataError(f"no estimate: {self.value}, {self.low} and {self.high} are not all finite.")
        if not self.low <= self.value <= self.high:
            raise DataError(f"no estimate: {self.value} is not between {self.low} and {self.high}.")

    def __format__(self, spec: str) -> str:
        value, low, high = (format(x, spec or ".2f") for x in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)
