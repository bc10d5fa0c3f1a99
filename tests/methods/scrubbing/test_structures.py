"""Is every claim that the network cannot bear out refused with its path, and every other one run?"""

from collections.abc import Mapping
from typing import Any

import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import CausalmiError, PositionError, SiteError, SpecError
from causalmi.methods.scrubbing.scrub import scrub
from causalmi.methods.scrubbing.setup import set_up
from tests.methods.scrubbing.claims import claim, model, short

FIVE = site.resid_post(0, at=1)


def refused(h: cm.Hypothesis, *said: str, error: type[CausalmiError] = SpecError) -> None:
    """The claim is refused before any run, and the message names what is wrong."""
    with pytest.raises(error) as caught:
        scrub(h, n=8, controls=())
    for words in said:
        assert words in str(caught.value)


def causal(places: Mapping[str, Any], **more: Any) -> cm.Hypothesis:
    return claim("causal", places, **more)


SAME = {
    "one subsumes the other": ({"s": site.resid_post(0), "u": site.resid_post(0, at=1)}, "resid_post(0, at=1)"),
    "two names": ({"s": site.resid_post(0), "u": site.resid_pre(1)}, "resid_pre(1)"),
    "a head by two names": ({"s": site.z(0, 1), "u": site.head_out(0, 1)}, "head_out(0, 1)"),
    "parts that overlap": ({"s": site.mlp_out(0, at=[1, 2]), "u": site.mlp_out(0, at=[2, 3])}, "mlp_out(0, at=[2, 3])"),
    "neurons": ({"s": site.z(0, 1, neurons=[0, 1]), "u": site.z(0, neurons=[1, 2])}, "neurons=range(1, 3)"),
    "inner nodes": ({"s": site.z(0, 0), "t": site.z(1), "u": site.z(1, 1)}, "z(1, 1)"),
}


@pytest.mark.parametrize("case", SAME)
def test_two_variables_at_one_place(case: str) -> None:
    places, said = SAME[case]
    refused(causal(places), "at the same place", said)


def test_one_variable_whose_places_overlap() -> None:
    refused(causal({"s": [site.z(0), site.z(0, 1)]}), "s has places that overlap", "z(0, 1)")


NO_PATH = {
    "reversed": {"s": site.resid_post(1, neurons=[0]), "t": site.z(0, 0)},
    "within a block": {"s": site.mlp_out(0), "t": site.z(0, 0)},
    "heads of one layer": {"s": site.q(1, 0), "t": site.z(1, 1)},
    "a later position": {"s": site.resid_post(0, at=2), "t": site.resid_post(1, at=1)},
    "another position without attention between": {"s": site.mlp_hidden(1, at=1), "t": site.resid_post(1, at=2)},
}


@pytest.mark.parametrize("case", NO_PATH)
def test_edges_that_are_no_paths(case: str) -> None:
    refused(causal(NO_PATH[case]), "s -> t: no path of the network leads from", str(NO_PATH[case]["s"]))


def test_heads_that_share_keys_are_told_apart_from_those_that_do_not() -> None:
    refused(claim("llama", {"s": site.k(1, 0), "t": site.z(1, 2)}), "s -> t", "no path")
    set_up(
        claim("llama", {"s": site.k(1, 0, at=1), "t": site.z(1, 1, at=3)}), None, data=None, n=8, seed=0, batch_size=1
    )


THROUGH = {
    "a sibling": {"s": site.z(0, 1), "u": site.attn_out(0)},
    "the stream": {"s": site.mlp_out(0, at=1), "u": site.resid_post(0)},
    "the stream at the end": {"s": site.resid_post(0, at=-1), "u": site.resid_mid(1, at=-1)},
}


@pytest.mark.parametrize("case", THROUGH)
def test_what_reaches_the_output_only_through_a_sibling(case: str) -> None:
    s, u = (THROUGH[case][v] for v in "su")
    refused(causal(THROUGH[case]), f"s -> out: every path from {s} to logits() runs through {u}")


def test_what_goes_round_a_sibling_passes() -> None:
    ready(causal({"s": site.resid_post(0, at=2), "u": site.resid_post(1, at=-1, neurons=[1])}))
    ready(claim("bidirectional", {"s": site.resid_post(0, at=-1), "u": site.resid_mid(1, at=0, neurons=[1])}))


