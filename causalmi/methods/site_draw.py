"""Which other places could have been claimed? Random sites of the same kind and size, random subspaces of a place."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from causalmi.engine.locate import Place, locate
from causalmi.engine.model import plan
from causalmi.errors import CausalmiError, SiteError
from causalmi.methods.feature_draw import other_features, some_bases
from causalmi.methods.swap import Alignment, Swap
from causalmi.spec.basis import Basis
from causalmi.spec.site import HEAD_KINDS, LAYER_KINDS, Site

TRIES = 50


@dataclass(frozen=True)
class SiteDraw:
    """Draws sites that could stand in for the aligned ones of a swap."""

    swap: Swap
    rng: np.random.Generator
    _alike: dict[Site, list[str]] = field(default_factory=dict)

    def alignment(self, subset: tuple[str, ...]) -> Alignment:
        """Random sites of the kinds and sizes of the aligned ones, apart from each other, and none where it was.

        Raises SiteError when the network has none, and for features.
        """
        claimed = self._claimed(subset)
        if terms := [site for site in claimed if site.featurizer is not None]:
            raise SiteError(
                f"{terms[0]} has its featurizer for this place alone, which at another would write other numbers; "
                "use RandomSubspace, which draws other features of it"
            )
        for _ in range(TRIES):
            drawn: list[Site] = []
            for site in claimed:
                drawn.append(self._drawn(site, drawn))
            moved = not any(self._same(a, b) for a, b in zip(claimed, drawn, strict=True))
            if moved and self._fit(drawn):
                return self._aligned(subset, drawn)
        several = f"{len(claimed)} sites such as {claimed[0]}" if len(claimed) > 3 else " and ".join(map(str, claimed))
        raise SiteError(f"{self.swap.model.name} has no other sites of the type of {several}, or none that lie apart")

    def subspaces(self, subset: tuple[str, ...]) -> Alignment:
        """The aligned sites along random directions, as many as theirs, orthogonal where two share a place.

        Features are drawn among the others of their featurizer. Raises SiteError for a site without directions or
        features, and for one that has all there are.
        """
        claimed, drawn = self._claimed(subset), list[Site]()
        for site in claimed:
            if site.featurizer is not None:
                drawn.append(self._other_features(site, drawn))
                continue
            if site.basis is None:
                raise SiteError(f"{site} is no subspace, so there is no other of its size; use RandomSite")
            if site.basis.dims == site.basis.width:
                raise SiteError(f"{site} is the whole space, so there is no other of its size; use RandomSite")
            drawn.append(self._turned(site, drawn))
        if not self._fit(drawn):
            raise SiteError(f"{' and '.join(map(str, claimed))} share numbers, and no others of their sizes were found")
        return self._aligned(subset, drawn)

    def _claimed(self, subset: tuple[str, ...]) -> list[Site]:
        return [site for v in subset for site in self.swap.alignment[v]]

    def _aligned(self, subset: tuple[str, ...], sites: list[Site]) -> Alignment:
        rest = iter(sites)
        return {v: tuple(next(rest) for _ in self.swap.alignment[v]) for v in subset}

    def _turned(self, site: Site, taken: list[Site]) -> Site:
        """The site along random directions, uniform among those orthogonal to the ones ``taken`` of its place."""
        if site.basis is None:
            return site
        place, (dims, width) = replace(site, basis=None), (site.basis.dims, site.basis.width)
        others = [s.basis for s in taken if s.basis is not None and s.basis.width == width and self._meet(s, place)]
        free = np.eye(width)
        if others and sum(other.dims for other in others) + dims <= width:
            free = Basis.of(np.hstack([other.columns for other in others]).T).complement().columns
        return place.along(self.rng.standard_normal((dims, free.shape[1])) @ free.T)

    def _other_features(self, site: Site, taken: list[Site]) -> Site:
        """As many features of the same featurizer, none of those ``taken`` at this place."""
        mine = [s for s in taken if s.featurizer == site.featurizer and self._meet(s, site)]
        used = {i for other in mine for i in other.chosen or range(site.featurizer.size)}
        return other_features(self.swap, self.rng, site, used)

    def _meet(self, a: Site, b: Site) -> bool:
        """Whether the places of two sites have numbers in common."""
        return not self._fit([replace(s, basis=None, featurizer=None, chosen=None) for s in (a, b)])

    def _drawn(self, site: Site, taken: list[Site]) -> Site:
        changes: dict[str, Any] = {}
        if site.kind in LAYER_KINDS:
            changes["layer"] = int(self.rng.integers(self.swap.model.adapter.shape.n_layers))  # type: ignore[attr-defined]
        if site.kind in HEAD_KINDS and site.head is not None:
            changes["head"] = self._head(site)
        if site.at is not None:
            changes["at"] = self._at(site)
        if site.neurons is not None:
            changes["neurons"] = self._neurons(site, taken)
        if site.kind == "module" and (site.neurons is None or changes["neurons"] == tuple(sorted(site.neurons))):
            alike = self._modules_alike(replace(site, neurons=None, basis=None))
            changes["path"] = alike[int(self.rng.integers(len(alike)))] if alike else site.path
        return self._turned(replace(site, **changes), taken)

    def _head(self, site: Site) -> int | tuple[int, ...]:
        heads = self.swap.model.adapter.tap(site).heads or 1
        if isinstance(site.head, int):
            return int(self.rng.integers(heads))
        return self._some(heads, len(site.head or ()))

    def _at(self, site: Site) -> Any:
        """As many positions, among those that all examples have."""
        selection = self._place(site).selection
        k = 1 if selection.positions is None else selection.positions.shape[1]
        inputs = (self.swap.pairs.base, *self.swap.pairs.sources.values())
        shortest = int(min(x.lengths.min() for x in inputs))
        drawn = self._some(shortest, min(k, shortest))
        return drawn[0] if selection.one_position else drawn

    def _neurons(self, site: Site, taken: list[Site]) -> tuple[int, ...]:
        """As many neurons, where that can be not those of ``site``, nor of the sites already ``taken``."""
        width, k = self._place(replace(site, neurons=None, basis=None)).shape[-1], len(site.neurons or ())
        used = {i for other in taken if other.path == site.path for i in other.neurons or ()}
        others = [i for i in range(width) if i not in used]
        apart = [i for i in others if i not in (site.neurons or ())]
        pool = next((some for some in (apart, others) if len(some) >= k), range(width))
        return tuple(sorted(self.rng.choice(pool, k, replace=False).tolist()))

    def _some(self, n: int, k: int) -> tuple[int, ...]:
        return tuple(sorted(self.rng.choice(n, k, replace=False).tolist()))

    def _modules_alike(self, site: Site) -> list[str]:
        """Paths of modules that give other values of the same shape; a container gives those of its last part."""
        if site not in self._alike:
            self._alike[site] = list(self._search(site))
        return self._alike[site]

    def _search(self, site: Site) -> Iterator[str]:
        few = some_bases(self.swap)
        own = self.swap.model.run(few, read=[site])[site]
        for other in self.swap.model.sites():
            if other.kind == "module" and other.path != site.path:
                there = replace(site, path=other.path)
                try:
                    value = self.swap.model.run(few, read=[there])[there]
                except CausalmiError:
                    continue  # a module that is never called, or called twice, is no alternative
                if value.shape == own.shape and not torch.equal(value, own):
                    yield str(other.path)

    def _place(self, site: Site) -> Place:
        return locate(self.swap.model.adapter, self.swap.pairs.base, [site])[site]

    def _same(self, a: Site, b: Site) -> bool:
        """Whether two sites of one kind are at the same numbers in some example, whatever their directions there."""
        whole = {"at": None, "neurons": None, "basis": None}
        if replace(a, **whole) != replace(b, **whole):  # type: ignore[arg-type]
            return False
        if (a.neurons and set(a.neurons)) != (b.neurons and set(b.neurons)):
            return False
        x, y = (self._place(s).selection.positions for s in (a, b))
        return x is None or y is None or bool((x.sort(1).values == y.sort(1).values).all(1).any())

    def _fit(self, sites: list[Site]) -> bool:
        """Whether edits at all of ``sites`` can be made in one run."""
        try:
            plan(self.swap.model, self.swap.pairs.base, edits=dict.fromkeys(sites, 0.0))
        except CausalmiError:
            return False
        return len(set(sites)) == len(sites)
