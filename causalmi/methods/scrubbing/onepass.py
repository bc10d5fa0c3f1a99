"""What is at a node when the nodes that feed it come from other runs, each along its own routes?

A run of the unmapped rest's datum, with the places of the feeders set. What a route excludes is held at what it would
be without that feeder, which is a run of its own; runs on the same data start from one recording.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.execute import execute, read_only
from causalmi.engine.locate import locate
from causalmi.engine.model import Model, plan
from causalmi.engine.recording import Recording
from causalmi.methods.examples import pick
from causalmi.methods.path_order import one_name
from causalmi.methods.scrubbing.draw import REST
from causalmi.methods.scrubbing.reach import Reach, place_of
from causalmi.spec.site_type import Site

Values = Mapping[Site, Tensor]
Names = frozenset[str]
CONSTANT = "constant"


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """What is the same in all runs of a node: the ``routes``' excluded sites by feeder, and the unmapped terms.

    ``constants`` are what terms are set to where the rest is put to zero or the mean. ``fed``: the feeders' sites.
    """

    reach: Reach
    barred: Mapping[str, frozenset[Site]]
    fed: tuple[Site, ...] = ()
    terms: tuple[Site, ...] = ()
    constants: Values = field(default_factory=dict)

    @cached_property
    def excluded(self) -> tuple[Site, ...]:
        """All excluded sites, in an order of their own."""
        return tuple(sorted({site for sites in self.barred.values() for site in sites}, key=str))

    @cached_property
    def places(self) -> tuple[Site, ...]:
        """The places where anything is set, in the network's order."""
        return tuple(self.reach.sorted(map(place_of, (*self.excluded, *self.terms, *self.fed))))

    @property
    def plain(self) -> bool:
        """Whether one run does."""
        return not self.excluded and not self.terms


