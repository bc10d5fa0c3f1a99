"""Which places does a sweep patch, one after the other? Grids spanned, windows of layers, and all of it checked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from causalmi.data.inputs import Inputs
from causalmi.engine.locate import locate
from causalmi.engine.model import Model, plan
from causalmi.errors import DataError, ModelError, SiteError
from causalmi.spec.site import HEAD_KINDS, Grid, Site

STREAM = ("embed", "resid_pre", "resid_mid", "resid_post", "final_norm", "logits")


@dataclass(frozen=True)
class Patch:
    """What is replaced at one time: ``site``, after which it is named, and the same place in the layers around it."""

    site: Site
    together: tuple[Site, ...]


def patches(model: Model, sites: Any, inputs: Inputs, window: int) -> list[Patch]:
    """The patches of a sweep. Raises SiteError, DataError or ModelError for what is no site, or no window."""
    if type(window) is not int or window < 1:
        raise DataError(f"window is {window!r}; give how many layers are patched together, a whole number from 1")
    listed = _listed(model, sites, inputs)
    if window == 1:
        return [Patch(site, (as_z(site),)) for site in listed]
    if bad := [s for s in listed if s.layer is None or s.kind in STREAM]:
        raise DataError(
            f"{bad[0]} has no window of layers: what is written into the stream there is all that later layers see; "
            "use window=1, or sites such as attn_out, mlp_out and z"
        )
    depth = _depth(model)
    return [Patch(site, tuple(as_z(replace(site, layer=i)) for i in _around(site, window, depth))) for site in listed]


def as_z(site: Site) -> Site:
    """A head's contribution to the stream is its z through W_O, so another input's is set by its z: d_head numbers.

    Directions and features of the stream are none of z.
    """
    return replace(site, kind="z") if site.kind == "head_out" and not site.projected else site


def check_patches(model: Model, todo: Sequence[Patch], base: Inputs, source: Inputs) -> None:
    """Raises SiteError or PositionError for a place that an input lacks or that does not match in both."""
    model.adapter.check(source.values)
    locate(model.adapter, base, [patch.site for patch in todo])  # so that a mistake is said of what was asked
    same = base.lengths.equal(source.lengths) and base.starts.equal(source.starts)
    sites = list(dict.fromkeys(site for patch in todo for site in patch.together))
    here, there = (locate(model.adapter, inputs, sites) for inputs in (base, source))
    for site in sites:
        if here[site].shape != there[site].shape or (here[site].sequence and not same):
            raise SiteError(
                f"{site} spans whole examples, and bases and sources have unequal lengths; "
                "name a position with at=, or give prompts of one length"
            )
    plan(model, base, edits=dict.fromkeys(todo[0].together, 0.0))


def _span(model: Model, grid: Grid, inputs: Inputs) -> Sequence[Site]:
    """The grid's sites; where it says nothing of positions, each position of a stream, and a head's all together."""
    if grid.at is None and grid.kind not in HEAD_KINDS and grid.kind != "module" and bool(inputs.lengths.any()):
        shortest, longest = int(inputs.lengths.min()), int(inputs.lengths.max())
        if shortest != longest:
            raise DataError(
                f"the examples have {shortest} to {longest} positions, so there is no grid over each; "
                "name positions with at=[...], or at=None for all of them together"
            )
        grid = replace(grid, at=tuple(range(longest)))
    return model.sites(grid)


def _listed(model: Model, sites: Any, inputs: Inputs) -> list[Site]:
    given = list(sites) if isinstance(sites, list | tuple) else [sites]
    listed = [s for each in given for s in (_span(model, each, inputs) if isinstance(each, Grid) else [each])]
    if not listed or not all(isinstance(site, Site) for site in listed):
        raise SiteError(
            f"the sites are {sites!r}; give at least one site, or grids, made with causalmi.site, or with site.parse "
            "from text"
        )
    return list(dict.fromkeys(listed))


def _around(site: Site, window: int, depth: int) -> range:
    """``window`` layers with the site's in the middle, the later one of two, as far as the network has them."""
    assert site.layer is not None
    first = site.layer - window // 2
    return range(max(0, first), min(depth, first + window))


def _depth(model: Model) -> int:
    shape = getattr(model.adapter, "shape", None)
    if shape is None:
        raise ModelError(f"{model.name} has no layers to make a window of; use window=1")
    return int(shape.n_layers)
