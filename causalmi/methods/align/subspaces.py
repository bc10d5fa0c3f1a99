"""How are subspaces of given sizes learned? As blocks of the columns of one rotation at each place."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from causalmi.engine.featurizers.linear import Turned, basis_of
from causalmi.methods.align.learner import Learner, Share, Shares
from causalmi.methods.align.places import Places
from causalmi.methods.align.turning import drawn, off_orthonormal, orthonormal, step_of
from causalmi.spec.site import Site


class Subspaces(Learner):
    """Points of (dims of each variable, seed), each with a rotation at every place."""

    def __init__(
        self, places: Places, widths: Mapping[Site, int], points: list[tuple[Mapping[str, int], int]], angle: float
    ) -> None:
        self.places, self._widths, self._points, self._angle = places, widths, points, angle
        self.labels = [{"dims": label(dims), "seed": seed} for dims, seed in points]
        seeds = [seed for _, seed in points]
        self.parameters = {
            str(place): drawn(widths[place], self._most(place), ("rotation", str(place)), seeds) for place in places.at
        }

    def shares(self, progress: float, *, hard: bool = False) -> list[Shares]:
        turned = {place: orthonormal(self.parameters[str(place)]) for place in self.places.at}
        return [
            {place: Share(Turned(columns[i]), self._masks[place][i].to(columns)) for place, columns in turned.items()}
            for i in range(self.points)
        ]

    def found(self, point: int) -> Mapping[str, tuple[Site, ...]]:
        return {v: tuple(self._site(v, place, point) for place in sites) for v, sites in self.places.of.items()}

    def _site(self, variable: str, place: Site, point: int) -> Site:
        mask = self._masks[place][point][self.places.at[place].index(variable)].bool()
        return place.along(basis_of(orthonormal(self.parameters[str(place)])[point][:, mask]))

    def settle(self) -> None:
        for name, raw in self.parameters.items():
            self.parameters[name].copy_(orthonormal(raw))

    def rates(self, lr: float, progress: float) -> Mapping[str, float]:
        return {str(place): step_of(lr, width) for place, width in self._widths.items()}

    def off(self, point: int) -> float:
        return max(off_orthonormal(orthonormal(raw)[point].detach()) for raw in self.parameters.values())

    def _most(self, place: Site) -> int:
        return max(sum(dims[v] for v in self.places.at[place]) for dims, _ in self._points)

    @cached_property
    def _masks(self) -> Mapping[Site, Tensor]:
        """By place, which directions belong to which variable, [points, variables, directions]."""
        found = {place: torch.zeros(self.points, len(vs), self._most(place)) for place, vs in self.places.at.items()}
        for place, masks in found.items():
            for i in range(self.points):
                for j, owned in enumerate(self._owned(place, i).values()):
                    masks[i, j, owned] = 1
        return found

    def _owned(self, place: Site, point: int) -> Mapping[str, list[int]]:
        """Which directions each variable has in a point: one block after the other."""
        dims, ends = self._points[point][0], 0
        found = {}
        for v in self.places.at[place]:
            found[v] = list(range(ends, ends + dims[v]))
            ends += dims[v]
        return found


class Nested(Subspaces):
    """Points with the same seed have one rotation: each has the first of the directions that a larger one has.

    The directions that a point has more than the next smaller one follow those of all variables of that one, so that
    the columns of the smaller are the first of the larger. Points must be given from the smallest on.
    """

    def together(self) -> list[list[int]]:
        seeds = dict.fromkeys(seed for _, seed in self._points)
        return [[i for i, (_, s) in enumerate(self._points) if s == seed] for seed in seeds]

    def tie(self) -> None:
        for value in self.parameters.values():
            assert value.grad is not None
            for points in self.together():
                value.grad[points] = value.grad[points].mean(0)

    def _owned(self, place: Site, point: int) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = {v: [] for v in self.places.at[place]}
        dims, seed = self._points[point]
        start = 0
        for smaller in [d for d, s in self._points[:point] if s == seed] + [dims]:
            for v, owned in found.items():
                more = smaller[v] - len(owned)
                owned.extend(range(start, start + more))
                start += more
        return found


def label(dims: Mapping[str, int]) -> Any:
    """The dims as one number where they are equal."""
    sizes = set(dims.values())
    return sizes.pop() if len(sizes) == 1 else ", ".join(f"{v} {k}" for v, k in dims.items())
