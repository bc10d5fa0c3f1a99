"""Is the shared, batched scrub the one of the definition? Against a slow scrub of single examples with the same draws."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import causalmi as cm
from causalmi import site
from tests.methods.scrubbing.claims import DECODERS, NAMES, claim
from tests.methods.scrubbing.compare import N, agrees

every_decoder = pytest.mark.parametrize("name", DECODERS)

# Where the variables are: the last position is read, and that of the bidirectional network is the first.
CHAIN = {"s": site.mlp_out(0, at=1), "t": site.resid_mid(1, at=-1)}
DIAMOND = {"s": site.resid_post(0, at=0), "t": site.z(1, 1), "u": site.mlp_out(0, at=2)}
HEADS = {"s": site.z(0, 0), "t": site.v(1, 0), "u": site.q(1, 0)}
NEURONS = {"s": site.resid_post(0, neurons=[0, 3, 4]), "u": site.mlp_hidden(1, neurons=[1, 5]), "t": site.z(1, 0)}
SEVERAL = {"s": [site.z(0, 1, at=[2, 0]), site.mlp_out(0, at=[1, 2])], "t": [site.z(1, 0), site.mlp_out(1)]}
SUBSPACES = {
    "s": site.resid_post(0, at=1).along([1.0, 2, 0, -1, 0, 0, 3, 1]),
    "u": site.resid_post(0, at=1).along([2.0, -1, 1, 0, 0, 0, 0, 0]),
}
PLACES: Mapping[str, Mapping[str, Any]] = {
    "chain": CHAIN, "diamond": DIAMOND, "heads": HEADS, "neurons": NEURONS, "several": SEVERAL, "subspaces": SUBSPACES,
}  # fmt: skip
NAMED = {"s": site.mlp_out(0, at="second"), "t": site.resid_mid(1, at="last"), "u": site.resid_post(0, at="pair:all")}


def causal_places(name: str, places: Mapping[str, Any]) -> dict[str, Any]:
    """The same places where the answer is read at the first position."""
    if name != "bidirectional":
        return dict(places)
    return {v: site.resid_mid(1, at=0) if s == site.resid_mid(1, at=-1) else s for v, s in places.items()}


@every_decoder
@pytest.mark.parametrize("places", PLACES)
def test_every_kind_of_place(name: str, places: str) -> None:
    agrees(claim(name, causal_places(name, PLACES[places])))


@every_decoder
def test_named_positions_in_prompts_of_unequal_lengths(name: str) -> None:
    places = {**NAMED, "t": site.resid_mid(1, at=0 if name == "bidirectional" else "last")}
    agrees(claim(name, places, unequal=True))


def other(setting: Mapping[str, Any]) -> dict[str, Any]:
    return {name: (setting[name] + 1) % 3 for name in NAMES}


def alike(setting: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The same a + b, the rest at random."""
    a = int(rng.integers(3))
    return {"a": a, "b": (setting["a"] + setting["b"] - a) % 3, **{n: int(rng.integers(3)) for n in "cd"}}


DONORS: Mapping[str, Mapping[str, Any]] = {
    "own variable": {},
    "another": {"s": cm.Agree("a"), "out": cm.Agree("out")},
    "a function": {"s": cm.Agree(lambda a, b, d: (a * b + d) % 2), "t": cm.Agree(lambda t: t > 0)},
    "several": {"s": cm.Agree("a", lambda c: c % 2), "out": cm.Agree("t", "u")},
    "exact": {"s": cm.Exact(), "t": cm.Exact()},
    "unconditional": {"s": cm.Unconditional(), "out": cm.Unconditional()},
    "together": {"s": cm.Together(), "t": cm.Together(), "u": cm.Together("apart")},
    "paired": {"s": cm.Paired(other), "out": cm.Paired(other)},
    "generated": {"s": cm.Generated(alike), "t": cm.Generated(lambda x, rng: {**alike(x, rng), "c": x["c"]}, "s", "c")},
    "a pool": {"s": cm.Agree(pool=cm.Pool(2, "p")), "t": cm.Agree(pool=cm.Pool(1))},
}


@pytest.mark.parametrize("donors", DONORS)
def test_every_kind_of_donor(donors: str) -> None:
    places = {"s": site.resid_post(0, at=0), "t": site.z(1, 1), "u": site.mlp_out(0, at=2)}
    agrees(claim("causal", places, donors=DONORS[donors]), checked=4)


@pytest.mark.parametrize("share", ["node", "term", "exact", "zero", "mean"])
@pytest.mark.parametrize("name", ["llama", "bidirectional"])
def test_every_kind_of_unmapped_rest(name: str, share: Any) -> None:
    agrees(claim(name, causal_places(name, DIAMOND), unmapped=cm.Resample(share=share)))


def test_pairs_give_donors_and_unmapped_rests_their_counterparts() -> None:
    h = claim("gpt2", DIAMOND, donors={"s": cm.Paired()}, unmapped=cm.Resample(share="paired"))
    agrees(h, data=h.task.pairs(N, vary=["s", "u"], seed=0))


@pytest.mark.parametrize(
    "unmapped",
    [
        {"t": cm.Resample(share="exact"), "out": cm.Resample(share="term")},
        {"t": cm.Resample(name="one"), "out": cm.Resample(name="one")},
        {"t": cm.Resample(share="term", name="one"), "out": cm.Resample(share="term", name="one")},
        {"t": cm.Resample(share="zero"), "out": cm.Resample(share="mean")},
    ],
    ids=["by variable", "shared", "shared terms", "constants"],
)
def test_unmapped_rests_by_variable(unmapped: Any) -> None:
    agrees(claim("causal", DIAMOND, unmapped=unmapped), checked=3)
