"""What every scrub must obey on every network, before a score of it means anything."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.engine.metrics import METRICS, Target
from causalmi.methods.scrubbing.graph import Graph
from causalmi.methods.scrubbing.run import scored
from causalmi.methods.scrubbing.scores import Scorer
from causalmi.methods.scrubbing.scrub import scrub
from causalmi.methods.scrubbing.setup import Setup, set_up
from causalmi.stats.means import ratio
from tests.methods.scrubbing.claims import NAMES, claim, model

PLACES = {"s": site.resid_post(0, at=0), "t": site.z(1, 1), "u": site.mlp_out(0, at=2)}
EXACT: dict[str, Any] = {"donors": dict.fromkeys("stu", cm.Exact()), "unmapped": cm.Resample(share="exact")}
PAIRED: dict[str, Any] = {"donors": dict.fromkeys("stu", cm.Paired()), "unmapped": cm.Resample(share="paired")}
every = pytest.mark.parametrize("name", ["gpt2", "llama", "causal"])


def ready(name: str, *, data: Any = None, n: int | None = 16, batch_size: int | None = None, **more: Any) -> Setup:
    h = claim(name, more.pop("places", PLACES), **more)
    return set_up(h, None, data=data, n=n, seed=0, batch_size=batch_size)


def ran(setup: Setup) -> tuple[Any, int, int]:
    """The scores, the examples that were announced, and those that were run."""
    scores, passes = scored(setup, scorer(setup), lambda *_: None)
    return scores, setup.passes().needed(setup.references), passes.ran


def scorer(setup: Setup) -> Scorer:
    return Scorer(METRICS["cross_entropy"], setup.labels, 0)


@every
def test_values_put_back_where_they_came_from_change_no_bit(name: str) -> None:
    setup = ready(name, **EXACT)
    passes = setup.passes()
    list(passes.prepare())
    for node in setup.graph.nodes.values():
        if node.feeders:
            runs = passes.runs[node.variable]
            clean = setup.model.run(setup.inputs.rows(torch.from_numpy(runs.clean)), read=node.sites)
            again = passes.one(node.variable, runs, np.arange(len(runs)))
            if node.sites:
                assert all(torch.equal(again.read(node.sites)[s], clean[s]) for s in node.sites)
            else:
                assert torch.equal(again.logits(), clean.logits[:, -1])


@every
def test_what_is_exact_everywhere_is_the_clean_network(name: str) -> None:
    setup = ready(name, **EXACT)
    scores, _, examples = ran(setup)
    assert (scores.scrubbed == scores.clean).all() and not scores.change.any()
    assert examples <= 2 * len(setup.references)  # a read of every datum, and its logits


@every
def test_two_inputs_for_each_example_take_no_more_runs_than_places(name: str) -> None:
    pairs = claim(name, PLACES).task.pairs(12, vary=["s"], seed=0)
    setup = ready(name, data=pairs, n=None, **PAIRED)
    _, _, examples = ran(setup)
    assert examples <= 5 * 12 < setup.passes().unshared


def test_a_claim_of_nothing_recovers_nothing() -> None:
    free = ready("causal", places={"s": PLACES["s"]}, donors={"s": cm.Unconditional()}, n=200)
    graph = free.graph
    bare = Graph({graph.output.variable: replace(graph.output, feeders=(), routes={})})
    for setup in (free, replace(free, graph=bare)):
        scores, _, _ = ran(setup)
        found = ratio(scores.scrubbed - scores.random, scores.clean - scores.random)
        assert found is None or found.low <= 0 <= found.high


@every
def test_the_anchor_is_that_of_all_pairs_of_an_output_and_anothers_label(name: str) -> None:
    setup = ready(name)
    logits, answers = setup.model.run(setup.inputs).logits[:, -1], setup.labels.answer
    data = setup.inputs.values.tolist()
    slow = [
        float(METRICS["cross_entropy"](logits[i : i + 1], Target(answer=answers[j : j + 1])))
        for i, j in permutations(range(len(answers)), 2)
        if data[i] != data[j]  # drawn twice, a datum is still no other
    ]
    found = scrub(setup.hypothesis, n=16, controls=())
    assert found.random.value == pytest.approx(np.mean(slow), abs=1e-12)


KINDS: Mapping[str, dict[str, Any]] = {
    "usual": {},
    "terms": {"unmapped": cm.Resample(share="term")},
    "routes": {"routes": {("s", "out"): cm.Route(direct=True), ("u", "out"): cm.Route(excluding=site.z(1, 0))}},
    "means": {"unmapped": cm.Resample(share="mean")},
}


@every
@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_size_does_not_matter(name: str, kind: str) -> None:
    frames = [scrub(claim(name, PLACES, **KINDS[kind]), n=16, batch_size=b, controls=()).frame for b in (3, 7, None)]
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0], rtol=0, atol=1e-11)


COUNTED: Mapping[str, dict[str, Any]] = {
    "usual": {},
    "few data": {"donors": {"out": cm.Agree("out"), "s": cm.Agree(pool=cm.Pool(1))}},
    "exact": EXACT,
    "the output elsewhere": {"donors": {"out": cm.Unconditional()}, "unmapped": cm.Resample(share="exact")},
    "all elsewhere": {**EXACT, "donors": {"out": cm.Unconditional(), **dict.fromkeys("stu", cm.Exact())}},
}


@pytest.mark.parametrize("batch_size", [1, 5, None])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("kind", COUNTED)
def test_as_many_examples_are_run_as_were_announced(kind: str, given: bool, batch_size: int | None) -> None:
    data = claim("causal", PLACES).task.model.sample(9, seed=1)[list(NAMES)] if given else None
    setup = ready("causal", batch_size=batch_size, data=data, n=20, **COUNTED[kind])
    seen = 0

    def count(_: Any, args: Any, kwargs: Any) -> None:
        nonlocal seen
        seen += len(args[0])

    handle = setup.model.module.register_forward_pre_hook(count, with_kwargs=True)
    try:
        _, announced, examples = ran(setup)
    finally:
        handle.remove()
    assert seen == examples == announced


class StopError(Exception):
    """Ends a scrub in the middle."""


@every
@pytest.mark.parametrize("after", [None, 1, 3, 5])
def test_the_network_is_left_as_it_was(name: str, after: int | None) -> None:
    network = model(name).module
    before = {key: x.clone() for key, x in network.state_dict().items()}
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()]
    calls = 0

    def tell(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise StopError

    network.train()
    try:
        h = claim(name, PLACES, routes={("s", "out"): cm.Route(direct=True)})
        scrub(h, n=16, batch_size=8, progress=tell, controls=())
        assert after is None
    except StopError:
        assert after is not None
    finally:
        modes = {m.training for m in network.modules()}
        network.eval()
    assert modes == {True}
    assert all(torch.equal(x, before[key]) for key, x in network.state_dict().items())
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()]


@every
def test_a_failure_within_a_run_leaves_no_hook(name: str) -> None:
    network, setup = model(name).module, ready(name)
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()]
    runs = 0

    def fail(*_: Any) -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            raise StopError

    handle = network.register_forward_pre_hook(fail)
    with pytest.raises(StopError):
        scored(setup, scorer(setup), lambda *_: None)
    handle.remove()
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()]
