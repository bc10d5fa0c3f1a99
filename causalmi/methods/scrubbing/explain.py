"""What did every node of a scrub receive? One row for each: place, route, donors, and an example with its values."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from causalmi.methods.scrubbing.draw import REST, Draw
from causalmi.methods.scrubbing.graph import Graph, Node, Occurrence
from causalmi.methods.scrubbing.population import Ids, Population
from causalmi.methods.scrubbing.structure import targets
from causalmi.spec.donor import Agree, Donor, Generated

SHOWN = 40  # characters of a value


def nodes_frame(
    graph: Graph, population: Population, drawn: Mapping[Occurrence, Draw], references: Ids
) -> pd.DataFrame:
    """A row for each occurrence of a node."""
    return pd.DataFrame([_row(graph, population, path, drawn, references) for path in drawn])


def _row(
    graph: Graph, population: Population, path: Occurrence, drawn: Mapping[Occurrence, Draw], references: Ids
) -> dict[str, Any]:
    node, own = graph.nodes[path[-1]], drawn[path].own
    before = drawn[path[:-1]].own if len(path) > 1 else references
    same = population.identity(own) == population.identity(before)
    shown = int(same.argmin())  # the first whose donor is another, where there is one
    sizes = _sizes(node.donor, population)
    return {
        "node": " <- ".join(path),
        "site": " and ".join(map(str, targets(node))) + (", its estimate" if node.estimate else ""),
        "route": "" if len(path) == 1 else str(graph.nodes[path[-2]].routes[path[-1]]),
        "donor": _shown_donor(node.donor),
        "classes": 0 if sizes is None else len(sizes),
        "smallest": 0 if sizes is None else int(sizes.min()),
        "largest": 0 if sizes is None else int(sizes.max()),
        "self_donors": float(same.mean()),
        "unmatched": _unmatched(node.donor, population, before),
        "data": len(set(own.tolist())),
        "unmapped": _shown_rest(node, drawn[path]),
        "example": _example(node, population, int(before[shown]), int(own[shown])),
    }


def _sizes(donor: Donor, population: Population) -> Any:
    return population.classes(donor.on).counts if isinstance(donor, Agree) else None


def _unmatched(donor: Donor, population: Population, before: Ids) -> int:
    """References that agree with none of the drawn data, and so keep to themselves."""
    return int((population.codes(donor.on, before) < 0).sum()) if isinstance(donor, Agree) else 0


def _shown_donor(donor: Donor) -> str:
    if isinstance(donor, Agree | Generated):
        on = ", ".join(f if isinstance(f, str) else getattr(f, "__name__", "a function") for f in donor.on)
        pool = f", a pool of {donor.pool.size}" if isinstance(donor, Agree) and donor.pool else ""
        return f"{'agrees' if isinstance(donor, Agree) else 'generated to agree'} on {on}{pool}"
    return type(donor).__name__.lower()


def _shown_rest(node: Node, draw: Draw) -> str:
    if not draw.rest:
        return ""
    one = "one other datum" + (f", shared as {node.unmapped.name!r}" if node.unmapped.name else "")
    return (
        {
            "node": one,
            "term": f"another datum for each of {len(draw.rest)} terms",
            "exact": "the node's own datum",
            "paired": "its counterpart",
            "zero": "zero",
            "mean": "the mean over the data",
        }[node.unmapped.share]
        if REST in draw.rest
        else ""
    )


def _example(node: Node, population: Population, reference: int, own: int) -> str:
    a, b = (population.setting(row) for row in (reference, own))
    names = list(population.model.inputs)
    feature = [node.variable] if node.variable in a and node.variable not in names else []
    shown = [", ".join(f"{n}={_short(s[n])}" for n in (*names, *feature)) for s in (a, b)]
    return " -> ".join(shown)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
