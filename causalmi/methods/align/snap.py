"""Would single neurons do as well as the subspace that was found? A subspace is snapped to the neurons nearest to it.

Geiger et al. 2024, "Finding alignments between interpretable causal variables and distributed neural representations",
algorithm 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import SiteError
from causalmi.methods.align.method import Fitted, Method, Problem
from causalmi.methods.swap import Alignment, widened
from causalmi.spec.site import Site

Floats = NDArray[np.float64]
Rule = Callable[[list[Floats]], list[tuple[int, ...]]]  # the columns of variables at one place -> neurons of each


@dataclass(frozen=True, kw_only=True)
class SnapToLocalist(Method):
    """The neurons nearest to the subspaces that ``of`` finds, as many for each variable as it has directions.

    Again and again the greatest |R_ij| left gives neuron i to the variable of direction j, and row i and column j are
    deleted. Raises SiteError when ``of`` finds something other than subspaces.
    """

    of: Method
    name = "snapped to neurons"

    @property
    def batch(self) -> int:  # type: ignore[override]
        return self.of.batch

    @property
    def by_answers(self) -> bool:
        return self.of.by_answers

    @property
    def tries_made(self) -> int:
        return self.of.tries_made

    def refuse(self, problem: Problem) -> None:
        self.of.refuse(problem)

    def fits(self, problem: Problem) -> list[Fitted]:
        found = self.of.fits(problem)
        return [Fitted(each.label, localised(each.alignment, greatest_entries)) for each in found]

    def alone(self, label: Mapping[str, Any]) -> "SnapToLocalist":
        return replace(self, of=self.of.alone(label))

    def problems(self) -> list[str]:
        if isinstance(self.of, Method) and not isinstance(self.of, SnapToLocalist):
            return []
        return [f"of is {self.of!r}, it must be a method that finds subspaces, such as causalmi.DAS(dims=4)"]


def localised(alignment: Alignment, rule: Rule) -> Alignment:
    """Every subspace of ``alignment`` replaced by as many neurons, which ``rule`` picks for each place.

    Raises SiteError for what is no subspace.
    """
    found: dict[tuple[str, Site], Site] = {}
    for place, at in _at(alignment).items():
        for v, neurons in zip(at, rule([_columns(site) for site in at.values()]), strict=True):
            found[v, at[v]] = replace(place, neurons=neurons)
    return {v: tuple(found[v, site] for site in sites) for v, sites in alignment.items()}


def greatest_entries(columns: list[Floats]) -> list[tuple[int, ...]]:
    """By the greatest |R_ij|, then without its row and column."""
    size = np.abs(np.concatenate(columns, 1))
    owner = np.repeat(np.arange(len(columns)), [c.shape[1] for c in columns])
    owned = [list[int]() for _ in columns]
    for _ in range(size.shape[1]):
        neuron, column = np.unravel_index(int(size.argmax()), size.shape)
        owned[owner[column]].append(int(neuron))
        size[neuron], size[:, column] = -1.0, -1.0
    return [tuple(sorted(neurons)) for neurons in owned]


def greatest_rows(columns: list[Floats]) -> list[tuple[int, ...]]:
    """By the greatest length of a row of a variable's R, which no choice of directions in its subspace changes."""
    length = np.stack([np.linalg.norm(c, axis=1) for c in columns], axis=1)
    owned = [list[int]() for _ in columns]
    for _ in range(sum(c.shape[1] for c in columns)):
        neuron, variable = np.unravel_index(int(length.argmax()), length.shape)
        owned[variable].append(int(neuron))
        length[neuron] = -1.0
        if len(owned[variable]) == columns[variable].shape[1]:
            length[:, variable] = -1.0
    return [tuple(sorted(neurons)) for neurons in owned]


def _at(alignment: Alignment) -> dict[Site, dict[str, Site]]:
    """By place, the subspace of each variable that has one there."""
    found: dict[Site, dict[str, Site]] = {}
    for v, sites in alignment.items():
        for site in sites:
            found.setdefault(widened(site), {})[v] = site
    return found


def _columns(site: Site) -> Floats:
    if site.basis is None or site.neurons is not None:
        raise SiteError(f"{site} is no subspace of a whole place, so there are no neurons to snap it to")
    return site.basis.columns
