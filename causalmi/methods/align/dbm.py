"""Which neurons, or other features, carry a variable? Differential binary masking: every feature has a learned mask.

Cao et al. 2020, "How do decisions emerge across layers in neural models?"; Davies et al. 2023, "Discovering variable
binding circuitry with desiderata".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.featurizers.constants import constant
from causalmi.engine.featurizers.featurizer import Featurizer, prove
from causalmi.engine.featurizers.linear import Identity
from causalmi.errors import SpecError
from causalmi.methods.align.annealed import Annealed, temperatures
from causalmi.methods.align.gates import Budget, Gate, HardConcrete, Sigmoid
from causalmi.methods.align.learner import Learner
from causalmi.methods.align.masking import Masks
from causalmi.methods.align.method import Problem
from causalmi.spec.site import Site

GATES = ("sigmoid", "hard_concrete", "budget")
Fits = Callable[[Tensor], Featurizer]  # from values [n, width]


@dataclass(frozen=True, kw_only=True)
class DBM(Annealed):
    """Learn for each feature i a gate m_i in [0, 1], the share of it that is interchanged, and claim those over 1/2.

    ``featurizer``: the terms in which features are meant, by default the neurons themselves; a function of the values
    at a place in the training pairs, [n, width], such as ``PCA.of``, makes one for each place.
    ``gate``: "sigmoid", m = sigmoid(a / T), where T falls as ``temperature`` says; "hard_concrete", a random m that is
    exactly 0 or 1 often, whose penalty is the probability that it is not 0; or "budget", m = sigmoid((a - c) / T) with
    the threshold c at which the gates of a place add up to ``features``, which takes the place of the penalty.
    Variables at one place share each gate out by a softmax over them, at the same T: no feature becomes two's.
    A variable that is left with no feature has the one that is nearest to it; the table of fits names it (``empty``).
    """

    featurizer: Featurizer | Fits | None = None
    gate: Literal["sigmoid", "hard_concrete", "budget"] = "sigmoid"
    features: int | tuple[int, ...] | None = None
    temperature: tuple[float, float] = (1.0, 0.05)
    name = "DBM"

    @property
    def tries(self) -> list[Mapping[str, Any]]:
        """The penalties, or the numbers of features, to try."""
        if self.gate != "budget":
            return [{"penalty": x} for x in self.penalties]
        several = self.features if isinstance(self.features, tuple) else (self.features,)
        return [{"features": x} for x in several]

    def alone(self, label: Mapping[str, Any]) -> "DBM":
        return super().alone(label) if self.gate != "budget" else replace(self, features=label["features"])

    def refuse(self, problem: Problem) -> None:
        for place, width in problem.widths.items():
            if self.featurizer is None or isinstance(self.featurizer, Featurizer):
                self._refuse_for(problem, place, Identity(width) if self.featurizer is None else self.featurizer)

    def learner(self, problem: Problem) -> Learner:
        self.refuse(problem)
        featurizers = {place: self._featurizer(problem, place) for place in problem.places.at}
        labels = [{**each, "seed": seed} for each in self.tries for seed in self.seeds_from(problem.seed)]
        weights = [float(label.get("penalty", 0.0)) for label in labels]
        return Masks(problem.places, featurizers, self._gate(labels), labels, weights, self.temperature)

    @property
    def ready_made(self) -> bool:
        return isinstance(self.featurizer, Featurizer)

    def _gate(self, labels: list[dict[str, Any]]) -> Gate:
        if self.gate == "budget":
            return Budget(torch.tensor([float(label["features"]) for label in labels]))
        return Sigmoid() if self.gate == "sigmoid" else HardConcrete()

    def _featurizer(self, problem: Problem, place: Site) -> Featurizer:
        """The terms in which a place is written; raises SpecError or SiteError for what is none of its width."""
        if self.featurizer is None:
            return Identity(problem.widths[place])
        values = vectors(problem, place)
        found: Any = self.featurizer if isinstance(self.featurizer, Featurizer) else self.featurizer(values)
        self._refuse_for(problem, place, found)
        featurizer: Featurizer = found
        prove(constant(featurizer), values)
        return featurizer

    def _refuse_for(self, problem: Problem, place: Site, found: Any) -> None:
        """What is no featurizer of a place's numbers, or has too few features; raises SpecError."""
        width = problem.widths[place]
        if not isinstance(found, Featurizer) or found.width != width:
            of = getattr(found, "width", None)
            raise SpecError(self.name, [f"{found!r} is no featurizer of the {width} numbers at {place}, but of {of}"])
        wanted = max(len(problem.places.at[place]), *(each.get("features", 0) for each in self.tries))
        if wanted > found.size:
            raise SpecError(self.name, [f"there are {found.size} features at {place}, and {wanted} would be needed"])

    def problems(self) -> list[str]:
        found = super().problems() + temperatures(self.temperature)
        if self.gate not in GATES:
            found.append(f"gate is {self.gate!r}, it must be one of {', '.join(GATES)}")
        given = self.features if isinstance(self.features, tuple) else (self.features,)
        whole = bool(given) and all(type(k) is int and k > 0 for k in given)
        if (self.gate == "budget") != (self.features is not None) or (self.gate == "budget" and not whole):
            found.append(f"features is {self.features!r}, it must be a whole number from 1 with gate='budget' alone")
        terms: Any = self.featurizer
        if not (terms is None or isinstance(terms, Featurizer) or callable(terms)):
            found.append(f"featurizer is {terms!r}, give a featurizer, or a function of values that makes one")
        return found


def vectors(problem: Problem, place: Site) -> Float[Tensor, "n width"]:
    """The vectors at a place in the sources of the training pairs."""
    swap = problem.train.swap
    return torch.cat([swap.source(v).values[place].flatten(0, -2) for v in problem.places.at[place]])
