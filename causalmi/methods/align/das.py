"""Which directions at a place carry a variable? Distributed alignment search: the subspace is learned.

Geiger et al. 2024, "Finding alignments between interpretable causal variables and distributed neural representations".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from causalmi.errors import SpecError
from causalmi.methods.align.learner import Learner
from causalmi.methods.align.method import Problem, Trained
from causalmi.methods.align.places import Places
from causalmi.methods.align.subspaces import Nested, Subspaces, label
from causalmi.spec.site import Site

Dims = int | Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class DAS(Trained):
    """Learn an orthonormal R_v for each variable; an interchange sets x to x + sum_v (s_v - x) R_v R_v^T.

    ``dims``: how many directions each variable has, one number for all or one for each; a tuple tries several, all in
    one run. Variables at one place have disjoint blocks of one rotation. Minimised is the cross-entropy of the causal
    model's counterfactual answer, each row under the interchange of one set of variables drawn for it.
    ``nested``: the tries share one rotation, of which each claims the first directions; it is learned for all of them,
    by the mean of their losses. No variable may then have fewer directions in a larger try.
    """

    dims: Dims | tuple[Dims, ...] = 1
    nested: bool = False
    name = "DAS"

    @property
    def tries(self) -> tuple[Dims, ...]:
        """The numbers of dimensions to try."""
        return self.dims if isinstance(self.dims, tuple) else (self.dims,)

    def alone(self, label: Mapping[str, Any]) -> "DAS":
        return replace(self, dims=next(d for d in self.tries if _shown(d) == label["dims"]))

    def problems(self) -> list[str]:
        if self.tries and all(map(_possible, self.tries)):
            return super().problems()
        said = f"dims is {self.dims!r}; give a whole number from 1, one for each variable, or a tuple of some of these"
        return [*super().problems(), said]

    def refuse(self, problem: Problem) -> None:
        self._wanted(problem)

    def learner(self, problem: Problem) -> Learner:
        points = [(dims, s) for dims in self._wanted(problem) for s in self.seeds_from(problem.seed)]
        kind = Nested if self.nested else Subspaces
        return kind(problem.places, problem.widths, points, self.lr)

    def _wanted(self, problem: Problem) -> list[Mapping[str, int]]:
        """How many directions each variable has in each try; raises SpecError for what does not fit the places."""
        wanted = [_dims(dims, problem.places.variables) for dims in self.tries]
        for dims in wanted:
            _refuse_whole(dims, problem.places, problem.widths)
        return _ordered(wanted) if self.nested else wanted


def _possible(dims: Any) -> bool:
    """Whether these are numbers of directions, for whatever variables."""
    sizes = list(dims.values()) if isinstance(dims, Mapping) else [dims]
    return bool(sizes) and all(type(k) is int and k > 0 for k in sizes)


def _dims(dims: Dims, variables: tuple[str, ...]) -> Mapping[str, int]:
    """How many directions each variable has; raises SpecError."""
    table = dict.fromkeys(variables, dims) if isinstance(dims, int) else dict(dims)
    if set(table) != set(variables):
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


def _ordered(tries: list[Mapping[str, int]]) -> list[Mapping[str, int]]:
    """The tries from the smallest on, each a part of the next; raises SpecError for others."""
    found = sorted(tries, key=lambda dims: sum(dims.values()))
    if any(small[v] > large[v] for small, large in pairwise(found) for v in small):
        said = "; ".join(", ".join(f"{v} {k}" for v, k in dims.items()) for dims in found)
        raise SpecError("DAS", [f"nested dims are {said}; no variable may have fewer directions in a larger one"])
    return found


def _shown(dims: Dims) -> Any:
    """The dims in the table of fits."""
    return dims if isinstance(dims, int) else label(dims)
