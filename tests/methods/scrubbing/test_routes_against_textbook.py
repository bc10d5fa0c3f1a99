"""Are routes, terms and estimates those of the definition? Against a slow scrub in copies of the network."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

import causalmi as cm
from causalmi import site
from tests.methods.scrubbing.claims import NAMES, claim
from tests.methods.scrubbing.compare import agrees

ROUTES: Mapping[str, Mapping[tuple[str, str], cm.Route]] = {
    "whole": {("s", "out"): cm.Route(excluding=site.mlp_out(1))},
    "a head": {("s", "out"): cm.Route(excluding=site.z(1, 1)), ("u", "out"): cm.Route(excluding=site.z(1, 1))},
    "a head's writing": {("s", "out"): cm.Route(excluding=[site.head_out(1, 1), site.resid_pre(1, at=1)])},
    "heads": {("s", "out"): cm.Route(excluding=[site.z(1, 0), site.z(1, 1)]), ("u", "out"): cm.Route(direct=True)},
    "a position": {("s", "out"): cm.Route(excluding=site.mlp_out(1, at=-1))},
    "parts that overlap": {
        ("s", "out"): cm.Route(excluding=site.mlp_out(1, at=[1, 3])),
        ("u", "out"): cm.Route(excluding=site.mlp_out(1, at=[3, 2])),
    },
    "a part and the whole": {
        ("s", "out"): cm.Route(excluding=site.mlp_out(1, at=-1)),
        ("u", "out"): cm.Route(direct=True),
    },
    "direct": {("s", "out"): cm.Route(direct=True)},
    "direct into a head": {("s", "t"): cm.Route(direct=True), ("u", "out"): cm.Route(direct=True)},
    "a place of another": {("s", "out"): cm.Route(excluding=site.mlp_out(0))},
    "a part of a place": {("s", "out"): cm.Route(excluding=site.mlp_out(0, at=[1, 2]))},
}
ROUTED = {
    "s": site.resid_mid(0, at=[1, 3]),
    "t": site.resid_mid(1, at=3, neurons=[0, 1, 2]),
    "u": site.mlp_out(0, at=[1, 3]),
}


@pytest.mark.parametrize("routes", ROUTES)
def test_every_kind_of_route(routes: str) -> None:
    agrees(routed(routes))


@pytest.mark.parametrize("share", ["term", "zero"])
@pytest.mark.parametrize("routes", ["heads", "parts that overlap", "a part and the whole"])
def test_routes_beside_terms(routes: str, share: Any) -> None:
    agrees(routed(routes, unmapped=cm.Resample(share=share)), checked=1)


def routed(routes: str, **more: Any) -> cm.Hypothesis:
    places = {**ROUTED, "t": site.attn_out(1, at=3)} if routes == "direct into a head" else ROUTED
    return claim("causal", places, routes=ROUTES[routes], **more)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_routes_in_prompts_of_unequal_lengths(name: str) -> None:
    places = {"s": site.mlp_out(0, at="second"), "u": site.z(0, 1, at="third")}
    routes = {("s", "out"): cm.Route(excluding=[site.z(1, 0), site.mlp_out(1, at="last")])}
    agrees(claim(name, places, unequal=True, routes={**routes, ("u", "out"): cm.Route(direct=True)}))


@pytest.mark.parametrize("share", ["node", "term", "zero"])
@pytest.mark.parametrize("name", ["gpt2", "causal"])
def test_what_heads_write_beside_their_terms(name: str, share: Any) -> None:
    places = {"s": site.head_out(0, 1, at=[1, 3]), "u": site.head_out(1, 0)}
    routes = {("s", "out"): cm.Route(excluding=site.head_out(1, 1))}
    agrees(claim(name, places, routes=routes, unmapped=cm.Resample(share=share)), checked=1)


def part(x: Mapping[str, Any]) -> torch.Tensor:
    return torch.linspace(-1, 1, 8, dtype=torch.float64) * (x["s"] + 1) ** 2


ESTIMATED: Mapping[str, dict[str, Any]] = {
    "usual": {},
    "terms": {"unmapped": cm.Resample(share="term")},
    "constants": {"unmapped": cm.Resample(share="mean")},
    "direct": {"routes": {("s", "out"): cm.Route(direct=True)}},
    "another's route past it": {"routes": {("u", "out"): cm.Route(excluding=site.mlp_out(0))}},
    "zero": {"unmapped": cm.Resample(share="zero")},
    "exact": {"unmapped": cm.Resample(share="exact"), "donors": {"s": cm.Unconditional()}},
}


@pytest.mark.parametrize("case", ESTIMATED)
def test_estimates_move_their_place(case: str) -> None:
    places = {"s": site.mlp_out(0, at=2), "u": site.z(0, 1), "t": site.z(1, 1)}
    agrees(claim("causal", places, estimates={"s": part}, **ESTIMATED[case]), checked=1 + (case == "usual"))


@pytest.mark.parametrize("share", ["term", "zero", "mean"])
def test_estimates_leave_a_remainder_that_is_a_term(share: Any) -> None:
    """All of an MLP's output, and two heads at a position."""
    spread = torch.linspace(0, 1, 4, dtype=torch.float64)
    more = {"s": lambda x: part(x) * spread[:, None], "u": lambda x: part(x).reshape(2, 4) * (x["u"] + 1)}
    places = {"s": site.mlp_out(0), "u": site.z(0, [1, 0], at=1)}
    agrees(claim("causal", places, estimates=more, unmapped=cm.Resample(share=share)), checked=1)


