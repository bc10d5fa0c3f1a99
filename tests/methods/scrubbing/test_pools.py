"""How many different donors do nodes have that share them? The pools of a scrub."""

from typing import Any

import pandas as pd
import pytest

import causalmi as cm
from causalmi import site
from causalmi.methods.scrubbing.setup import set_up
from tests.methods.scrubbing.claims import NAMES, graph
from tests.methods.scrubbing.test_draws import PLACES, drawn

# Distinct own data, the reference's counted too: a claim with many children of one class.


def pooled(donors: Any, mechanisms: Any, placed: Any, seed: int = 0) -> int:
    """How many different arrays of own data there are."""
    read = {name for f in mechanisms.values() for name in f.__code__.co_varnames}
    model = cm.CausalModel({name: range(4) for name in "xy" if name in read}, mechanisms, "out")
    net = cm.CausalModule(model, outputs=range(400))
    task = cm.Task(model, encode=net.encode, label=lambda s: 0)
    places = {v: site.module(v) for v in placed}
    h = cm.Hypothesis(claim="x", task=task, model=net, alignment=places, donors=donors)
    setup = set_up(h, None, data=None, n=50, seed=seed, batch_size=None)
    return len({d.own.tobytes() for d in setup.drawn.values()})


def children(number: int) -> tuple[dict[str, Any], list[str]]:
    names = [f"v{i}" for i in range(number)]
    out: Any = eval(f"lambda {', '.join(names)}: sum([{', '.join(names)}])")
    return {**{name: (lambda x: x) for name in names}, "out": out}, names


def test_pools() -> None:
    forty, names = children(40)
    assert pooled(dict.fromkeys(names, cm.Agree("x", pool=cm.Pool(4, "p"))), forty, names) == 5
    two, names = children(2)
    assert pooled({n: cm.Agree("x", pool=cm.Pool(1, "p")) for n in names}, two, names) == 2
    assert pooled({n: cm.Agree("x", pool=cm.Pool(1, f"p{n}")) for n in names}, two, names) == 3
    assert pooled({n: cm.Agree("x", pool=cm.Pool(1)) for n in names}, two, names) == 3
    assert pooled({n: cm.Agree("x") for n in names}, two, names) == 3


@pytest.mark.parametrize(("above", "count"), [("x", 4), ("y", 5)])
def test_a_pool_under_two_parents(above: str, count: int) -> None:
    """Parents that agree with the reference on the feature share one child's data; those that do not, do not."""
    mechanisms = {"s": lambda x: x, "t": lambda s, y: s + y, "u": lambda s, y: s * y, "out": lambda t, u: t + u}
    donors = {"s": cm.Agree("x", pool=cm.Pool(1, "p")), "t": cm.Agree(above), "u": cm.Agree(above)}
    assert pooled(donors, mechanisms, "stu") == count


def test_a_pool_keeps_what_agrees_with_no_drawn_datum_to_itself() -> None:
    data = pd.DataFrame([{"a": 0, "b": 0, "c": c, "d": d} for c in range(3) for d in range(3)])  # s is always 0
    new = {v: cm.Generated(lambda x, rng: {**{n: x[n] for n in NAMES}, "a": int(rng.integers(1, 3))}, "d") for v in "t"}
    setup = drawn(data=data, donors={**new, "s": cm.Agree(pool=cm.Pool(1, "p"))})
    assert (setup.drawn["out", "t", "s"].own == setup.drawn["out", "t"].own).all()
    same = drawn(data=data, donors={"t": new["t"], "u": new["t"], "s": cm.Agree(pool=cm.Pool(1, "p"))},
                 places={**PLACES, "u": site.z(1, 0)},
                 causal_model=graph(s=lambda a, b: (a + b) % 3, t=lambda s, c: s + c, u=lambda s, d: s + d,
                                    out=lambda t, u: (t + u) % 5))  # fmt: skip
    for path in (("out", "t"), ("out", "u")):
        assert (same.drawn[*path, "s"].own == same.drawn[path].own).all()
