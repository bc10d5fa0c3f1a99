"""Is the exact expectation that of every reference and every draw, listed one by one?"""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import SpecError
from causalmi.methods.scrubbing.draw import REST
from causalmi.methods.scrubbing.scrub import scrub
from causalmi.methods.scrubbing.setup import Setup, set_up

LOW = cm.CausalModel(
    {"a": range(3), "b": range(3), "c": range(3)},
    {
        "s": lambda a, b: a + 3 * b,
        "t": lambda s, c: s * (c + 1),
        "r": lambda c, a: c + a,
        "out": lambda t, s, r: 2 * t + s + 50 * r,
    },
    "out",
)
HIGH = cm.CausalModel(
    {"a": range(3), "b": range(3), "c": range(3)},
    {"s": lambda a, b: (a + b) % 2, "t": lambda s, c: (s + c) % 2, "out": lambda t, s: t + s},
    "out",
)
NET = cm.CausalModule(LOW, outputs=range(400))
ROWS = pd.DataFrame([(0, 1, 2), (1, 1, 0), (2, 0, 1), (1, 2, 2)], columns=list("abc"))
PLACES = {"s": site.module("s"), "t": site.module("t")}


def value(logits: Any, target: Any) -> Any:
    """The output itself, and what label it has."""
    return logits.argmax(-1).double() ** 1.5 - 3 * target.answer.double()


def claim(**more: Any) -> cm.Hypothesis:
    task = cm.Task(HIGH, encode=NET.encode, label=lambda s: s["out"])
    return cm.Hypothesis(claim="x", task=task, model=NET, alignment=more.pop("places", PLACES), **more)


def brute(setup: Setup) -> list[float]:
    """The expected score of each reference, by walking through every draw there is."""
    return [
        sum(p * (output**1.5 - 3 * int(setup.labels.answer[r])) for output, p in outputs(setup, int(reference)))
        for r, reference in enumerate(setup.references)
    ]


def outputs(setup: Setup, reference: int) -> Iterator[tuple[float, float]]:
    yield from walk(setup, setup.graph.output.variable, reference)


def walk(setup: Setup, name: str, reference: int) -> Iterator[tuple[float, float]]:
    """Each value of a node for one reference, with its probability; not merged."""
    node, n = setup.graph.nodes[name], len(setup.population)
    donors = drawable(setup, node.donor, reference)
    for own in donors:
        if not node.feeders:
            yield computed(setup, name, own, {}), 1 / len(donors)
            continue
        share = node.unmapped.share
        partner = setup.population.counterpart
        rests = {"exact": [own], "paired": [] if partner is None else [int(partner[own])]}.get(share, list(range(n)))
        for rest, *fed in product(rests, *(list(walk(setup, f, own)) for f in node.feeders)):
            values = dict(zip(node.feeders, (x for x, _ in fed), strict=True))
            chance = float(np.prod([p for _, p in fed])) / (len(donors) * len(rests))
            yield computed(setup, name, rest, values), chance


def drawable(setup: Setup, donor: Any, reference: int) -> list[int]:
    """The donors of a reference, equally likely."""
    table, every = setup.population.settings, range(len(setup.population))
    match donor:
        case cm.Agree():
            names = [f for f in donor.on if isinstance(f, str)]
            assert len(names) == len(donor.on)
            return [i for i in every if all(table[f][i] == table[f][reference] for f in names)]
        case cm.Unconditional():
            return list(every)
        case cm.Paired():
            return [int(setup.population.counterpart[reference])]
    return [reference]


def computed(setup: Setup, name: str, datum: int, given: Mapping[str, float]) -> float:
    """What the network has at a variable on a datum, with other variables set."""
    inputs = tuple(int(setup.population.settings[v][datum]) for v in "abc")
    return intervened(inputs, tuple((v, int(x)) for v, x in given.items()), name)


@cache
def intervened(inputs: tuple[int, ...], given: tuple[tuple[str, int], ...], name: str) -> float:
    return float(LOW.intervene(dict(zip("abc", inputs, strict=True)), dict(given))[name])


