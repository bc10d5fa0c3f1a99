"""How many data is a scrubbed output computed from? One for each place where the unfolded claim begins."""

from typing import Any

import pytest

import causalmi as cm
from causalmi import site
from causalmi.methods.scrubbing.setup import set_up
from tests.methods.scrubbing.oracle import Textbook

# How many independent data an output is computed from, in a network that computes what the claim says.
COUNTS = {
    "a chain that is claimed whole": ({"A": lambda x0: x0, "out": lambda A: A}, "A", 1),
    "one of two branches": ({"A": lambda x0: x0, "B": lambda x1: x1, "out": lambda A, B: A + 4 * B}, "A", 2),
    "both branches": ({"A": lambda x0: x0, "B": lambda x1: x1, "out": lambda A, B: A + 4 * B}, "AB", 2),
    "a variable read twice": ({"A": lambda x0, x1: x0, "B": lambda A: A, "out": lambda A, B: A + 4 * B}, "AB", 2),
}


@pytest.mark.parametrize("case", COUNTS)
def test_how_many_data_an_output_is_computed_from(case: str) -> None:
    mechanisms, placed, count = COUNTS[case]
    inputs = {
        name: range(4) for name in ("x0", "x1") if any(name in f.__code__.co_varnames for f in mechanisms.values())
    }
    low = cm.CausalModel(inputs, mechanisms, "out")
    net = cm.CausalModule(low, outputs=range(16))
    high = cm.Task(low, encode=net.encode, label=net.label)
    free = dict.fromkeys(placed, cm.Unconditional())
    h = cm.Hypothesis(claim="x", task=high, model=net, alignment={v: site.module(v) for v in placed}, donors=free)
    setup = set_up(h, None, data=None, n=6, seed=0, batch_size=None)
    assert sum(matters(setup, ids) for ids in slots(setup)) == count


def slots(setup: Any) -> list[Any]:
    """Every array of draws but those of own data that only refer to others."""
    leaves = [d.own for path, d in setup.drawn.items() if not setup.graph.nodes[path[-1]].feeders and len(path) > 1]
    return [*leaves, *(ids for d in setup.drawn.values() for ids in d.rest.values())]


def matters(setup: Any, ids: Any) -> bool:
    """Whether another datum in this slot can change an output."""
    before = [Textbook(setup).logits(r) for r in range(3)]
    kept, changed = ids.copy(), False
    for datum in range(len(setup.population)):
        ids[:] = datum
        changed |= any(not x.equal(Textbook(setup).logits(r)) for r, x in enumerate(before))
    ids[:] = kept
    return changed