def test_estimates_of_several_variables_and_positions_at_one_place() -> None:
    places = {"s": site.mlp_out(0, at=1), "u": site.mlp_out(0, at=[2, 3])}
    both = {"s": part, "u": lambda x: torch.stack([part({"s": x["u"]}), -part({"s": x["d"]})])}
    agrees(claim("gpt2", places, estimates=both))
    agrees(claim("causal", places, estimates=both, unmapped=cm.Resample(share="term")))


PLAIN = {"s": site.module("first"), "t": site.module("second", neurons=[0, 2]), "u": site.module("third.0")}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"unmapped": cm.Resample(share="exact")},
        {"routes": {("s", "out"): cm.Route(excluding=site.module("second"))}},
        {"routes": {("s", "out"): cm.Route(excluding=site.module("second", neurons=[2, 3]))}},
    ],
    ids=["usual", "exact", "a route", "a part of a route"],
)
def test_plain_modules(more: Any) -> None:
    agrees(claim("plain", {**PLAIN, "s": site.module("first", neurons=[0, 1, 4])}, **more), checked=4)


LOW = cm.CausalModel(
    dict.fromkeys(NAMES, range(3)),
    {
        "s": lambda a, b: a + 3 * b,
        "p": lambda s, d: s * (d + 1),
        "q": lambda s, c: 2 * s + c,
        "t": lambda p, q: p + 7 * q,
        "out": lambda t, q, s, p: t + 2 * q + 5 * s + 3 * p,
    },
    "out",
)


@pytest.mark.parametrize("share", ["node", "term", "exact"])
@pytest.mark.parametrize(
    "routes", [{}, {("s", "out"): cm.Route(direct=True)}, {("s", "t"): cm.Route(excluding=site.module("q"))}]
)
def test_causal_models_as_networks(share: Any, routes: Any) -> None:
    net = cm.CausalModule(LOW, outputs=range(900))
    task = cm.Task(cm.CausalModel(dict.fromkeys(NAMES, range(3)), HIGH, "out"), encode=net.encode, label=lambda s: 0)
    places = {"s": site.module("s"), "t": site.module("t")}
    agrees(
        cm.Hypothesis(
            claim="x", task=task, model=net, alignment=places, routes=routes, unmapped=cm.Resample(share=share)
        )
    )


HIGH: Mapping[str, Any] = {"s": lambda a, b: a + b, "t": lambda s, c: s + c, "out": lambda t, s, d: t + s + d}


def test_places_of_one_variable_of_which_one_is_a_term_of_the_other() -> None:
    places = {"s": site.resid_pre(0, at=1), "t": [site.z(0, 1), site.mlp_out(1)]}
    agrees(claim("causal", places, unmapped=cm.Resample(share="exact")))
