"""One node's run in copies of the network, one for each set of feeders that have come along their routes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from causalmi.data.positions import resolve
from causalmi.methods.scrubbing.draw import REST
from causalmi.methods.scrubbing.graph import Node
from causalmi.models.scm import CausalModule
from causalmi.spec.site_type import Site

ATTENTION, LOGITS = ("q", "k", "v", "pattern", "z", "head_out", "attn_out"), Site("logits")


def whole(site: Site) -> Site:
    """The place that a site is a part of."""
    if site.kind == "resid_pre" and site.layer:
        return Site("resid_post", site.layer - 1)
    return Site(site.kind, site.layer, path=site.path)


@dataclass(eq=False)
class Copies:
    """One node's run: ``data`` that its unmapped rest sees, by term, and the values of its feeders."""

    book: Any
    node: Node
    data: Mapping[str, int]
    given: Mapping[str, Mapping[Site, Tensor]]
    known: dict[tuple[str, frozenset[str]], dict[Site, Tensor]] = field(default_factory=dict)

    def run(self, read: Iterable[Site]) -> dict[Site, Tensor]:
        edits = self.copy(REST, frozenset(self.given))
        return self.book.run(self.data[REST], edits, read)

    def copy(self, key: str, present: frozenset[str]) -> dict[Site, Tensor]:
        """What is at every place that matters, on the datum of one term, when some feeders are present."""
        if (key, present) not in self.known:
            done: dict[Site, Tensor] = {}
            for place in self.places:
                x = self.book.run(self.data[key], done, [place])[place].clone()
                self._without(key, present, place, x)
                if key == REST and place in self.terms:
                    self._apart(present, place, x)
                self._fed(key, present, place, x)
                done[place] = x
            self.known[key, present] = done
        return self.known[key, present]

    def _without(self, key: str, present: frozenset[str], place: Site, x: Tensor) -> None:
        """Put what excluded feeders cannot change, number by number."""
        barred = {f: self._barred(f, place, key, x) for f in sorted(present)}
        for size in range(1, len(barred) + 1):
            for some in combinations(barred, size):
                here = torch.ones_like(x, dtype=torch.bool)
                for f, mask in barred.items():
                    here &= mask if f in some else ~mask
                if bool(here.any()):
                    x[here] = self.copy(key, present - set(some))[place][here]

    def _barred(self, feeder: str, place: Site, key: str, like: Tensor) -> Tensor:
        mask = torch.zeros_like(like, dtype=torch.bool)
        for site in self.excluded(feeder):
            if whole(site) == place:
                mask[self._index(site, key, like)] = True
        return mask

    def excluded(self, feeder: str) -> list[Site]:
        """The sites past which a feeder's paths must lead."""
        route, own = self.node.routes[feeder], list(self.given[feeder])
        between = [
            p for p in self.book.parts for a in own for b in self.targets
            if self.book.before(a, p) and self.book.before(p, b) and not self.book.is_end(p, b) and not _one_part(a, p) and not _one_part(b, p)
        ] if route.direct else []  # fmt: skip
        return [*route.excluding, *between]

    def _apart(self, present: frozenset[str], place: Site, x: Tensor) -> None:
        share = self.node.unmapped.share
        if share == "term":
            if place.kind != "z":
                x[:] = self.copy(str(place), present)[place]
            else:
                for head in range(x.shape[2]):
                    x[:, :, head] = self.copy(f"{place} head {head}", present)[place][:, :, head]
        elif self._is_apart(place, present, x):
            x[:] = 0 if share == "zero" else self.book.mean(place)

    def _is_apart(self, place: Site, present: frozenset[str], x: Tensor) -> bool:
        if place not in self.terms:
            return False
        return self.node.unmapped.share == "term" or not any(self._arrives(f, place, x) for f in present)

    def constant(self, node: Node) -> Tensor:
        """What the estimate is where the remainder is put to zero or to its mean."""
        data = range(len(self.book.setup.population))
        each = torch.stack([self.book.estimate(node, i) for i in data])
        return each.mean(0) * (self.node.unmapped.share == "mean")

    def _arrives(self, feeder: str, place: Site, x: Tensor) -> bool:
        reached = any(self.book.before(whole(s), place) for s in self.given[feeder])
        return reached and not bool(self._barred(feeder, place, REST, x).all())

    def _fed(self, key: str, present: frozenset[str], place: Site, x: Tensor) -> None:
        for f in sorted(present):
            node = self.book.setup.graph.nodes[f]
            for site, value in self.given[f].items():
                if whole(site) == place:
                    index = self._index(site, key, x)
                    if node.estimate is None:
                        x[index] = moved(x[index], value, site)
                    elif key != REST or not self._is_apart(place, present, x):
                        x[index] += (value - self.book.estimate(node, self.data[key])).reshape(x[index].shape)
                    elif self.node.unmapped.share != "term":  # a term has moved on its own datum
                        x[index] += (value - self.constant(node)).reshape(x[index].shape)

    def _index(self, site: Site, key: str, x: Tensor) -> tuple[Any, ...]:
        """The numbers that a site means, in one example."""
        axes = [list(range(size)) for size in x.shape]
        if site.at is not None:
            found = resolve(site.at, self.book.inputs(self.data[key]))
            assert found is not None
            axes[1] = found[0].tolist()
        if site.head is not None:
            axes[2] = [site.head] if isinstance(site.head, int) else list(site.head)
        if site.neurons is not None:
            axes[-1] = list(site.neurons)
        return np.ix_(*axes)

    @property
    def targets(self) -> tuple[Site, ...]:
        return self.node.sites or (LOGITS,)

    @cached_property
    def terms(self) -> list[Site]:
        """The unmapped terms, where they are set apart."""
        nodes, share = self.book.setup.graph.nodes, self.node.unmapped.share
        fed = {s for f, values in self.given.items() for s in values if nodes[f].estimate is None}
        if share not in ("term", "zero", "mean"):
            return []
        if isinstance(module := self.book.setup.model.module, CausalModule):
            names = [module.causal_model.output if t == LOGITS else str(t.path) for t in self.targets]
            parents = {p for name in names for p in module.causal_model.parents[name]}
            return [p for p in self.book.parts if p.path in parents and p not in fed]
        found = [p for p in self.book.parts for t in self.targets if self.book.before(p, t) and not _one_part(t, p)]
        if share != "term":
            found.append(Site("embed") if any(s.kind == "embed" for s in fed) else Site("resid_pre", 0))
        return [p for p in found if p not in fed]

    @cached_property
    def places(self) -> list[Site]:
        sites = [s for f, values in self.given.items() for s in (*values, *self.excluded(f))]
        return sorted({*self.terms, *map(whole, sites)}, key=self.book.order)


def moved(x: Tensor, value: Tensor, site: Site) -> Tensor:
    """A part with new numbers, along the site's directions where it has some."""
    if site.basis is None:
        return value.reshape(x.shape)
    r = torch.from_numpy(np.array(site.basis.columns)).to(x)
    return x + (value.reshape(*x.shape[:-1], -1) - x @ r) @ r.T


def _one_part(a: Site, b: Site) -> bool:
    """Whether both belong to one attention or one MLP."""
    kinds = [(ATTENTION if s.kind in ATTENTION else "mlp" if s.kind.startswith("mlp") else s) for s in (a, b)]
    return a.layer == b.layer and a.kind != "module" and kinds[0] == kinds[1]