def test_a_place_from_which_no_path_leads_to_where_the_logits_are_read() -> None:
    said = "no path of the network leads from resid_post(1, at=1) to logits()"
    refused(causal({"s": site.resid_post(1, at=1)}), said)
    refused(claim("bidirectional", {"s": site.resid_post(1, at=1)}), said)


ROUTES = {
    "not past the feeder": (cm.Route(excluding=site.mlp_out(0)), "mlp_out(0), so excluding that changes nothing"),
    "an earlier position": (cm.Route(excluding=site.mlp_out(1, at=0)), "mlp_out(1, at=0), so excluding that changes"),
    "all there is": (cm.Route(excluding=site.resid_post(1)), "every path from resid_post(0, at=1) to logits() is"),
}


@pytest.mark.parametrize("case", ROUTES)
def test_routes_that_mean_nothing(case: str) -> None:
    route, said = ROUTES[case]
    refused(
        causal({"s": FIVE}, routes={("s", "out"): route}), f"s -> out: {'no path of it' if 'so' in said else ''}", said
    )


def test_a_route_past_the_only_reader() -> None:
    low = cm.CausalModel({"x": range(3)}, {"A": lambda x: x, "out": lambda A: A}, "out")
    net = cm.CausalModule(low)
    own = cm.Task(low, encode=net.encode, label=net.label)
    past = {("A", "out"): cm.Route(excluding=site.module("out"))}
    refused(
        cm.Hypothesis(claim="x", task=own, model=net, alignment={"A": site.module("A")}, routes=past),
        "A -> out: every path from module('A') to logits() is excluded, by module('out')",
    )


def test_a_route_for_an_edge_that_is_not_there() -> None:
    refused(causal({"s": FIVE}, routes={("s", "t"): cm.Route(direct=True)}), "s -> t, which is no edge", "s -> out")


def test_a_variable_that_leads_nowhere() -> None:
    dead = cm.CausalModel(
        dict.fromkeys("abcd", range(3)), {"s": lambda a: a, "out": lambda b, c, d: (b + c + d) % 3}, "out"
    )
    refused(causal({"s": FIVE}, causal_model=dead), "s is mapped", "leads from it to out")


def test_donors_of_what_has_no_place() -> None:
    refused(causal({"s": FIVE}, donors={"u": cm.Exact()}), "donors names u, which has no place")


def test_a_placed_output_beside_a_variable_named_as_the_place_where_it_is_read() -> None:
    named = cm.CausalModel(dict.fromkeys("abcd", range(3)), {"logits": lambda a, b, c, d: a}, "logits")
    named_task = cm.Task(named, encode=short, label=lambda s: s["logits"])
    h = cm.Hypothesis(claim="x", task=named_task, model=model("causal"), alignment={"logits": site.resid_post(1)})
    refused(h, "named 'logits'")


MISSING: Mapping[str, tuple[Any, type[CausalmiError]]] = {
    "a layer": (site.resid_post(7), SiteError),
    "a head": (site.z(0, 9), SiteError),
    "a module": (site.module("nothing"), SiteError),
    "a position": (site.resid_post(0, at=9), PositionError),
    "a name": (site.resid_post(0, at="x"), PositionError),
}


@pytest.mark.parametrize("case", MISSING)
def test_sites_that_do_not_exist(case: str) -> None:
    where, error = MISSING[case]
    refused(causal({"s": where}), error=error)
    refused(causal({"s": site.embed()}, routes={("s", "out"): cm.Route(excluding=where)}), error=error)


def ready(h: cm.Hypothesis) -> Any:
    return set_up(h, None, data=None, n=12, seed=0, batch_size=None)


def test_what_must_pass() -> None:
    ready(causal({"s": [site.z(0, 0), site.z(1, 1)]}))  # one variable at two sites
    ready(causal({"s": site.resid_post(0, at=0), "t": site.z(1)}))  # one leaf by two paths
    ready(causal({"s": site.k(1, 0), "t": site.z(1, 0)}))
    ready(causal({"s": site.z(0, 1), "t": site.attn_out(0), "u": site.mlp_out(0)}, causal_model=line()))


def line() -> cm.CausalModel:
    """s is read by t alone."""
    mechanisms = {"s": lambda a, b: a + b, "t": lambda s, c: s + c, "u": lambda d: d, "out": lambda t, u: (t + u) % 5}
    return cm.CausalModel(dict.fromkeys("abcd", range(3)), mechanisms, "out")
