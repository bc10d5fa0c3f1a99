"""Does every node receive what its donor says, given the datum of the node that it feeds? The draws of a scrub."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError
from causalmi.methods.scrubbing.draw import REST
from causalmi.methods.scrubbing.setup import Setup, set_up
from tests.methods.scrubbing.claims import NAMES, claim

PLACES = {"s": site.resid_post(0, at=0), "t": site.z(1, 1), "u": site.mlp_out(0, at=2)}
N = 80


def drawn(seed: int = 0, n: int = N, data: Any = None, places: Any = PLACES, **more: Any) -> Setup:
    h = claim("causal", places, **more)
    return set_up(h, None, data=data, n=None if data is not None else n, seed=seed, batch_size=None)


def parity(a: int, c: int) -> int:
    return (a + c) % 2


def make(x: Mapping[str, Any], rng: np.random.Generator) -> dict[str, int]:
    a = int(rng.integers(3))
    return {"a": a, "b": (x["s"] - a) % 3, "c": (x["t"] - x["s"]) % 3, "d": int(rng.integers(3))}


def turned(x: Mapping[str, Any]) -> dict[str, int]:
    return {name: 2 - x[name] for name in NAMES}


DONORS: dict[str, tuple[dict[str, Any], Any]] = {  # donors, and what a child has in common with its parent's own datum
    "own variable": ({}, lambda name, x: x[name]),
    "several": (dict.fromkeys("stu", cm.Agree("a", parity)), lambda name, x: (x["a"], parity(x["a"], x["c"]))),
    "pools": ({v: cm.Agree(pool=cm.Pool(2, "p")) for v in "stu"}, lambda name, x: x[name]),
    "exact": (dict.fromkeys("stu", cm.Exact()), lambda name, x: dict(x)),
    "generated": (dict.fromkeys("stu", cm.Generated(make, "s", "t")), lambda name, x: (x["s"], x["t"])),
    "some generated": ({"t": cm.Generated(make)}, lambda name, x: x[name]),
}


@pytest.mark.parametrize("output", [cm.Exact(), cm.Unconditional(), cm.Generated(make, "s", "t")])
@pytest.mark.parametrize("kind", DONORS)
def test_each_child_agrees_with_the_own_datum_of_its_parent(kind: str, output: cm.Exact) -> None:
    donors, feature = DONORS[kind]
    setup = drawn(donors={**donors, "out": output})
    draws = setup.drawn  # in which data may be made
    value = [setup.population.setting(i) for i in range(len(setup.population.everything))]
    for path, draw in draws.items():
        if len(path) > 1:
            before = setup.drawn[path[:-1]].own
            pairs = [
                (feature(path[-1], value[a]), feature(path[-1], value[b]))
                for a, b in zip(draw.own, before, strict=True)
            ]
            assert all(a == b for a, b in pairs), path
            if kind != "exact":
                assert (draw.own != before).mean() > 0.3  # and is another


def test_a_deep_child_need_not_agree_with_the_reference_nor_with_the_rest() -> None:
    setup = drawn()
    s = setup.population.settings["s"].to_numpy()
    deep, above = setup.drawn["out", "t", "s"].own, setup.drawn["out", "t"]
    assert (s[deep] == s[above.own]).all()
    assert (s[deep] != s[setup.references]).mean() > 0.3
    assert (s[deep] != s[above.rest[REST]]).mean() > 0.3


def test_counterparts_are_those_of_the_parent() -> None:
    setup = drawn(donors={"t": cm.Paired(turned), "s": cm.Paired(turned)})
    for path, draw in setup.drawn.items():
        if path[-1] in "ts":
            for own, before in zip(draw.own, setup.drawn[path[:-1]].own, strict=True):
                expected, had = (setup.population.setting(int(i)) for i in (before, own))
                assert {n: had[n] for n in NAMES} == turned(expected)


def test_pairs_are_each_others_counterparts() -> None:
    pairs = claim("causal", PLACES).task.pairs(20, vary=["s", "u"], seed=0)
    setup = drawn(data=pairs, donors={"t": cm.Paired(), "s": cm.Paired()}, unmapped=cm.Resample(share="paired"))
    everything = setup.population.settings[list(NAMES)]
    assert everything.iloc[:20].equals(pairs.drawn.base[list(NAMES)].reset_index(drop=True))
    source = pairs.drawn.sources["s"][list(NAMES)].reset_index(drop=True)
    assert everything.iloc[setup.drawn["out", "t"].own].reset_index(drop=True).equals(source)
    assert (setup.drawn["out", "t", "s"].own == setup.references).all()
    assert (setup.drawn["out", "t"].rest[REST] == setup.references).all()


def test_unconditional_draws_are_independent_of_the_reference_and_cover_the_data() -> None:
    setup = drawn(n=2000, donors=dict.fromkeys("stu", cm.Unconditional()))
    draws = [d.own for path, d in setup.drawn.items() if len(path) > 1]
    draws += [d.rest[REST] for d in setup.drawn.values() if d.rest]
    for number, x in enumerate(draws):
        for y in (setup.references, *draws[:number]):
            assert abs(np.corrcoef(x, y)[0, 1]) < 0.1
        assert len(set(x.tolist())) > 1100  # about 63 % of 2,000


def test_agreeing_draws_are_uniform_in_their_class_and_may_be_the_reference() -> None:
    setup = drawn(n=3000, donors={"s": cm.Agree("s")})
    s, own = setup.population.settings["s"].to_numpy(), setup.drawn["out", "s"].own
    members = np.flatnonzero(s == 1)
    low, high = (np.isin(own[s == 1], half).mean() for half in np.array_split(members, 2))
    assert abs(low - high) < 0.15
    assert (own == setup.references).mean() == pytest.approx(3 / 3000, abs=0.004)


def test_together_is_one_draw_for_all_of_a_name() -> None:
    donors = {"s": cm.Together(), "t": cm.Together(), "u": cm.Together("apart")}
    setup = drawn(donors=donors)
    first = setup.graph.onto(("out",), "s")  # one occurrence serves both nodes that read it
    s, deep, t, u = (setup.drawn[p].own for p in [first, ("out", "t", "s"), ("out", "t"), ("out", "u")])
    assert (s == t).all() and (deep == t).all() and (u != t).mean() > 0.9


def test_rests_of_one_name_are_one_draw() -> None:
    one: Any = cm.Resample(name="one")
    setup = drawn(unmapped={"t": one, "out": one})
    assert (setup.drawn["out",].rest[REST] == setup.drawn["out", "t"].rest[REST]).all()
    apart = drawn()
    assert (apart.drawn["out",].rest[REST] != apart.drawn["out", "t"].rest[REST]).mean() > 0.9


@pytest.mark.parametrize("share", ["exact", "zero", "mean"])
def test_an_exact_rest_is_the_nodes_own_datum(share: Any) -> None:
    setup = drawn(unmapped=cm.Resample(share=share), donors={"out": cm.Agree()})
    for draw in setup.drawn.values():
        assert all((ids == draw.own).all() for ids in draw.rest.values())


def test_terms_have_data_of_their_own() -> None:
    setup = drawn(unmapped=cm.Resample(share="term"))
    rest = setup.drawn["out",].rest
    assert set(rest) == {REST, *(f"z({i}) head {h}" for i in (0, 1) for h in (0, 1)), "mlp_out(0)", "mlp_out(1)"}
    for a in rest:
        assert all((rest[a] != rest[b]).mean() > 0.9 for b in rest if a != b)


def test_a_new_node_moves_no_other_draws() -> None:
    few = drawn(places={v: PLACES[v] for v in "st"})
    more = drawn(donors={"u": cm.Unconditional()})
    for path, draw in few.drawn.items():
        assert (draw.own == more.drawn[path].own).all()
        assert all((draw.rest[k] == more.drawn[path].rest[k]).all() for k in draw.rest)


def test_draws_are_those_of_the_seed() -> None:
    assert digest(drawn(seed=3)) == digest(drawn(seed=3)) != digest(drawn(seed=4))


def digest(setup: Setup) -> str:
    values = [[list(p), d.own.tolist(), {k: x.tolist() for k, x in d.rest.items()}] for p, d in setup.drawn.items()]
    return json.dumps(values)


KINDS: dict[str, Any] = {
    "t": cm.Agree("t", parity, pool=cm.Pool(3, "p")), "u": cm.Paired(turned), "s": cm.Generated(make, "s"),
}  # fmt: skip
CODE = """
from tests.methods.scrubbing.test_draws import *
print(digest(drawn(n=30, donors=KINDS, unmapped=cm.Resample(share="term"))))
"""


def test_draws_do_not_depend_on_the_process() -> None:
    here = digest(drawn(n=30, donors=KINDS, unmapped=cm.Resample(share="term")))
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_generated_data_that_do_not_agree_are_refused() -> None:
    with pytest.raises(DataError, match="does not agree"):
        _ = drawn(donors={"s": cm.Generated(lambda x, rng: {**turned(x), "b": 0, "a": (x["s"] + 1) % 3})}).drawn
