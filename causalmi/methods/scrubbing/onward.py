"""Does a place lead to another one, its positions and heads counted? A head looks back, and acts where it is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxtyping import Int
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.locate import locate
from causalmi.engine.model import Model
from causalmi.methods.scrubbing.reach import STREAM, DecoderReach, Reach
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site_type import Site

IN_HEADS = ("q", "k", "v", "pattern", "z", "head_out")
ACROSS = ("k", "v")  # what one position of these says goes to others


@dataclass(frozen=True, eq=False)
class Onward:
    """The order of a network's places on some inputs; in a transformer also that of their positions and heads."""

    reach: Reach
    model: Model
    inputs: Inputs
    known: dict[Site, Int[Tensor, "n k"] | None] = field(default_factory=dict)

    def reaches(self, a: Site, b: Site) -> bool:
        """Whether what is at ``a`` can go, in any example, into what is at ``b``."""
        if not self.reach.reaches(a, b):
            return False
        adapter = self.model.adapter
        if not isinstance(adapter, DecoderAdapter) or "module" in (a.kind, b.kind):
            return True
        return self._same_head(a, b, adapter) and self._position_reaches(a, b, adapter)

    def blocked(self, a: Site, b: Site, by: Sequence[Site]) -> bool:
        """Whether every path from ``a`` to ``b`` runs through the sites ``by``."""
        return self.reach.blocked(a, b, by) or any(self._cut_at_the_end(a, s, b) for s in by if s != b)

    def _cut_at_the_end(self, a: Site, by: Site, b: Site) -> bool:
        """Whether ``a`` is at the last position alone, and ``by`` all of the stream there: nothing looks back at it."""
        adapter = self.model.adapter
        if not isinstance(adapter, DecoderAdapter) or not adapter.causal or by.kind not in STREAM:
            return False
        if by.neurons is not None or by.projected or not (self.reaches(a, by) and self.reaches(by, b)):
            return False
        first, there = self._positions(a, adapter), self._positions(by, adapter)
        last = (self.inputs.starts + self.inputs.lengths - 1)[:, None].cpu()
        return (
            first is not None and bool((first == last).all()) and (there is None or bool((there == last).any(1).all()))
        )

    def _same_head(self, a: Site, b: Site, adapter: DecoderAdapter) -> bool:
        if a.layer != b.layer or a.kind not in IN_HEADS or b.kind not in IN_HEADS:
            return True
        return bool(_heads(a, adapter) & _heads(b, adapter))

    def _position_reaches(self, a: Site, b: Site, adapter: DecoderAdapter) -> bool:
        first, last = self._positions(a, adapter), self._positions(b, adapter)
        if first is None or last is None:
            return True
        pairs = first[:, :, None], last[:, None, :]
        if not self._moves(a, b, adapter):
            return bool((pairs[0] == pairs[1]).any())
        return not adapter.causal or bool((pairs[0] <= pairs[1]).any())

    def _moves(self, a: Site, b: Site, adapter: DecoderAdapter) -> bool:
        """Whether attention lies between, so that one position can go into another."""
        if a.kind in ACROSS:
            return True
        assert isinstance(self.reach, DecoderReach)
        heads = [(Site("k", layer), Site("z", layer)) for layer in range(adapter.shape.n_layers)]
        return any(self.reach.reaches(a, k) and (self._at(z, b) or self.reach.reaches(z, b)) for k, z in heads)

    @staticmethod
    def _at(z: Site, b: Site) -> bool:
        return b.layer == z.layer and b.kind in ("pattern", "z", "head_out")

    def _positions(self, site: Site, adapter: DecoderAdapter) -> Int[Tensor, "n k"] | None:
        """Where a site is; None for everywhere, or where that is not known."""
        if site.at is None and site not in self.known:
            return None
        if site not in self.known:
            self.known[site] = locate(adapter, self.inputs, [site])[site].selection.positions
        return self.known[site]


def _heads(site: Site, adapter: DecoderAdapter) -> set[int]:
    """The attention heads that a site has a part in; a key-value head belongs to several."""
    shape = adapter.shape
    own = site.kind in ACROSS
    chosen = (
        (site.head,) if isinstance(site.head, int) else site.head or range(shape.n_kv_heads if own else shape.n_heads)
    )
    each = shape.n_heads // shape.n_kv_heads if own else 1
    return {h * each + i for h in chosen for i in range(each)}
