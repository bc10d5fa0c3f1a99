"""Can this claim be true of this network at all? Its edges must be paths there, its places apart from one another."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from causalmi.data.inputs import Inputs
from causalmi.data.positions import resolve
from causalmi.engine.locate import locate
from causalmi.engine.model import Model, plan
from causalmi.errors import SiteError, SpecError
from causalmi.methods.path_order import one_name
from causalmi.methods.scrubbing.graph import Graph, Node
from causalmi.methods.scrubbing.onward import Onward
from causalmi.methods.scrubbing.reach import LOGITS, Reach
from causalmi.spec.site_type import Site


def check(graph: Graph, model: Model, inputs: Inputs, reach: Reach, at: int | str) -> None:
    """Raise SpecError with every edge, place or route that the network, read ``at`` a position, cannot have.

    Raises SiteError or PositionError for a single place that it does not have.
    """
    for node in graph.nodes.values():
        for site in (*node.sites, *(s for route in node.routes.values() for s in route.excluding)):
            plan(model, inputs, edits={site: 0.0})
    onward = Onward(reach, model, inputs, {} if inputs.mask is None else {LOGITS: resolve(at, inputs)})
    problems = [*_overlaps(graph, model, inputs), *_edges(graph, onward), *_routes(graph, onward)]
    if problems:
        raise SpecError("scrubbing this claim", problems)
    check_lengths(graph, model, inputs)


def targets(node: Node) -> tuple[Site, ...]:
    """Where a node is read."""
    return node.sites or (LOGITS,)


def _overlaps(graph: Graph, model: Model, inputs: Inputs) -> Iterator[str]:
    placed = [(node.variable, site) for node in graph.nodes.values() for site in node.sites]
    if _clash(model, inputs, [site for _, site in placed]) is None:
        return
    for (a, x), (b, y) in combinations(placed, 2):
        if (clash := _clash(model, inputs, [x, y])) is not None:
            yield f"{a} and {b} are at the same place: {clash}" if a != b else f"{a} has places that overlap: {clash}"


def _clash(model: Model, inputs: Inputs, sites: list[Site]) -> str | None:
    """Why these sites cannot be set in one run, if they cannot."""
    edited = [_edited(site) for site in sites]
    if len(set(edited)) < len(edited):
        return f"{_listed(sites)} are the same numbers"
    try:
        plan(model, inputs, edits=dict.fromkeys(edited, 0.0))
    except SiteError as error:
        return str(error)
    return None


def _edited(site: Site) -> Site:
    """The site by which the same numbers are edited; part of a head's contribution is taken for all of it."""
    return one_name(_all_of(site) if site.kind == "head_out" else site)


def _all_of(site: Site) -> Site:
    return replace(site, neurons=None, basis=None, featurizer=None, chosen=None)


def _edges(graph: Graph, onward: Onward) -> Iterator[str]:
    for name, node in graph.nodes.items():
        for feeder, route in node.routes.items():
            edge, own = f"{feeder} -> {name}", graph.nodes[feeder].sites
            others = [s for o in node.feeders if o != feeder for s in graph.nodes[o].sites]
            for site in own:
                ends = [end for end in targets(node) if onward.reaches(site, end)]
                shown = _listed(targets(node))
                if not ends:
                    yield f"{edge}: no path of the network leads from {site} to {shown}; causes come before effects"
                elif all(onward.blocked(site, end, others) for end in ends):
                    yield (
                        f"{edge}: every path from {site} to {shown} runs through {_listed(others)}, which is set by "
                        f"itself; make {feeder} a parent of that variable, or place it beside"
                    )
                elif all(onward.blocked(site, end, route.excluding) for end in ends):
                    yield f"{edge}: every path from {site} to {shown} is excluded, by {_listed(route.excluding)}"


def _listed(sites: Sequence[Site]) -> str:
    return " and ".join(map(str, sites))


def _routes(graph: Graph, onward: Onward) -> Iterator[str]:
    for name, node in graph.nodes.items():
        for feeder, route in node.routes.items():
            own = graph.nodes[feeder].sites
            for site in route.excluding:
                past = any(onward.reaches(s, site) and onward.reaches(site, t) for s in own for t in targets(node))
                if not past:
                    yield f"{feeder} -> {name}: no path of it runs through {site}, so excluding that changes nothing"


def check_lengths(graph: Graph, model: Model, inputs: Inputs) -> None:
    """Refuse to put a whole sequence into one of another length or padding: its positions would not match.

    What a route excludes is held at what it is on the same datum, so that may be a whole sequence.
    """
    sites = [s for node in graph.nodes.values() for s in node.sites]
    unequal = len(set(zip(inputs.lengths.tolist(), inputs.starts.tolist(), strict=True))) > 1
    whole = [site for site, place in locate(model.adapter, inputs, sites).items() if place.sequence]
    apart = any(node.unmapped.share in ("term", "zero", "mean") for node in graph.nodes.values() if node.feeders)
    if unequal and (whole or apart):
        what = str(whole[0]) if whole else "an unmapped rest that is set term by term"
        raise SiteError(
            f"{what} spans whole examples, and these have unequal lengths; "
            "name a position with at=, or give prompts of one length"
        )
