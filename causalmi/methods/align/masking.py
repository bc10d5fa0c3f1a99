"""Which features of a place are a variable's? Gates say which are anyone's, and owners share those out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from causalmi.engine.featurizers.constants import constant
from causalmi.engine.featurizers.featurizer import Featurizer
from causalmi.engine.featurizers.linear import Identity, Turned, basis_of
from causalmi.methods.align.annealed import fallen
from causalmi.methods.align.gates import Gate
from causalmi.methods.align.learner import Learner, Share, Shares
from causalmi.methods.align.places import Places
from causalmi.methods.align.subspaces import label
from causalmi.methods.hard_concrete import uniform
from causalmi.rng import torch_stream
from causalmi.spec.basis import Basis
from causalmi.spec.site import Site


class Masks(Learner):
    """Points, each with a gate for every feature of every place, and owners where variables share a place.

    The mask of variable v is gate * softmax_v(owners / t): the masks of a feature add up to its gate. Hardened, a
    feature whose gate is open belongs to the variable with the largest entry.
    """

    def __init__(
        self,
        places: Places,
        featurizers: Mapping[Site, Featurizer],
        gate: Gate,
        labels: Sequence[Mapping[str, Any]],
        weights: Sequence[float],
        temperature: tuple[float, float],
    ) -> None:
        self.places, self._featurizers, self._gate = places, featurizers, gate
        self.labels, self._weights, self._temperature = labels, torch.tensor(weights), temperature
        self.parameters, n = {}, len(labels)
        for place, variables in places.at.items():
            size = featurizers[place].size
            self.parameters[str(place)] = torch.zeros(n, size)
            if len(variables) > 1:
                self.parameters[_owners(place)] = torch.zeros(n, len(variables), size)

    def shares(self, progress: float, *, hard: bool = False) -> list[Shares]:
        masks = {p: self.hard(p)[0].float() if hard else self.soft(p, progress) for p in self.places.at}
        return [
            {place: Share(constant(self._featurizers[place]), masks[place][i]) for place in self.places.at}
            for i in range(self.points)
        ]

    def soft(self, place: Site, progress: float) -> Float[Tensor, "points v size"]:
        """The masks that are trained."""
        a, t = self.parameters[str(place)], fallen(progress, *self._temperature)
        gates = self._gate.soft(a, t, self._draw(place, progress) if self._gate.draws else None)[:, None]
        owners = self.parameters.get(_owners(place))
        return gates if owners is None else gates * (owners / t).softmax(1)

    def _draw(self, place: Site, progress: float) -> Float[Tensor, "points size"]:
        """Uniform numbers for one step, those of a point by its seed alone."""
        a = self.parameters[str(place)]
        streams = [torch_stream(own["seed"], "gates", str(place), repr(progress)) for own in self.labels]
        return torch.stack([uniform((a.shape[1],), generator) for generator in streams]).to(a)

    def penalty(self, progress: float) -> Float[Tensor, " points"]:
        t = fallen(progress, *self._temperature)
        costs = torch.stack([self._gate.cost(self.parameters[str(place)], t) for place in self.places.at])
        return self._weights.to(costs) * costs.mean(0)

    @torch.no_grad()
    def hard(self, place: Site) -> tuple[Bool[Tensor, "points v size"], Bool[Tensor, "points v"]]:
        """Which features each variable claims, and for which there was none, so that it has the one nearest to it."""
        gates, owners = self._gate.hard(self.parameters[str(place)]), self.parameters.get(_owners(place))
        n = len(self.places.at[place])
        first = torch.zeros_like(gates, dtype=torch.long) if owners is None else owners.argmax(1)
        found = torch.nn.functional.one_hot(first, n).mT.bool() & gates[:, None]
        empty, near = ~found.any(-1), self._nearness(place)
        for point, v in empty.nonzero().tolist():
            taken = (found[point].sum(-1, keepdim=True) == 1) & found[point]  # the only one of another variable
            feature = int(near[point, v].masked_fill(taken.any(0), -torch.inf).argmax())
            found[point, :, feature] = False
            found[point, v, feature] = True
        return found, empty

    def _nearness(self, place: Site) -> Float[Tensor, "points v size"]:
        """How near each feature is to being a variable's: log sigmoid(a) + log softmax_v(owners)."""
        owners = self.parameters.get(_owners(place))
        gates = torch.nn.functional.logsigmoid(self.parameters[str(place)])[:, None]
        return gates if owners is None else gates + owners.log_softmax(1)

    def found(self, point: int) -> Mapping[str, tuple[Site, ...]]:
        return {
            v: tuple(claimed(place, self._featurizers[place], self._claim(v, place, point)) for place in sites)
            for v, sites in self.places.of.items()
        }

    def _claim(self, variable: str, place: Site, point: int) -> list[int]:
        mask = self.hard(place)[0][point, self.places.at[place].index(variable)]
        return [int(i) for i in mask.nonzero()[:, 0]]

    def more(self, point: int) -> Mapping[str, Any]:
        sizes, without = dict.fromkeys(self.places.of, 0), []
        for place, variables in self.places.at.items():
            masks, empty = self.hard(place)
            for i, v in enumerate(variables):
                sizes[v] += int(masks[point, i].sum())
                without += [v] * bool(empty[point, i])
        return {"dims": label(sizes), "empty": ", ".join(dict.fromkeys(without))}

    @property
    def nonlinear(self) -> bool:
        return not all(featurizer.linear for featurizer in self._featurizers.values())


def claimed(place: Site, featurizer: Featurizer, chosen: Sequence[int]) -> Site:
    """The site of some features: neurons, a linear subspace, or features of whatever it is."""
    basis = basis_of(featurizer.columns) if isinstance(featurizer, Turned) else getattr(featurizer, "basis", None)
    if isinstance(featurizer, Identity):
        return place if len(chosen) == featurizer.width else replace(place, neurons=tuple(chosen))
    if isinstance(basis, Basis):
        return place if len(chosen) == basis.width else place.along(Basis(basis.columns[:, list(chosen)]))
    return place.features(featurizer, chosen)


def _owners(place: Site) -> str:
    """The name of the parameter of which variable has which feature."""
    return f"{place} owners"
