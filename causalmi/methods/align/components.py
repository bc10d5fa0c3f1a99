"""Does a variable lie along principal components, the directions in which the vectors at a place vary most?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from causalmi.engine.featurizers.principal import PCA
from causalmi.errors import SpecError
from causalmi.methods.align.method import Fitted, Method, Problem
from causalmi.methods.align.observed import Floats, Ints, Observed
from causalmi.spec.basis import Basis
from causalmi.spec.site import Site


@dataclass(frozen=True, kw_only=True)
class PCAAlignment(Method):
    """The leading ``dims`` principal components of the vectors at each place; a tuple tries several numbers.

    Of v variables that share a place, the leading v dims components are shared out: again and again the component that
    explains the most of a variable goes to it, until each has ``dims``. Explained is the between-class share of the
    component's variance, eta^2 in [0, 1]. Raises SpecError for more components than a place has numbers, DataError for
    pairs without values where these are needed.
    """

    dims: int | tuple[int, ...] = 1
    name = "principal components"

    @property
    def by_answers(self) -> bool:
        return False

    def fits(self, problem: Problem) -> list[Fitted]:
        self.refuse(problem)
        seen = Observed(problem)
        owners = {place: self._shared(seen, place, variables) for place, variables in problem.places.at.items()}
        return [
            Fitted({"dims": k}, self._alignment(problem, {p: by[k] for p, by in owners.items()})) for k in self.tries
        ]

    @property
    def tries(self) -> tuple[int, ...]:
        """The numbers of components to try."""
        return self.dims if isinstance(self.dims, tuple) else (self.dims,)

    def alone(self, label: Mapping[str, Any]) -> "PCAAlignment":
        return replace(self, dims=label["dims"])

    def problems(self) -> list[str]:
        if self.tries and all(type(k) is int and k > 0 for k in self.tries):
            return []
        return [f"dims is {self.dims!r}, it must be a whole number from 1, or a tuple of some"]

    def refuse(self, problem: Problem) -> None:
        for place, variables in problem.places.at.items():
            if (wanted := max(self.tries) * len(variables)) > (width := problem.widths[place]):
                said = f"{' and '.join(variables)} are to have {wanted} components at {place}, which has {width}"
                raise SpecError("PCAAlignment", [f"{said} numbers; give fewer dims"])

    def _shared(self, seen: Observed, place: Site, variables: tuple[str, ...]) -> dict[int, dict[str, Floats]]:
        """For each number of components, the columns of each variable."""
        x = seen.vectors(place)
        columns = PCA.of(torch.from_numpy(x), max(self.tries) * len(variables)).columns.numpy()
        if len(variables) == 1:
            return {k: {variables[0]: columns[:, :k]} for k in self.tries}
        share = np.stack([explained(x @ columns, seen.kinds(place, v)) for v in variables])
        return {k: self._columns(columns, share[:, : k * len(variables)], variables) for k in self.tries}

    def _columns(self, columns: Floats, share: Floats, variables: Sequence[str]) -> dict[str, Floats]:
        owned = shared_out(share, share.shape[1] // len(variables))
        return {v: columns[:, owned[i]] for i, v in enumerate(variables)}

    def _alignment(self, problem: Problem, owned: Mapping[Site, Mapping[str, Floats]]) -> dict[str, tuple[Site, ...]]:
        return {
            v: tuple(place.along(Basis.of(owned[place][v].T)) for place in places)
            for v, places in problem.places.of.items()
        }


def explained(scores: Floats, kinds: Ints) -> Floats:
    """eta^2 of each column: the variance of its class means as a share of its own; 0 for a constant one."""
    counts = np.bincount(kinds)
    means = np.stack([np.bincount(kinds, column) for column in scores.T]) / counts
    between = (counts * (means - scores.mean(0)[:, None]) ** 2).sum(1)
    total = ((scores - scores.mean(0)) ** 2).sum(0)
    share: Floats = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    return share


def shared_out(share: Floats, each: int) -> list[list[int]]:
    """Which columns of ``share`` each row owns: greatest entry first, until all rows have ``each``."""
    left, owned = share.copy(), [list[int]() for _ in share]
    for _ in range(len(share) * each):
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        owned[row].append(int(column))
        left[:, column] = -np.inf
        if len(owned[row]) == each:
            left[row] = -np.inf
    return owned
