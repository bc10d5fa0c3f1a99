"""What is learned about places? How their vectors are written, and which features variables own: a method's part."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.engine.mixture import Mixture
from causalmi.methods.align.places import Places
from causalmi.spec.site import Site


@dataclass(frozen=True, eq=False)
class Share:
    """At one place: how its vectors are written, and which share of each feature its variables own, [v, size]."""

    featurizer: Featurizer
    masks: Float[Tensor, "v size"]


Shares: TypeAlias = Mapping[Site, Share]


class Learner(ABC):
    """Several ``points`` (numbers of dimensions, seeds) that are learned at the same places in one run.

    ``parameters`` have an axis of points first; nothing of a point depends on those that are not ``together`` with it,
    so that a point learned without them ends in the same numbers up to rounding.
    """

    places: Places
    labels: Sequence[Mapping[str, Any]]  # what each point is, for the table of fits: {"dims": 4, "seed": 0}
    parameters: dict[str, Tensor]

    @property
    def points(self) -> int:
        """How many there are."""
        return len(self.labels)

    @abstractmethod
    def shares(self, progress: float, *, hard: bool = False) -> list[Shares]:
        """What each point has learned, computed once for every use; ``progress`` in [0, 1] is of the whole fit.

        With ``hard`` as it will be claimed: each share is 0 or 1.
        """

    @abstractmethod
    def found(self, point: int) -> Mapping[str, tuple[Site, ...]]:
        """The sites of each variable as this point has learned them."""

    def penalty(self, progress: float) -> Float[Tensor, " points"]:
        """What is added to each point's loss."""
        return torch.zeros(self.points)

    def tie(self) -> None:  # noqa: B027  (most need none)
        """Make one of the gradients of what several points are to learn in common, before each step."""

    def together(self) -> list[list[int]]:
        """The points that learn one thing in common, so that the best step is the same for all of them."""
        return [[i] for i in range(self.points)]

    def rates(self, lr: float, progress: float) -> Mapping[str, float]:
        """The step of the optimizer for each of the parameters, before it grows smaller in the course of training."""
        return dict.fromkeys(self.parameters, lr)

    def settle(self) -> None:  # noqa: B027  (most need none)
        """Bring the parameters back to what they must be, after each step."""

    def off(self, point: int) -> float:
        """How far the learned directions are from orthonormal, the largest entry of |R^T R - 1|; 0 without any."""
        return 0.0

    def more(self, point: int) -> Mapping[str, Any]:
        """What else the table of fits says of a point, such as how much it learned to claim."""
        return {}

    @property
    def nonlinear(self) -> bool:
        """Whether a feature may be computed from what the vector only implies."""
        return False


def mixtures(shares: Shares, places: Places, gates: Float[Tensor, "n v"]) -> Mapping[Site, Mixture]:
    """The edits of each place, when the rows receive the variables that ``gates`` says."""
    order = list(places.of)
    return {
        place: Mixture(shares[place].featurizer, shares[place].masks, gates[:, [order.index(v) for v in variables]])
        for place, variables in places.at.items()
    }
