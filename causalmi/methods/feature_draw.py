"""Which other features could have been claimed? As many of the same featurizer, of those that change at all."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from causalmi.data.inputs import Inputs
from causalmi.errors import SiteError
from causalmi.methods.swap import Swap
from causalmi.spec.site import Site

TRIES = 50
LOOKED_AT = 32  # examples that are looked at, spread over all: neighbours may be alike


def other_features(swap: Swap, rng: np.random.Generator, site: Site, used: set[int]) -> Site:
    """``site`` with as many other features, none of those ``used``; of its own only where there are too few others.

    Features that are the same on all examples are drawn only where no others are left: most of a dictionary's never
    fire, and an interchange of these would be beaten by anything. Raises SiteError for a site of all features.
    """
    own, size = site.chosen, site.featurizer.size
    if own is None or len(own) == size:
        raise SiteError(f"{site} is all the features there are, so there are no others; use ShuffledSources")
    free = [i for i in range(size) if i not in used]
    others = [i for i in free if i not in own]
    alive = changing(swap, site)
    for _ in range(TRIES):
        drawn = _some(rng, [[i for i in others if i in alive], others, free], len(own))
        if drawn is not None and set(drawn) != set(own):
            return replace(site, chosen=drawn)
    raise SiteError(f"{site} leaves too few other features to draw as many from")


def changing(swap: Swap, site: Site) -> set[int]:
    """The features at the place of ``site`` that are not the same on all of some bases."""
    whole = replace(site, chosen=None)
    found = swap.model.capture(some_bases(swap), whole)[whole].flatten(0, -2)
    return set((found != found[:1]).any(0).nonzero()[:, 0].tolist())


def some_bases(swap: Swap) -> Inputs:
    """A few bases, from first to last."""
    base = swap.pairs.base
    return base.rows(torch.linspace(0, len(base) - 1, min(LOOKED_AT, len(base))).long())


def _some(rng: np.random.Generator, pools: Sequence[Sequence[int]], k: int) -> tuple[int, ...] | None:
    """``k`` of the first pool that has as many."""
    pool = next((pool for pool in pools if len(pool) >= k), None)
    return None if pool is None else tuple(sorted(rng.choice(pool, k, replace=False).tolist()))
