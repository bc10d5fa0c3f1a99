"""How is each node of a claim run? Its routes and its unmapped rest, in the terms of the network."""

from collections.abc import Mapping

import torch

from causalmi.data.inputs import Inputs
from causalmi.engine.model import Model, plan
from causalmi.errors import ModelError
from causalmi.methods.path_order import one_name
from causalmi.methods.scrubbing.graph import Graph, Node
from causalmi.methods.scrubbing.keys import is_leaf
from causalmi.methods.scrubbing.onepass import Recipe, Values
from causalmi.methods.scrubbing.reach import DecoderReach, MechanismReach, Reach
from causalmi.methods.scrubbing.structure import targets
from causalmi.spec.site_type import Site

APART = ("term", "zero", "mean")
EMBEDDED = ("embed", "resid_pre")


def recipes_of(graph: Graph, reach: Reach, model: Model, inputs: Inputs) -> dict[str, Recipe]:
    """The recipe of every node; ``inputs`` are those over which means are taken.

    Raises ModelError where a route or rest is asked for that is not known in this network.
    """
    terms = {name: _terms(node, graph, reach) for name, node in graph.nodes.items()}
    wanted = {site for name, node in graph.nodes.items() if node.unmapped.share == "mean" for site in terms[name]}
    means = _means(model, inputs, sorted(wanted, key=str))
    return {name: _recipe(node, graph, reach, terms[name], model, inputs, means) for name, node in graph.nodes.items()}


def term_names(recipe: Recipe, node: Node, reach: Reach) -> tuple[str, ...]:
    """A name for each datum that the unmapped rest of a node sees when its terms are drawn apart."""
    if node.unmapped.share != "term":
        return ()
    heads = reach.shape.n_heads if isinstance(reach, DecoderReach) else 0
    names = [[f"{t} head {h}" for h in range(heads)] if t.kind == "z" else [str(t)] for t in recipe.terms]
    return tuple(name for several in names for name in several)


def _recipe(  # noqa: PLR0913  (one node in its network)
    node: Node, graph: Graph, reach: Reach, terms: tuple[Site, ...], model: Model, inputs: Inputs, means: Values
) -> Recipe:
    share = node.unmapped.share
    if share == "zero":
        shapes = plan(model, inputs, read=terms).shapes if terms else {}
        means = {site: torch.zeros(shapes[site][1:], dtype=torch.float64, device=model.device) for site in terms}
    barred = {f: frozenset(_barred(node, f, graph, reach)) for f in node.feeders}
    constants = {site: means[site] for site in terms} if share in ("zero", "mean") else {}
    fed = tuple(site for f in node.feeders for site in graph.nodes[f].sites)
    return Recipe(reach=reach, barred=barred, fed=fed, terms=terms, constants=constants)


def _barred(node: Node, feeder: str, graph: Graph, reach: Reach) -> list[Site]:
    """The sites through which a feeder's paths do not lead, by the names by which they are edited."""
    route, own = node.routes[feeder], graph.nodes[feeder].sites
    between = [s for a in own for t in targets(node) for s in reach.between(a, t)] if route.direct else []
    return [one_name(site) for site in (*route.excluding, *between)]


def _terms(node: Node, graph: Graph, reach: Reach) -> tuple[Site, ...]:
    """What the unmapped rest of a node consists of, where its parts are set apart.

    A feeder's own place is none, but what an estimate leaves of its place is.
    """
    if is_leaf(node) or node.unmapped.share not in APART:
        return ()
    fed = {site for f in node.feeders for site in graph.nodes[f].sites if graph.nodes[f].estimate is None}
    found = [site for target in targets(node) for site in reach.terms(target)]
    if node.unmapped.share != "term":
        found = [*_embedding(node, fed, reach), *found]
    return tuple(site for site in dict.fromkeys(found) if site not in fed)


def _embedding(node: Node, fed: set[Site], reach: Reach) -> list[Site]:
    """What enters the network, which a constant must replace as well."""
    if isinstance(reach, DecoderReach):
        return [Site("embed") if any(s.kind == "embed" for s in fed) else Site("resid_pre", 0)]
    if isinstance(reach, MechanismReach):
        names = [reach.model.output if t.path is None else t.path for t in targets(node)]
        if raw := [p for name in names for p in reach.model.parents[name] if p in reach.model.inputs]:
            said = (
                f"{node.variable} reads the network's input {raw[0]}, which is no site and cannot be put to a constant"
            )
            raise ModelError(f"{said}; give its unmapped rest a donor")
    return []


def _means(model: Model, inputs: Inputs, sites: list[Site]) -> Mapping[Site, torch.Tensor]:
    """The mean of each site over all data, by position."""
    if not sites:
        return {}
    total: dict[Site, torch.Tensor] = {}
    for _, run in model.stream(inputs, read=sites):
        for site in sites:
            total[site] = total.get(site, torch.zeros((), device=run[site].device)) + run[site].double().sum(0)
    return {site: x / len(inputs) for site, x in total.items()}
