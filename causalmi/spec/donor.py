"""Which other input does a node of a claim receive its value from? The strategies of causal scrubbing.

Chan et al. 2022, "Causal scrubbing: a method for rigorously testing interpretability hypotheses".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from causalmi.errors import SpecError

Feature = str | Callable[..., Any]
Setting = Mapping[str, Any]


@dataclass(frozen=True)
class Pool:
    """Donors drawn once and used again: for references alike, one of ``size`` assignments, picked at random.

    Nodes whose pools have one ``name`` and whose donors are alike share theirs; without a name it is the node's own.
    Raises SpecError for a size below 1.
    """

    size: int = 4
    name: str = ""

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 1:
            raise SpecError("Pool", [f"size is {self.size!r}, it must be a whole number from 1"])


@dataclass(frozen=True)
class Donor:
    """How a node's own datum is drawn, given the datum of the node that it feeds (its reference)."""


@dataclass(frozen=True, init=False)
class Agree(Donor):
    """x ~ Unif{x in data : features(x) = features(reference)}, with replacement, the reference itself included.

    ``on`` are variables of the causal model, or functions whose argument names are such; by default the node's own
    variable. Raises SpecError for anything else.

    >>> Agree("x", lambda y: y % 2, pool=Pool(1, "even")).pool.size
    1
    """

    on: tuple[Feature, ...]
    pool: Pool | None

    def __init__(self, *on: Feature, pool: Pool | None = None):
        if bad := [f for f in on if not (isinstance(f, str) or callable(f))]:
            raise SpecError("Agree", [f"{bad[0]!r} is no feature; give names of variables, or functions of them"])
        if pool is not None and not isinstance(pool, Pool):
            raise SpecError("Agree", [f"pool is {pool!r}, it must be a causalmi.Pool"])
        object.__setattr__(self, "on", on)
        object.__setattr__(self, "pool", pool)


@dataclass(frozen=True)
class Exact(Donor):
    """The reference itself: the node is not resampled."""


@dataclass(frozen=True)
class Unconditional(Donor):
    """x ~ Unif(data), whatever the reference is."""


@dataclass(frozen=True)
class Together(Donor):
    """x ~ Unif(data), one draw for each reference that all nodes with this ``name`` share."""

    name: str = "together"


@dataclass(frozen=True)
class Paired(Donor):
    """The counterpart of the reference: what ``counterpart(setting)`` gives, or its partner in the given pairs."""

    counterpart: Callable[[Setting], Setting] | None = None


@dataclass(frozen=True, init=False)
class Generated(Donor):
    """New data ``make(setting, rng)`` that agree with the reference, for classes too small to draw from.

    ``make`` gives the inputs of the causal model, from the reference's setting and a numpy Generator; whether they
    agree on ``on`` (as in :class:`Agree`) is checked.
    """

    make: Callable[[Setting, np.random.Generator], Setting]
    on: tuple[Feature, ...]

    def __init__(self, make: Callable[[Setting, np.random.Generator], Setting], *on: Feature):
        if not callable(make):
            raise SpecError("Generated", [f"make is {make!r}, it must be a function (setting, rng) -> setting"])
        object.__setattr__(self, "make", make)
        object.__setattr__(self, "on", on)
