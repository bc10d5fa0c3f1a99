"""Which sites does a sweep visit? A `Grid` names a family of sites before the network, and so its depth, is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from causalmi.errors import SiteError
from causalmi.spec.site_type import HEAD_KINDS, KINDS, LAYER_KINDS, Site

UNSAID: Any = object()


@dataclass(frozen=True)
class Grid:
    """All combinations of layers, heads and positions of one kind of site; None means all that the network has.

    ``at`` None says nothing of positions: a sweep takes each position of a stream, and a head's all together.
    """

    kind: str
    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    at: tuple[Any, ...] | None = None

    def expand(self, *, n_layers: int, n_heads: int | None = None) -> tuple[Site, ...]:
        """The sites, in the order layer, head, position.

        >>> grid("resid_post", at=["last"]).expand(n_layers=2)
        (resid_post(0, at='last'), resid_post(1, at='last'))
        """
        layers: Sequence[int | None] = self.layers if self.layers is not None else range(n_layers)
        heads: Sequence[int | None] = (None,)
        if self.kind in HEAD_KINDS:
            heads = self.heads if self.heads is not None else range(n_heads or 0)
        if self.kind not in LAYER_KINDS:
            layers = (None,)
        return tuple(Site(self.kind, layer, head, at) for layer, head, at in product(layers, heads, self.at or (None,)))


def grid(kind: str, *, layers: Any = None, heads: Any = None, at: Any = UNSAID) -> Grid:
    """Sites of one ``kind`` over ``layers``, ``heads`` and positions ``at`` (a list); what is left out means all.

    Positions left out are each in turn for a sweep over a stream, all together for heads; ``at=None``: all together.

    Raises SiteError for a kind that a grid cannot span.
    """
    if kind not in KINDS or kind == "module":
        raise SiteError(f"no grid of {kind!r}; a grid spans one of {', '.join(KINDS[:-1])}")
    positions = None if at is UNSAID else tuple(at) if isinstance(at, list | tuple | range) else (at,)
    as_tuple = [None if x is None else tuple(x) for x in (layers, heads)]
    return Grid(kind, as_tuple[0], as_tuple[1], positions)
