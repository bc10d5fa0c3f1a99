"""Is a claim well formed? Everything wrong with the fields of a hypothesis, found together."""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any

from causalmi.spec.donor import Donor
from causalmi.spec.route import Route
from causalmi.spec.site_type import Site

Variables = tuple[str, ...] | None


def field_problems(task: Any, claim: Any, n: Any) -> Iterator[str]:
    """What is wrong with the task, the sentence and the number of pairs."""
    if getattr(getattr(task, "model", None), "variables", None) is None:
        yield f"task is a {type(task).__name__}, it must be a causalmi.Task"
    if not isinstance(claim, str) or not claim.strip():
        yield "claim is empty; say in one sentence what is claimed"
    if type(n) is not int or n < 1:
        yield f"n is {n!r}, it must be a whole number from 1"


def alignment_problems(alignment: Any, known: Variables) -> Iterator[str]:
    """What is wrong with the places of the variables."""
    if not isinstance(alignment, Mapping) or not alignment:
        yield f"alignment is {alignment!r}, it must map at least one variable to a site"
        return
    for variable, sites in alignment.items():
        if known is not None and variable not in known:
            yield f"alignment names the unknown variable {variable!r}; the causal model has {', '.join(known)}"
        several = sites if isinstance(sites, list | tuple) and sites else (sites,)
        if not all(isinstance(s, Site) for s in several):
            yield f"{variable} is aligned with {sites!r}, it must be a site or a list of sites"
    placed = [(v, s) for v, x in alignment.items() for s in (x if isinstance(x, list | tuple) else (x,))]
    for (a, x), (b, y) in combinations(placed, 2):
        if x == y:
            yield f"{a} and {b} are both at {x}; give each numbers of its own" if a != b else f"{a} has {x} twice"


def table_problems(name: str, table: Any, kind: type | None, known: Variables) -> Iterator[str]:
    """What is wrong with a mapping from variables to values of a kind, None for functions."""
    if not isinstance(table, Mapping):
        yield f"{name} is {table!r}, it must be a mapping from variables"
        return
    for variable, value in table.items():
        if known is not None and variable not in known:
            yield f"{name} names the unknown variable {variable!r}; the causal model has {', '.join(known)}"
        if not (callable(value) if kind is None else isinstance(value, kind)):
            wanted = "a function" if kind is None else f"of the type {kind.__name__}"
            yield f"{name} gives {variable} {value!r}, it must be {wanted}"


def route_problems(routes: Any, known: Variables) -> Iterator[str]:
    """What is wrong with the routes of the edges."""
    if not isinstance(routes, Mapping):
        yield f"routes is {routes!r}, it must map edges such as ('equal', 'balanced') to a causalmi.Route"
        return
    for edge, route in routes.items():
        if not (isinstance(edge, tuple) and len(edge) == 2 and (known is None or set(edge) <= set(known))):
            yield f"routes names {edge!r}, which is no pair of variables of the causal model"
        if not isinstance(route, Route):
            yield f"routes gives {edge!r} {route!r}, it must be a causalmi.Route"


def donor_table(donors: Any, known: Variables) -> Iterator[str]:
    """What is wrong with the donors."""
    yield from table_problems("donors", donors, Donor, known)
    for donor in donors.values() if isinstance(donors, Mapping) else ():
        features: tuple[str | Callable[..., Any], ...] = getattr(donor, "on", ())
        for name in features:
            if isinstance(name, str) and known is not None and name not in known:
                yield f"{donor} agrees on the unknown variable {name!r}; the causal model has {', '.join(known)}"
