"""What is usual at a place? The mean of a site's values, over all positions or for each, and how much they vary."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.locate import Place
from causalmi.errors import PositionError, SiteError
from causalmi.methods.ablation import AblationData, Replacement, Values, over_positions, real
from causalmi.spec.site import Site


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and standard deviation, each [(head,) width], in the precision and on the device of the values."""

    mean: Tensor
    std: Tensor


def moments(data: AblationData, sites: Sequence[Site]) -> dict[Site, Moments]:
    """Over the reference: at each site, each entry over all examples and, where there are any, selected positions.

    Padding does not count. Raises SiteError for the attention pattern, whose entries are positions themselves.
    """
    for site in sites:
        if site.kind == "pattern":
            raise SiteError(f"{site}: a mean over query positions is no attention pattern; use MeanPositional")
    places, sums = data.places(sites, data.pool), dict[Site, tuple[int, Tensor, Tensor]]()
    kept = dict[Site, Tensor]()
    for inputs, values in data.captured(sites, data.pool):
        for site in sites:
            kept[site], x = values[site], _own(values[site], site, places[site], inputs).cpu().double()
            n, first, second = sums.get(site, (0, torch.zeros(()), torch.zeros(())))
            sums[site] = (n + len(x), first + x.sum(0), second + x.square().sum(0))
    return {site: _moments(*sums[site], like=kept[site]) for site in sites}


def _moments(n: int, first: Tensor, second: Tensor, *, like: Tensor) -> Moments:
    mean = first / n
    std = (second / n - mean.square()).clamp(min=0).sqrt()
    return Moments(*(x.to(like.dtype).to(like.device) for x in (mean, std)))


def _own(x: Tensor, site: Site, place: Place, inputs: Inputs) -> Tensor:
    """The values [m, (head,) width] of real positions, all in one row."""
    if not over_positions(site, place, inputs):
        return x
    return x[real(inputs).to(x.device)] if site.at is None else x.flatten(0, 1)


def positional(data: AblationData, sites: Sequence[Site]) -> Replacement:
    """At each position, counted from an example's own start, the mean over the reference's values there.

    Raises SiteError for a site without positions, PositionError for a position that no example of the reference has.
    """
    tables = {site: _table(data, site) for site in sites}
    indices = {site: _indices(data, site, len(tables[site])) for site in sites}
    single = {site: place.selection.one_position for site, place in data.places(sites, data.inputs).items()}

    def rows(some: slice) -> Values:
        found = {site: tables[site][indices[site][some].to(tables[site].device)] for site in sites}
        return {site: value[:, 0] if single[site] else value for site, value in found.items()}

    return Replacement(rows)


def _table(data: AblationData, site: Site) -> Tensor:
    """The mean at each position of the reference, [pos, (head,) width]."""
    whole = replace(site, at=None)
    place, length = data.places([whole], data.pool)[whole], int(data.pool.lengths.max())
    _refuse(data, site, over_positions(whole, place, data.pool))
    total, count = torch.zeros(length, *place.shape[2:], dtype=torch.float64), torch.zeros(length, dtype=torch.float64)
    for inputs, values in data.captured([whole], data.pool):
        mine = real(inputs).cpu()
        own = (torch.arange(mine.shape[1]) - inputs.starts.cpu()[:, None])[mine]
        total.index_add_(0, own, values[whole].cpu()[mine].double())
        count.index_add_(0, own, torch.ones(len(own), dtype=torch.float64))
        like = values[whole]
    mean = total / count.view(-1, *[1] * (total.ndim - 1))
    return mean.to(like.dtype).to(like.device)


def _indices(data: AblationData, site: Site, covered: int) -> Int[Tensor, "n k"]:
    """For each example the rows of the table at its positions; padding takes those at the ends."""
    place, inputs = data.places([site], data.inputs)[site], data.inputs
    at = place.selection.positions
    own = (torch.arange(inputs.values.shape[1])[None] if at is None else at.cpu()) - inputs.starts.cpu()[:, None]
    missing = (own >= covered) & (real(inputs).cpu() if at is None else True)
    if bool(missing.any()):
        row = int(missing.any(1).int().argmax())
        raise PositionError(
            f"{site}: example {row} has a position {int(own[row][missing[row]][0])}, and the longest example of the "
            f"reference has {covered} tokens; give a reference with longer ones, or use Mean"
        )
    return own.clamp(0, covered - 1)


def _refuse(data: AblationData, site: Site, has_positions: bool) -> None:
    if not has_positions:
        raise SiteError(f"{site}: there are no positions here, so there is no mean for each; use Mean")
    if site.kind == "pattern":
        alike = data.inputs.values.shape[1] == data.pool.values.shape[1]
        if not alike or not bool(real(data.inputs).all() & real(data.pool).all()):
            raise SiteError(f"{site}: patterns of examples of different lengths have no mean; give one length")
