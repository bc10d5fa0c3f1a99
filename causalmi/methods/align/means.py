"""Does a variable lie along the differences between the means of its values? Found in one pass, without training.

Marks & Tegmark 2023, "The geometry of truth", for two values.
"""

from dataclasses import dataclass

import numpy as np

from causalmi.methods.align.directions import FromValues
from causalmi.methods.align.method import Fitted, Problem
from causalmi.methods.align.observed import Floats, Ints, Observed


@dataclass(frozen=True, kw_only=True)
class DifferenceInMeans(FromValues):
    """The span of the differences between class means: {mean(x | v = a) - mean(x | v = b)}, at each place.

    Of more than two values the leading ``dims`` directions of these differences, by singular values. Raises DataError
    for pairs without values, and for a variable that has one value or more than 256.
    """

    name = "difference in means"

    def fits(self, problem: Problem) -> list[Fitted]:
        seen = Observed(problem)
        return [self.spanned(problem, lambda place, v: differences(seen.vectors(place), seen.kinds(place, v)))]


def differences(x: Floats, kinds: Ints) -> Floats:
    """The mean of each class less the mean of these means, [classes, width]; every class counts alike."""
    means = np.stack([x[kinds == kind].mean(0) for kind in range(int(kinds.max()) + 1)])
    centred: Floats = means - means.mean(0)
    return centred