@dataclass(frozen=True, kw_only=True, eq=False)
class OnePass:
    """One batch of a node's runs: ``rest`` are the unmapped rest's data by term, ``given`` the feeders' values.

    Of a feeder with an estimate, ``estimated`` has the value by feeder, and ``before``, by term, what the estimate is
    on the rest's own data: what is there moves by the difference. ``before[CONSTANT]`` is that of a constant rest.
    """

    model: Model
    recipe: Recipe
    rest: Mapping[str, Inputs]
    given: Mapping[str, Values]
    estimated: Mapping[str, Values]
    before: Mapping[str, Values]
    at: int | str

    def read(self, sites: Iterable[Site]) -> Values:
        """What is at ``sites``."""
        return self._read(REST, self._received(self._everyone), sites)

    def logits(self) -> Tensor:
        """The logits where they are read, [n, outputs]."""
        edits, inputs = self._received(self._everyone), self.rest[REST]
        if REST in self._recordings:
            return self._recordings[REST].run(edits).logits
        todo = plan(self.model, inputs, edits=edits, batch_size=len(inputs))
        return torch.cat([pick(out, self.at, inputs.rows(rows)) for rows, out, _ in execute(self.model.adapter, todo)])

    @property
    def _everyone(self) -> Names:
        return frozenset((*self.given, *self.estimated))

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        """Clean runs of the data on which several runs are made."""
        return {} if self.recipe.plain else {REST: self.model.record(self.rest[REST], at=self.at)}

    def _read(self, key: str, edits: Values, sites: Iterable[Site]) -> Values:
        sites = tuple(sites)
        if key in self._recordings:
            return self._recordings[key].capture(edits, sites)
        todo = plan(self.model, self.rest[key], edits=edits, read=sites, batch_size=len(self.rest[key]))
        parts = list(read_only(self.model.adapter, todo))
        return {site: torch.cat([part[site] for part in parts]) for site in sites}

    def _received(self, feeders: Names, key: str = REST) -> dict[Site, Tensor]:
        """The edits by which the feeders reach as far as their routes allow, and the terms are set."""
        edits, held = dict[Site, Tensor](), self._held(feeders, key)
        for place in self.recipe.places:
            parts: Values = {site: x for site, x in held.items() if place_of(site) == place}
            if key == REST and self._apart(place, feeders):
                parts = {place: self._term(place, feeders)}
            given = _there(place, feeders, self.given)
            if len(parts) > 1 or (parts and given):
                parts = {place: self._merged(edits, place, {**parts, **given}, key)}
            edits |= parts or given
            self._move(edits, place, feeders, key)
        return edits

    def _held(self, feeders: Names, key: str) -> Values:
        """The excluded sites that some of the feeders do not reach, as they are without those."""
        allowed = {site: self._allowed(feeders, site) for site in self.recipe.excluded}
        moved, found = frozenset(self.estimated), dict[Site, Tensor]()  # others matter where they arrive
        held = {s: self._arriving(feeders, s) | (names & moved) for s, names in allowed.items() if names != feeders}
        for some in dict.fromkeys(held.values()):
            found |= self._read(key, self._received(some, key), [s for s, names in held.items() if names == some])
        return found

    def _allowed(self, feeders: Names, site: Site) -> Names:
        return frozenset(f for f in feeders if site not in self.recipe.barred[f])

    def _arriving(self, feeders: Names, site: Site) -> Names:
        """Those of the feeders that reach ``site`` along their routes."""
        reach, given = self.recipe.reach, {**self.given, **self.estimated}
        return frozenset(f for f in self._allowed(feeders, site) if any(reach.reaches(s, site) for s in given[f]))

    def _apart(self, site: Site, feeders: Names) -> bool:
        """Whether a term is set: always to its own datum's value, to a constant where nothing claimed reaches it."""
        return site in self.recipe.terms and not (self.recipe.constants and self._arriving(feeders, site))

    def _term(self, site: Site, feeders: Names) -> Tensor:
        if site in self.recipe.constants:
            return self.recipe.constants[site].expand(len(self.rest[REST]), *self.recipe.constants[site].shape)
        heads = [key for key in self.rest if key == str(site) or key.startswith(f"{site} head ")]
        parts = [self._value(site, self._arriving(feeders, site), key) for key in heads]
        if len(parts) == 1:
            return parts[0]
        return torch.stack([part[:, :, head] for head, part in enumerate(parts)], dim=2)

    def _value(self, site: Site, feeders: Names, key: str) -> Tensor:
        """What is at ``site`` when ``feeders`` alone are given."""
        return self._read(key, self._received(feeders, key), [site])[site]

    def _merged(self, edits: Values, place: Site, parts: Values, key: str) -> Tensor:
        """What is at a whole place when ``parts`` of it are put there in turn; where they overlap, the last."""
        whole = parts[place] if place in parts else self._read(key, edits, [place])[place]
        whole = whole.clone()
        for site, value in parts.items():
            self._selection(site, key).fill(whole, value)
        return whole

    def _move(self, edits: dict[Site, Tensor], place: Site, feeders: Names, key: str) -> None:
        """Let the estimates of a place change what is there."""
        for site, value in _there(place, feeders, self.estimated).items():
            new = self._read(key, edits, [site])[site] + value - self._before(site, feeders, key)
            others = {s: x for s, x in edits.items() if place_of(s) == place}
            parts = {**others, site: new}
            if others:
                parts = {place: self._merged({s: x for s, x in edits.items() if s not in others}, place, parts, key)}
                for s in others:
                    del edits[s]
            edits |= parts

    def _before(self, site: Site, feeders: Names, key: str) -> Tensor:
        """What a site's estimate is on the data that what is there comes from."""
        place = place_of(one_name(site))
        if key != REST or not self._apart(place, feeders):
            return self.before[key][site]
        if self.recipe.constants:
            return self.before[CONSTANT][site]
        if place.kind != "z":
            return self.before[str(place)][site]
        heads = [key for key in self.rest if key.startswith(f"{place} head ")]
        if isinstance(site.head, int):
            return self.before[heads[site.head]][site]
        parts = [self.before[heads[h]][site] for h in site.head or range(len(heads))]
        return torch.stack([part[..., i, :] for i, part in enumerate(parts)], dim=-2)

    def _selection(self, site: Site, key: str) -> Any:
        return locate(self.model.adapter, self.rest[key], [site])[site].selection


def _there(place: Site, feeders: Names, values: Mapping[str, Values]) -> Values:
    """Those of the feeders' values that belong at a place."""
    found = {site: x for f in sorted(feeders) for site, x in values.get(f, {}).items()}
    return {site: x for site, x in found.items() if place_of(site) == place}
