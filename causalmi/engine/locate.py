"""Does the network have this site, on these examples, and what shape do its numbers have there?"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from causalmi.data.inputs import Inputs
from causalmi.data.positions import is_single, resolve
from causalmi.engine.featurizers.constants import constant
from causalmi.engine.featurizers.features import Features
from causalmi.engine.featurizers.featurizer import tried
from causalmi.engine.hooks import Step, hooked
from causalmi.engine.projection import Fixed, Projection
from causalmi.engine.selection import Selection
from causalmi.engine.state import evaluating
from causalmi.errors import DataError, SiteError
from causalmi.models.adapter import Adapter
from causalmi.models.tap import Tap
from causalmi.spec.site import Site


@dataclass(frozen=True)
class Place:
    """A site found in a network: where to hook, what to select, and the shape [batch, ...] of what is selected."""

    tap: Tap
    selection: Selection
    shape: tuple[int, ...]
    sequence: bool  # it spans the positions of a whole example, so only examples of one length match


def locate(adapter: Adapter, inputs: Inputs, sites: Iterable[Site]) -> dict[Site, Place]:
    """Each of ``sites`` found; raises SiteError or PositionError with the reason for the first that is not there.

    A featurizer that does not give vectors back is refused as well.
    """
    taps = {site: adapter.tap(site) for site in sites}
    found = {site: _place(site, tap, _full_shape(adapter, site, tap, inputs), inputs) for site, tap in taps.items()}
    for featurizer in dict.fromkeys(site.featurizer for site in taps if site.featurizer is not None):
        tried(constant(featurizer), _numbers(adapter))
    return found


def _place(site: Site, tap: Tap, full: tuple[int, ...], inputs: Inputs) -> Place:
    length = inputs.values.shape[1]
    if site.at is not None and (len(full) < 3 or not tap.positions or full[1] != length):
        raise SiteError(f"{site}: its values have shape {full}, without an axis of {length} positions; leave out at=")
    if site.neurons is not None and max(site.neurons) >= full[-1]:
        raise SiteError(
            f"{site}: neuron {max(site.neurons)} is past the end; there are {full[-1]}, 0 to {full[-1] - 1}"
        )
    width = full[-1] if site.neurons is None else len(site.neurons)
    if site.basis is not None and site.basis.width != width:
        raise SiteError(f"{site}: its directions have {site.basis.width} numbers, the place has {width}")
    if site.featurizer is not None and site.featurizer.width != width:
        raise SiteError(
            f"{site}: its featurizer takes {site.featurizer.width} numbers, the place has {width}; choose neurons "
            "first, as in place[0:8].features(featurizer), or use a featurizer made for this place"
        )
    head = (site.head,) if isinstance(site.head, int) else site.head
    positions = None if site.at is None else resolve(site.at, inputs)
    selection = Selection(
        positions=positions,
        heads=head,
        neurons=site.neurons,
        one_position=is_single(site.at),
        one_head=isinstance(site.head, int),
        projection=projection(site),
    )
    spans = tap.needs_pattern or (site.at is None and tap.positions and len(full) > 2 and full[1] == length)
    return Place(tap, selection, selection.shape(full), spans and inputs.mask is not None)


def projection(site: Site) -> Projection | None:
    """How the site's directions or features are read and put back; None where it means the numbers themselves."""
    if site.featurizer is not None:
        return Features(constant(site.featurizer), site.chosen)
    return None if site.basis is None else Fixed(site.basis)


def _numbers(adapter: Adapter) -> torch.Tensor:
    """A tensor of the network's kind: its device, and float64 where that is what it computes in."""
    dtypes = (p.dtype for p in adapter.module.parameters() if p.is_floating_point())
    return torch.empty(0, dtype=next(dtypes, torch.float32), device=adapter.device)


def _full_shape(adapter: Adapter, site: Site, tap: Tap, inputs: Inputs) -> tuple[int, ...]:
    """The shape of everything that passes at the tap: from its own sizes, or from running the first example."""
    n, length = inputs.values.shape[:2]
    if tap.needs_pattern:
        return (n, length, tap.heads or 1, length)
    if tap.width is not None:
        heads = () if tap.heads is None else (tap.heads,)
        return (n, *((length,) if tap.positions else ()), *heads, tap.width)
    known = adapter.probed.setdefault(tuple(inputs.values.shape[1:]), {})
    key = site.path or site.kind
    if key not in known:
        known[key] = _probe(adapter, tap, inputs)
    return (n, *known[key])


def _probe(adapter: Adapter, tap: Tap, inputs: Inputs) -> tuple[int, ...]:
    """The shape of one example's values at a module whose sizes only a run can tell."""
    whole, device = Site("module", path="probe"), adapter.device
    one = inputs.rows(slice(0, 1)).to(device)
    step = Step(site=whole, tap=tap, selection=Selection())
    with torch.no_grad(), evaluating(adapter.module), hooked([step]) as trace:
        try:
            adapter.call(one.values, one.mask)
        except (RuntimeError, IndexError, TypeError) as error:  # what modules raise for inputs that do not fit
            shape = tuple(one.values.shape)
            raise DataError(f"{adapter.name} cannot be run on an example of shape {shape}: {error}") from error
    if whole not in trace.values:
        raise SiteError("that submodule is never called when the network runs; name one that is")
    value: Any = trace.values[whole]
    if value.ndim < 2 or value.shape[0] != 1:
        raise SiteError(f"that submodule gives shape {tuple(value.shape)} for one example, without a batch axis first")
    return tuple(value.shape[1:])
