"""How can the place of a variable be found? Each way is a value; all give alignments, which are judged alike."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from causalmi.engine.model import Model
from causalmi.errors import SpecError
from causalmi.methods.align.batches import Pool
from causalmi.methods.align.judging import Counts
from causalmi.methods.align.places import Places
from causalmi.methods.subsets import Subset
from causalmi.methods.swap import Alignment
from causalmi.rng import stream
from causalmi.spec.site import Site

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Problem:
    """Where variables are looked for, and the pairs to learn from and to choose by; those to judge on are not here."""

    train: Pool
    validation: Pool
    places: Places
    subsets: Sequence[Subset]
    seed: int
    progress: Progress | None = None
    checkpoint: Path | None = None

    @property
    def model(self) -> Model:
        """The network."""
        return self.train.swap.model

    @cached_property
    def widths(self) -> Mapping[Site, int]:
        """How many numbers a vector has at each place."""
        return self.places.widths(self.model, self.train.swap.pairs.base)


@dataclass(frozen=True, eq=False)
class Fitted:
    """One alignment that a method found: what it is (``{"dims": 4, "seed": 0}``), its sites, and how it came about.

    ``more`` are numbers for the table of fits, such as the accuracy with soft masks; ``score`` is among them where fits
    are chosen by something else than the agreement. ``nonlinear``: features may be computed from what the vectors only
    imply, so that a network without the variable could seem to have it.
    """

    label: Mapping[str, Any]
    alignment: Alignment
    more: Mapping[str, Any] = field(default_factory=dict)
    nonlinear: bool = False


class Method(ABC):
    """A way to find alignments."""

    name: ClassVar[str]
    batch: int = 64  # bases that are recorded together, of which steps of training take as many

    @abstractmethod
    def fits(self, problem: Problem) -> list[Fitted]:
        """Every alignment that is found, for each of which the validation pairs will speak.

        Raises SpecError, before anything is run, for what does not fit the places.
        """

    def refuse(self, problem: Problem) -> None:  # noqa: B027  (most fit everywhere)
        """Raise SpecError or SiteError for what does not fit the places, before anything is run."""

    @property
    def by_answers(self) -> bool:
        """Whether it learns from the counterfactual answers."""
        return True

    @property
    def ready_made(self) -> bool:
        """Whether its features were made beforehand, and are not made again for another network."""
        return False

    @property
    def tries_made(self) -> int:
        """How many alignments it tries, or steps it takes, for one that it finds."""
        return 100

    def alone(self, label: Mapping[str, Any]) -> "Method":
        """The same method for one of its points alone, as it stands in the table of fits."""
        return self

    def problems(self) -> list[str]:
        """What is wrong with the settings."""
        return []

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            if isinstance(value, list):  # several are a tuple, which does not change
                object.__setattr__(self, name, tuple(value))
        if problems := self.problems():
            raise SpecError(type(self).__name__, problems)


@dataclass(frozen=True, kw_only=True)
class Trained(Method):
    """What all methods that are trained share.

    At most ``steps`` steps of Adam on ``batch`` pairs each, in which a direction turns by at first about ``lr``
    radians and at last by none; every ``check`` steps the validation pairs are asked, and when they have not improved
    for ``patience`` times training ends. The best step by them is taken. ``seeds`` is from how many starts.
    """

    steps: int = 500
    lr: float = 0.1
    batch: int = 64
    check: int = 25
    patience: int = 8
    seeds: int = 1

    whole: ClassVar[bool] = False  # whether training goes to its end, which is then taken: for masks that harden

    @abstractmethod
    def learner(self, problem: Problem) -> Any:
        """What is learned."""

    def weights(self, changed: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
        """How much each pair of a batch counts in its loss, given whether the answer is to differ from the base's."""
        return torch.full(changed.shape, 1 / len(changed))

    def scores(self, counts: Counts) -> Float[Tensor, " points"]:
        """By what the best step of each point is chosen; of steps that are equal in it the one with the least loss."""
        return counts.agreement

    def more(self, counts: Counts) -> Mapping[str, Sequence[float]]:
        """What else the table of fits says of the points, from their agreement on the validation pairs."""
        return {}

    def fits(self, problem: Problem) -> list[Fitted]:
        from causalmi.methods.align.fitting import fit

        return fit(self, problem)

    @property
    def tries_made(self) -> int:
        return self.steps

    def seeds_from(self, seed: int) -> list[int]:
        """The seed of each start."""
        return [int(stream(seed, "start", str(i)).integers(2**31)) for i in range(self.seeds)]

    def problems(self) -> list[str]:
        counts = ("steps", "batch", "check", "patience", "seeds")
        bad = [n for n in counts if type(getattr(self, n)) is not int or getattr(self, n) < 1]
        found = [f"{name} is {getattr(self, name)!r}, it must be a whole number from 1" for name in bad]
        if not (isinstance(self.lr, int | float) and 0 < self.lr < float("inf")):
            found.append(f"lr is {self.lr!r}, it must be a positive number")
        return found
