"""Which paths through a network does an edge of a claim mean? All of them, all but those through some sites, or one."""

from collections.abc import Iterable
from dataclasses import dataclass

from causalmi.errors import SpecError
from causalmi.spec.site_type import Site


@dataclass(frozen=True, init=False)
class Route:
    """Every path from a variable's place to the place of the variable that reads it, but those through ``excluding``.

    A site with positions excludes the paths through those positions alone. ``direct`` excludes every head and MLP in
    between: what is left is the residual stream. Raises SpecError for what is no site.

    >>> Route(excluding=[Site("mlp_out", 0)])
    Route(excluding=(mlp_out(0),), direct=False)
    """

    excluding: tuple[Site, ...]
    direct: bool

    def __init__(self, *, excluding: Iterable[Site] | Site = (), direct: bool = False):
        sites = (excluding,) if isinstance(excluding, Site) else tuple(excluding)
        if bad := [s for s in sites if not isinstance(s, Site)]:
            raise SpecError("Route", [f"{bad[0]!r} is no site; make one with causalmi.site"])
        object.__setattr__(self, "excluding", sites)
        object.__setattr__(self, "direct", direct)

    def __str__(self) -> str:
        named = f"all paths but through {', '.join(map(str, self.excluding))}" if self.excluding else "all paths"
        return "the direct path" if self.direct else named


EVERYTHING = Route()
