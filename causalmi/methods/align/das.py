"""Which directions at a place carry a variable? Distributed alignment search: the subspace is learned.

Geiger et al. 2024, "Finding alignments between interpretable causal variables and distributed neural representations".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from causalmi.engine.featurizers.linear import Turned, basis_of
from causalmi.errors import SpecError
from causalmi.methods.align.learner import Learner, Share, Shares
from causalmi.methods.align.method import Trained
from causalmi.methods.align.places import Places
from causalmi.methods.align.turning import drawn, off_orthonormal, orthonormal, step_of
from causalmi.spec.site import Site

Dims = int | Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class DAS(Trained):
    """Learn an orthonormal R_v for each variable; an interchange sets x to x + sum_v (s_v - x) R_v R_v^T.

    ``dims``: how many directions each variable has, one number for all or one for each; a tuple tries several, all in
    one run. Variables at one place have disjoint blocks of one rotation. Minimised is the cross-entropy of the causal
    model's counterfactual answer, each row under the interchange of one set of variables drawn for it.
    """

    dims: Dims | tuple[Dims, ...] = 1
    name = "DAS"

    @property
    def tries(self) -> tuple[Dims, ...]:
        """The numbers of dimensions to try."""
        return self.dims if isinstance(self.dims, tuple) else (self.dims,)

    def alone(self, label: Mapping[str, Any]) -> "DAS":
        return replace(self, dims=next(d for d in self.tries if _shown(d) == label["dims"]))

    def learner(self, places: Places, widths: Mapping[Site, int], seed: int) -> Learner:
        wanted = [_dims(dims, places.variables) for dims in self.tries]
        for dims in wanted:
            _refuse_whole(dims, places, widths)
        return Subspaces(places, widths, [(dims, s) for dims in wanted for s in self.seeds_from(seed)], self.lr)


class Subspaces(Learner):
    """Points of (dims of each variable, seed), each with a rotation at every place."""

    def __init__(
        self, places: Places, widths: Mapping[Site, int], points: list[tuple[Mapping[str, int], int]], angle: float
    ) -> None:
        self.places, self._widths, self._points, self._angle = places, widths, points, angle
        self.labels = [{"dims": _label(dims), "seed": seed} for dims, seed in points]
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

    def rates(self, lr: float) -> Mapping[str, float]:
        return {str(place): step_of(lr, width) for place, width in self._widths.items()}

    def off(self, point: int) -> float:
        return max(off_orthonormal(orthonormal(raw)[point].detach()) for raw in self.parameters.values())

    def _most(self, place: Site) -> int:
        return max(sum(dims[v] for v in self.places.at[place]) for dims, _ in self._points)

    @cached_property
    def _masks(self) -> Mapping[Site, Tensor]:
        """By place, which directions belong to which variable, [points, variables, directions]."""
        found = {place: torch.zeros(self.points, len(vs), self._most(place)) for place, vs in self.places.at.items()}
        for place, variables in self.places.at.items():
            for i, (dims, _) in enumerate(self._points):
                start = 0
                for j, v in enumerate(variables):
                    found[place][i, j, start : start + dims[v]] = 1
                    start += dims[v]
        return found


def _dims(dims: Dims, variables: tuple[str, ...]) -> Mapping[str, int]:
    """How many directions each variable has; raises SpecError."""
    table = dict.fromkeys(variables, dims) if isinstance(dims, int) else dict(dims)
    if set(table) != set(variables) or not all(type(k) is int and k > 0 for k in table.values()):
        raise SpecError("DAS", [f"dims is {dims!r}; give a whole number from 1, or one for each of {variables}"])
    return table


def _refuse_whole(dims: Mapping[str, int], places: Places, widths: Mapping[Site, int]) -> None:
    """With every direction of a place nothing is left to be learned."""
    for place, variables in places.at.items():
        total, width = sum(dims[v] for v in variables), widths[place]
        if total > width or (total == width and len(variables) == 1):
            raise SpecError(
                "DAS",
                [
                    f"{' and '.join(variables)} are to have {total} of the {width} directions at {place}, "
                    "which leaves nothing to be learned; give fewer dims"
                ],
            )


def _shown(dims: Dims) -> Any:
    """The dims in the table of fits."""
    return dims if isinstance(dims, int) else _label(dims)


def _label(dims: Mapping[str, int]) -> Any:
    """The dims as one number where they are equal."""
    sizes = set(dims.values())
    return sizes.pop() if len(sizes) == 1 else ", ".join(f"{v} {k}" for v, k in dims.items())
