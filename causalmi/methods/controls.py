"""Would the same number come out if the claim were wrong? Controls that a true claim must beat."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from causalmi.engine.locate import locate
from causalmi.engine.model import plan
from causalmi.errors import CausalmiError, SiteError
from causalmi.methods.swap import Swap
from causalmi.rng import stream
from causalmi.spec.site import HEAD_KINDS, LAYER_KINDS, Site

TRIES = 200


class Control(ABC):
    """A variation of an interchange test under which a true claim's accuracy should fall."""

    name: str

    @abstractmethod
    def hits(self, swap: Swap, subset: tuple[str, ...], seed: int) -> Tensor:
        """Whether each pair's answer is the counterfactual one all the same, bool [n].

        Raises SiteError or ModelError when the control cannot be had here; the message says why.
        """


@dataclass(frozen=True)
class ShuffledSources(Control):
    """Each base receives the activations of another pair's source, while the expected label stays its own."""

    name = "shuffled sources"

    def hits(self, swap: Swap, subset: tuple[str, ...], seed: int) -> Tensor:
        n = len(swap.pairs)
        if n < 2:
            raise SiteError("one pair cannot be shuffled")
        order = {}
        for variable in subset:
            rows = stream(seed, "shuffled sources", variable).permutation(n)
            other = np.empty(n, dtype=np.int64)
            other[rows] = np.roll(rows, 1)  # one cycle through all pairs, so that none keeps its own source
            order[variable] = torch.from_numpy(other)
        return swap.hits(subset, swap.interchange(subset, order))


@dataclass(frozen=True)
class UntrainedModel(Control):
    """The same interchange in a network of the same shape whose weights were drawn afresh."""

    name = "untrained network"

    def hits(self, swap: Swap, subset: tuple[str, ...], seed: int) -> Tensor:
        fresh = replace(swap, model=swap.model.untrained(seed))
        return swap.hits(subset, fresh.interchange(subset))


@dataclass(frozen=True)
class RandomSite(Control):
    """The same interchange at ``n`` random sites of the same type and size, the pairs shared out among them."""

    n: int = 8
    name = "random site"

    def hits(self, swap: Swap, subset: tuple[str, ...], seed: int) -> Tensor:
        rng = stream(seed, "random site", *subset)
        hits = torch.zeros(len(swap.pairs), dtype=torch.bool)
        for i in range(self.n):
            alignment = _other(swap, subset, rng)
            rows = torch.arange(i, len(swap.pairs), self.n)
            if len(rows):
                part = Swap(swap.model, swap.pairs.rows(rows), alignment, swap.batch_size)
                hits[rows] = part.hits(subset, part.interchange(subset))
        return hits


DEFAULT = (ShuffledSources(), RandomSite(), UntrainedModel())


def _other(swap: Swap, subset: tuple[str, ...], rng: np.random.Generator) -> dict[str, tuple[Site, ...]]:
    """Random sites of the kinds and sizes of the aligned ones, apart from each other, and none where it was."""
    for _ in range(TRIES):
        drawn: list[Site] = []
        for site in (site for v in subset for site in swap.alignment[v]):
            drawn.append(_drawn(site, swap, rng, drawn))
        claimed = [site for v in subset for site in swap.alignment[v]]
        if not any(_same(a, b, swap) for a, b in zip(claimed, drawn, strict=True)) and _fits(drawn, swap):
            rest = iter(drawn)
            return {v: tuple(next(rest) for _ in swap.alignment[v]) for v in subset}
    sites = " and ".join(str(site) for v in subset for site in swap.alignment[v])
    raise SiteError(f"{swap.model.name} has no other sites of the type of {sites}")


def _drawn(site: Site, swap: Swap, rng: np.random.Generator, taken: list[Site]) -> Site:
    """A random site of the kind and size of ``site``, its neurons not those of the sites ``taken`` where it can be."""
    changes: dict[str, Any] = {}
    adapter, shape = swap.model.adapter, getattr(swap.model.adapter, "shape", None)
    if site.kind in LAYER_KINDS:
        changes["layer"] = int(rng.integers(shape.n_layers))  # type: ignore[union-attr]
    if site.kind in HEAD_KINDS and site.head is not None:
        heads = adapter.tap(site).heads or 1
        several = rng.choice(heads, 1 if isinstance(site.head, int) else len(site.head), replace=False).tolist()
        changes["head"] = several[0] if isinstance(site.head, int) else tuple(sorted(several))
    if site.at is not None:
        k = _place(site, swap).selection.positions.shape[1]
        shortest = int(min(x.lengths.min() for x in (swap.pairs.base, *swap.pairs.sources.values())))
        drawn = sorted(rng.choice(shortest, min(k, shortest), replace=False).tolist())
        changes["at"] = drawn[0] if _place(site, swap).selection.one_position else tuple(drawn)
    if site.neurons is not None:
        width = _place(replace(site, neurons=None), swap).shape[-1]
        used = {i for other in taken if other.path == site.path for i in other.neurons or ()}
        free = [i for i in range(width) if i not in used]
        of = free if len(free) >= len(site.neurons) else range(width)
        changes["neurons"] = tuple(sorted(rng.choice(of, len(site.neurons), replace=False).tolist()))
    if site.kind == "module" and site.neurons is None:
        alike = list(_modules_alike(site, swap))
        changes["path"] = alike[int(rng.integers(len(alike)))] if alike else site.path
    return replace(site, **changes)


def _modules_alike(site: Site, swap: Swap) -> Iterator[str]:
    """Paths of other modules that give values of the same shape."""
    shape = _place(site, swap).shape
    for other in swap.model.sites():
        if other.kind == "module" and other.path and other.path != site.path:
            try:
                if _place(replace(site, path=other.path), swap).shape == shape:
                    yield other.path
            except CausalmiError:
                continue  # a module that is never called, or that gives something else, is no alternative


def _place(site: Site, swap: Swap) -> Any:
    return locate(swap.model.adapter, swap.pairs.base, [site])[site]


def _same(a: Site, b: Site, swap: Swap) -> bool:
    """Whether two sites of one kind are the same numbers in some example."""
    if replace(a, at=None) != replace(b, at=None):
        return False
    x, y = (_place(s, swap).selection.positions for s in (a, b))
    return x is None or y is None or bool((x.sort(1).values == y.sort(1).values).all(1).any())


def _fits(sites: list[Site], swap: Swap) -> bool:
    """Whether edits at all of ``sites`` can be made in one run."""
    try:
        plan(swap.model, swap.pairs.base, edits=dict.fromkeys(sites, 0.0))
    except CausalmiError:
        return False
    return len(set(sites)) == len(sites)
