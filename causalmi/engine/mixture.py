"""What is put at a place while its subspace is being learned? The base's features, some of them from the sources.

x' = decode(f(x) + sum_v g_v m_v * (f(s_v) - f(x)), rest(x)): variable v owns the share m_v of each feature, and the row
receives it (g_v = 1) or not. Gradients flow into the masks and into what the featurizer has learned.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.featurizers.featurizer import Featurizer, precise
from causalmi.engine.projection import Projection


@dataclass(frozen=True, eq=False)
class Mixture(Projection):
    """Features of one place that come from the sources of several variables, row by row.

    ``masks`` [variables, size] are the shares that the variables own, ``gates`` [n, variables] say which of them each
    row receives. What is written are the sources' whole vectors, one after the other, [n, ..., variables * width].
    """

    featurizer: Featurizer
    masks: Float[Tensor, "variables size"]
    gates: Float[Tensor, "n variables"]

    @property
    def dims(self) -> int:
        return self.masks.shape[0] * self.featurizer.width

    @property
    def learns(self) -> bool:
        """Whether gradients are wanted of what is run with it."""
        given = (self.masks, *vars(self.featurizer).values())
        return any(isinstance(x, Tensor) and x.requires_grad for x in given)

    def read(self, x: Float[Tensor, "... width"]) -> Tensor:
        return torch.cat([x] * self.masks.shape[0], -1)

    def write(self, x: Float[Tensor, "n ... width"], coordinates: Tensor) -> Tensor:
        base, rest = self.featurizer.encode(precise(x))
        sources = precise(coordinates).unflatten(-1, (self.masks.shape[0], -1))
        moved = self.featurizer.encode(sources)[0] - base[..., None, :]
        gates = self.gates.to(base).view(len(x), *[1] * (x.ndim - 2), -1, 1)
        return self.featurizer.decode(base + (gates * self.masks.to(base) * moved).sum(-2), rest).to(x.dtype)
