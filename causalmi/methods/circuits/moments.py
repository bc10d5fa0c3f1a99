"""How sure are scores that are means over examples? Sums and sums of squares, over bases that may repeat."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from causalmi.errors import DataError, ModelError
from causalmi.stats.means import Floats


@dataclass(frozen=True, eq=False)
class Spread:
    """What says how much scores vary over m clusters g of sizes n_g with totals T_g: the sums of T_g^2 and n_g T_g."""

    square: Floats
    weighted: Floats
    clusters: int
    sizes: float  # sum n_g^2


@dataclass(frozen=True, eq=False)
class Moments:
    """The ``total`` of the scores of ``n`` examples; ``spread`` is None for scores of all examples together."""

    total: Floats
    spread: Spread | None
    n: int

    @property
    def mean(self) -> Floats:
        """The scores."""
        return self.total / self.n

    def half(self, level: float = 0.95) -> Floats:
        """Half the width of Student's t interval, robust to clusters as `causalmi.stats.means.mean`; NaN for none.

        sqrt(V) t, V = m / (m - 1) sum_g (T_g - n_g mean)^2 / n^2, with m - 1 degrees of freedom. Raises DataError for a
        level that is none.
        """
        if not 0 < level < 1:
            raise DataError(f"level is {level!r}; give a share between 0 and 1, such as 0.95.")
        s, mean = self.spread, self.mean
        if s is None or s.clusters < 2:
            return np.full(mean.shape, np.nan)
        squares = s.square - 2 * mean * s.weighted + mean**2 * s.sizes
        variance = s.clusters / (s.clusters - 1) * np.maximum(squares, 0) / self.n**2
        width: Floats = stdtrit(s.clusters - 1, 0.5 + level / 2) * np.sqrt(variance)
        return width


class Tally:
    """Adds up scores, batch by batch; ``clusters`` int [n] says which examples are of one base."""

    def __init__(self, clusters: NDArray[np.int64], shape: tuple[int, ...]) -> None:
        self.clusters = np.unique(clusters, return_inverse=True)[1]
        self.sizes = np.bincount(self.clusters)
        self.left, self.open = self.sizes.copy(), dict[int, Floats]()
        self.total, self.square, self.weighted = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def add(self, rows: slice, scores: Tensor) -> None:
        """The scores [b, ...] of the examples ``rows``."""
        x = scores.detach().double().cpu().numpy()
        ids = self.clusters[rows]
        alone = self.sizes[ids] == 1
        self.total += x.sum(0)
        self.square += np.square(x[alone]).sum(0)
        self.weighted += x[alone].sum(0)
        for i in np.nonzero(~alone)[0]:
            self._one(int(ids[i]), x[i])

    def _one(self, cluster: int, x: Floats) -> None:
        """An example of a base that repeats; its total counts once all are there."""
        self.open[cluster] = self.open.get(cluster, 0) + x
        self.left[cluster] -= 1
        if not self.left[cluster]:
            total = self.open.pop(cluster)
            self.square += total**2
            self.weighted += self.sizes[cluster] * total

    def moments(self, method: object) -> Moments:
        """What was added; raises ModelError for scores that are not finite."""
        sizes = float(np.square(self.sizes).sum())
        spread = Spread(self.square, self.weighted, len(self.sizes), sizes)
        return checked(Moments(self.total, spread, len(self.clusters)), method)


def checked(moments: Moments, method: Any) -> Moments:
    """The ``moments`` if they are finite; raises ModelError."""
    if not np.isfinite(moments.total).all():
        raise ModelError(f"{method} gives scores that are not finite; try float32 or float64, or another metric")
    return moments