EXACT: Any = cm.Resample(share="exact")
CASES: Mapping[str, Mapping[str, Any]] = {
    "agreeing": {},
    "on something else": {"donors": {"s": cm.Agree("a"), "t": cm.Agree("b", "c"), "out": cm.Agree("out")}},
    "unconditional": {"donors": {"s": cm.Unconditional(), "out": cm.Unconditional()}, "unmapped": {"t": EXACT}},
    "exact": {"donors": {"t": cm.Exact(), "s": cm.Exact()}},
    "an exact rest": {"unmapped": EXACT},
    "an exact rest within": {"unmapped": {"t": EXACT}},
    "one variable": {"places": {"t": PLACES["t"]}},
    "a route": {"routes": {("s", "out"): cm.Route(excluding=site.module("t"))}, "places": {"s": PLACES["s"]}},
}


@pytest.mark.parametrize("case", [c for c in CASES if c != "a route"])
def test_every_draw_listed_by_hand(case: str) -> None:
    h = claim(**CASES[case])
    setup = set_up(h, None, data=ROWS, n=None, seed=0, batch_size=None)
    for size in (None, 5):
        found = scrub(h, data=ROWS, n="all", metric=value, batch_size=size)
        assert found.frame["scrubbed"].to_numpy() == pytest.approx(brute(setup), abs=1e-9)


@pytest.mark.parametrize("share", ["paired", "node", "exact"])
def test_every_draw_of_pairs_listed_by_hand(share: Any) -> None:
    h = claim(donors={"s": cm.Paired()}, unmapped=cm.Resample(share=share))
    pairs = h.task.pairs(2, vary=["s"], seed=3)
    setup = set_up(h, None, data=pairs, n=None, seed=0, batch_size=None)
    assert len(setup.references) == 2
    found = scrub(h, data=pairs, n="all", metric=value)
    assert found.frame["scrubbed"].to_numpy() == pytest.approx(brute(setup), abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_the_average_over_many_draws_comes_to_it(case: str) -> None:
    h = claim(**CASES[case])
    exact = scrub(h, data=ROWS, n="all", metric=value)
    sampled = scrub(h, data=ROWS, n=4000, metric=value, batch_size=4000, controls=())
    error = sampled.frame["scrubbed"].std() / np.sqrt(len(sampled.frame))
    assert abs(sampled.loss.value - exact.loss.value) <= 4.5 * error + 1e-9
    for datum, some in sampled.frame.groupby("datum"):  # and for each reference by itself
        spread = some["scrubbed"].std() / np.sqrt(len(some))
        assert abs(some["scrubbed"].mean() - exact.frame["scrubbed"][datum]) <= 4.5 * spread + 1e-9


def test_accuracy_change_and_divergence_are_expected_too() -> None:
    h = claim(places={"t": PLACES["t"]})
    exact, sampled = (scrub(h, data=ROWS, n=n, controls=()) for n in ("all", 4000))
    for name in ("right", "change", "kl", "scrubbed"):
        x, y = exact.frame[name].mean(), sampled.frame[name]
        assert abs(x - y.mean()) <= 4.5 * float(y.std()) / np.sqrt(len(y)) + 1e-9


@pytest.mark.parametrize(
    "more",
    [
        {"donors": {"s": cm.Agree(pool=cm.Pool(2))}},
        {"donors": {"s": cm.Together()}},
        {"donors": {"s": cm.Generated(lambda x, rng: x)}},
        {"unmapped": cm.Resample(share="term")},
        {"unmapped": cm.Resample(name="one")},
        {"donors": {"s": cm.Paired()}},
    ],
    ids=["pool", "together", "generated", "terms", "shared", "no pairs"],
)
def test_draws_that_cannot_be_listed_are_refused(more: Any) -> None:
    with pytest.raises((SpecError, cm.errors.DataError)):
        scrub(claim(**more), data=ROWS, n="all")


def test_the_rest_of_a_listing_is_one_datum() -> None:
    setup = set_up(claim(), None, data=ROWS, n=None, seed=0, batch_size=None)
    assert set(setup.drawn["out",].rest) == {REST}
