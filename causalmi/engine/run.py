"""What does a run give? Its logits, and the numbers at the sites that were read."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from causalmi.errors import SiteError
from causalmi.spec.site import Site


@dataclass(frozen=True, eq=False)
class Run:
    """What a run gave: ``logits``, [batch, pos, vocabulary] or [batch, classes], and ``out[site]`` for each read."""

    logits: Tensor
    values: Mapping[Site, Tensor]

    def __getitem__(self, site: Site) -> Tensor:
        if site not in self.values:
            have = ", ".join(map(str, self.values)) or "none"
            raise SiteError(f"{site} was not read in this run, which has {have}; name it in read=[...]")
        return self.values[site]

    def __repr__(self) -> str:
        shapes = {"logits": self.logits, **{str(site): value for site, value in self.values.items()}}
        return f"Run({', '.join(f'{name} {list(x.shape)}' for name, x in shapes.items())})"
