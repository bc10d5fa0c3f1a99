"""How are some features of a place read, and put back? The rest of its numbers stays as it was."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from causalmi.engine.featurizers.featurizer import Featurizer, precise, prove
from causalmi.engine.projection import Projection


@dataclass(frozen=True, eq=False)
class Features(Projection):
    """The ``chosen`` features that ``featurizer`` writes vectors in; None for all of them.

    The first vectors that are written to must come back from their own features and rest, or SiteError is raised.
    """

    featurizer: Featurizer
    chosen: tuple[int, ...] | None = None
    _proved: list[bool] = field(default_factory=list, init=False, repr=False)

    @property
    def dims(self) -> int:
        return self.featurizer.size if self.chosen is None else len(self.chosen)

    def read(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... dims"]:
        features = self.featurizer.encode(precise(x))[0]
        return (features if self.chosen is None else features[..., list(self.chosen)]).to(x.dtype)

    def write(self, x: Float[Tensor, "... width"], coordinates: Float[Tensor, "... dims"]) -> Tensor:
        if not self._proved:
            prove(self.featurizer, x)
            self._proved.append(True)
        features, rest = self.featurizer.encode(precise(x))
        if self.chosen is None:
            new = coordinates.to(features)
        else:
            new = features.clone()
            new[..., list(self.chosen)] = coordinates.to(features)
        return self.featurizer.decode(new, rest).to(x.dtype)
