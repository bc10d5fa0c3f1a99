"""How many directions does a variable need? Boundless alignment search: where its block ends is learned as well.

Wu et al. 2023, "Interpretability at scale: identifying causal mechanisms in Alpaca". The mask has its edge between two
directions (i + 1/2), so that a boundary at a whole number is exact, at either end too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalmi.engine.featurizers.linear import Turned, basis_of
from causalmi.errors import SpecError
from causalmi.methods.align.annealed import Annealed, fallen, temperatures
from causalmi.methods.align.learner import Learner, Share, Shares
from causalmi.methods.align.method import Problem
from causalmi.methods.align.subspaces import label
from causalmi.methods.align.turning import drawn, off_orthonormal, orthonormal, step_of
from causalmi.spec.site import Site

START = 0.5  # the share of the directions that all variables of a place have together at first
LAST = 0.05  # the last temperature, in directions
HARDENED = 0.8  # after this share of training the rotation alone goes on, with the masks that will be claimed
SLOWER = 0.1  # a boundary moves at first by this share of ``lr`` of all directions in a step


@dataclass(frozen=True, kw_only=True)
class BoundlessDAS(Annealed):
    """Learn a rotation of a whole place and how many of its d directions each variable has.

    Alone at its place a variable has the share m_i = sigmoid((b d - (i + 1/2)) / T) of direction i, with a learned b in
    [1/d, 1] that starts at 1/2. Of several at one place, each has what lies between its boundary and the one before:
    sigmoid((b_v d - (i + 1/2)) / T) - sigmoid((b_u d - (i + 1/2)) / T), which add up to no more than 1.
    The temperature T falls from a third of d to 0.05, or as ``temperature`` says. What is claimed are the directions
    with i + 1/2 < b d, at least one; a variable that has all of them claims the whole place. In the last fifth of
    training they alone are interchanged, and the rotation goes on.
    One step costs a QR of the place's full width.
    """

    temperature: tuple[float, float] | None = None
    name = "BoundlessDAS"

    def refuse(self, problem: Problem) -> None:
        for place, variables in problem.places.at.items():
            if len(variables) > problem.widths[place]:
                raise SpecError(self.name, [f"{place} has fewer directions than variables: {', '.join(variables)}"])

    def learner(self, problem: Problem) -> Learner:
        self.refuse(problem)
        return Boundaries(self, problem)

    def problems(self) -> list[str]:
        return super().problems() + ([] if self.temperature is None else temperatures(self.temperature))


class Boundaries(Learner):
    """Points of (penalty, seed), each with a rotation and a boundary for each variable at every place."""

    def __init__(self, method: BoundlessDAS, problem: Problem) -> None:
        self.places, self._widths, self._temperature = problem.places, problem.widths, method.temperature
        points = [(float(x), seed) for x in method.penalties for seed in method.seeds_from(problem.seed)]
        self.labels = [{"penalty": x, "seed": seed} for x, seed in points]
        self._weights, seeds = torch.tensor([x for x, _ in points]), [seed for _, seed in points]
        self.parameters = {}
        for place, variables in self.places.at.items():
            d, n = self._widths[place], len(variables)
            self.parameters[str(place)] = drawn(d, d, ("rotation", str(place)), seeds)
            self.parameters[_sizes(place)] = torch.full((len(points), n), max(START / n, 1 / d))

    def shares(self, progress: float, *, hard: bool = False) -> list[Shares]:
        turned = {place: orthonormal(self.parameters[str(place)]) for place in self.places.at}
        hard = hard or HARDENED <= progress < 1
        masks = {place: self._hard(place) if hard else self.soft(place, progress) for place in self.places.at}
        return [
            {place: Share(Turned(columns[i]), masks[place][i].to(columns)) for place, columns in turned.items()}
            for i in range(self.points)
        ]

    def soft(self, place: Site, progress: float) -> Float[Tensor, "points v d"]:
        """The share of each direction that each variable has."""
        d = self._widths[place]
        first, last = self._temperature or (max(d / 3, LAST), LAST)
        ends = self.parameters[_sizes(place)].cumsum(-1)[..., None] * d
        below = torch.sigmoid(
            (ends - (torch.arange(d).to(ends) + 0.5)) / fallen(min(progress / HARDENED, 1), first, last)
        )
        return below.diff(dim=1, prepend=torch.zeros_like(below[:, :1]))

    def penalty(self, progress: float) -> Float[Tensor, " points"]:
        if progress >= HARDENED:  # the loss has no say any more in where a block ends
            return torch.zeros(self.points)
        mean = torch.stack([self.soft(place, progress).sum(1).mean(-1) for place in self.places.at]).mean(0)
        return self._weights.to(mean) * mean

    def found(self, point: int) -> Mapping[str, tuple[Site, ...]]:
        return {v: tuple(self._site(v, place, point) for place in sites) for v, sites in self.places.of.items()}

    def _site(self, variable: str, place: Site, point: int) -> Site:
        mask = self._hard(place)[point, self.places.at[place].index(variable)].bool()
        return place if mask.all() else place.along(basis_of(orthonormal(self.parameters[str(place)])[point][:, mask]))

    def _hard(self, place: Site) -> Float[Tensor, "points v d"]:
        """Which directions each variable claims, 1 or 0."""
        ends = self._ends(place)[..., None]
        below = (torch.arange(self._widths[place]).to(ends) < ends).float()
        return below.diff(dim=1, prepend=torch.zeros_like(below[:, :1]))

    def _ends(self, place: Site) -> Int[Tensor, "points v"]:
        """After how many directions each variable's block ends: each has one at least."""
        sizes = self.parameters[_sizes(place)].detach()
        d, n = self._widths[place], sizes.shape[1]
        ends = (sizes.cumsum(-1) * d + 0.5).ceil().long() - 1  # so many i with i + 1/2 < b d
        for v in range(n):
            least = ends[:, v - 1] + 1 if v else torch.ones_like(ends[:, 0])
            ends[:, v] = ends[:, v].maximum(least).clamp(max=d - (n - 1 - v))
        return ends

    def settle(self) -> None:
        for place, variables in self.places.at.items():
            self.parameters[str(place)].copy_(orthonormal(self.parameters[str(place)]))
            sizes, least = self.parameters[_sizes(place)], 1 / self._widths[place]
            free = (sizes - least).clamp(min=0)
            most = 1 - len(variables) * least
            sizes.copy_(least + free * (most / free.sum(-1, keepdim=True).clamp(min=max(most, 1e-12))))

    def rates(self, lr: float, progress: float) -> Mapping[str, float]:
        turns = {str(place): step_of(lr, d) for place, d in self._widths.items()}
        slower = SLOWER * lr if progress < HARDENED else 0.0  # else what the optimizer remembers would move a boundary
        return {**turns, **{_sizes(place): slower for place in self._widths}}

    def off(self, point: int) -> float:
        return max(off_orthonormal(orthonormal(self.parameters[str(p)])[point].detach()) for p in self.places.at)

    def more(self, point: int) -> Mapping[str, Any]:
        sizes = dict.fromkeys(self.places.variables, 0)
        for place, variables in self.places.at.items():
            for v, mask in zip(variables, self._hard(place)[point], strict=True):
                sizes[v] += int(mask.sum())
        return {"dims": label(sizes)}


def _sizes(place: Site) -> str:
    """The name of the parameter of how much each variable has of a place, as a share of its directions."""
    return f"{place} sizes"
