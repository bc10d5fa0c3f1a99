"""At which places is a search to look? Those of the claim, or others that are tried in their stead."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from causalmi.engine.model import Model
from causalmi.errors import SpecError
from causalmi.methods.align.places import Places
from causalmi.spec.hypothesis import Hypothesis
from causalmi.spec.site import Grid, Site

Where: TypeAlias = (
    Grid | Site | Mapping[str, Site | Sequence[Site]] | Sequence[Site | Mapping[str, Site | Sequence[Site]]]
)


def wheres(hypothesis: Hypothesis, model: Model, sites: Where | None) -> list[Places]:
    """Each place, or set of places, to search; raises SpecError for what is none."""
    if sites is None:
        claimed = Places.wide({v: hypothesis.sites(v) for v in hypothesis.variables})
        _refuse_alike([claimed])
        return [claimed]
    listed = _listed(model, sites)
    if not listed:
        raise SpecError("align", ["sites is empty; give at least one place, or leave it out"])
    found = list({tuple(p.of.items()): p for p in (_places(hypothesis, each) for each in listed)}.values())
    _refuse_alike(found)
    return found


def _refuse_alike(everywhere: Sequence[Places]) -> None:
    """Places are told apart by how they print, in what is learned, in its table and in checkpoints."""
    sites = dict.fromkeys(site for places in everywhere for site in places.at)
    names = [str(site) for site in sites]
    if alike := next((name for name in names if names.count(name) > 1), None):
        raise SpecError(
            "align", [f"two different places both print as {alike}; give their functions names of their own"]
        )


def _listed(model: Model, sites: Any) -> tuple[Any, ...]:
    if isinstance(sites, Grid):
        return model.sites(sites)
    one = isinstance(sites, Site | Mapping | str) or not isinstance(sites, Sequence)
    return (sites,) if one else tuple(sites)


def _places(hypothesis: Hypothesis, given: Any) -> Places:
    if isinstance(given, Site):
        return Places.wide(dict.fromkeys(hypothesis.variables, (given,)))
    several = (
        {v: (s,) if isinstance(s, Site) else tuple(s) for v, s in given.items()} if isinstance(given, Mapping) else {}
    )
    if set(several) != set(hypothesis.variables) or not all(isinstance(s, Site) for x in several.values() for s in x):
        wanted = ", ".join(hypothesis.variables)
        raise SpecError("align", [f"sites has {given!r}; give a site, or a mapping from each of {wanted} to one"])
    return Places.wide({v: several[v] for v in hypothesis.variables})
