"""The incremental search keeps exactly the edges that the plain one keeps, which runs the whole network for each edge."""

from dataclasses import replace

import numpy as np
import pytest

import causalmi as cm
from causalmi.methods.circuits.search import Search
from tests.methods.circuits.plain_acdc import Plain, losses_of, plain_acdc
from tests.methods.circuits.random_searches import Case, threshold_of
from tests.methods.circuits.worked import worked

kept_shares: dict[int, float] = {}


def same(fast: Search, plain: Plain) -> None:
    graph = fast.problem.graph
    assert [d.place for d in fast.decisions] == [place for place, _, _ in plain.visited]
    assert [d.effect is None for d in fast.decisions] == [effect is None for _, _, effect in plain.visited]
    assert graph.named(fast.kept) == graph.named(plain.kept)
    effects = [(d.effect, effect) for d, (_, _, effect) in zip(fast.decisions, plain.visited, strict=True)]
    np.testing.assert_allclose(*np.array([e for e in effects if e[1] is not None]).T, atol=1e-9)
    loss = losses_of(fast.problem)
    assert loss(fast.kept) == pytest.approx(plain.loss, abs=1e-9)
    assert fast.baseline == pytest.approx(plain.loss, abs=1e-9)  # what has been added up drifts no further


def check(number: int, share: float | None = None) -> float:
    case = Case(number)
    problem = case.problem()
    method = case.method(0.0)
    method = replace(method, threshold=threshold_of(case.problem(100), method, case.share if share is None else share))
    plain = plain_acdc(losses_of(case.problem(100)), problem.graph, method, problem.seed)
    same(Search.begin(problem, method).run(), plain)
    return float(plain.kept.sum() / problem.graph.exists.sum())


@pytest.mark.parametrize("number", [pytest.param(n, marks=pytest.mark.slow) if n % 2 else n for n in range(50)])
def test_the_fast_search_is_the_plain_one(number: int) -> None:
    kept_shares[number] = check(number)


def test_the_cases_keep_from_no_edge_to_most() -> None:
    if len(kept_shares) < 50:
        pytest.skip("needs all the cases above in one process")
    shares = np.array([*kept_shares.values()])
    assert shares.min() == 0 and shares.max() > 0.6
    assert np.histogram(shares, [0, 0.1, 0.3, 0.5, 1.01])[0].min() >= 3


@pytest.mark.slow
@pytest.mark.parametrize("number", range(50, 100))
def test_many_more(number: int) -> None:
    check(number)


HAND = [
    ("reference", dict(ablation="positional"), "latest", "high"),
    ("reference", dict(split_embeddings=True, ablation="zero"), "earliest", "low"),
    ("gpt2", dict(ablation="paired"), "latest", "low"),
    ("gpt2", dict(split_qkv=False, ablation="mean"), "random", "random"),
    ("neox", dict(positions=("1", "rest")), "latest", "high"),
]


@pytest.mark.parametrize(("name", "how", "senders", "heads"), HAND, ids=lambda x: str(x))
def test_against_a_network_written_as_a_textbook_does(name: str, how: dict, senders: str, heads: str) -> None:
    """Nothing of the engine is in the plain search here, not even the run of a masked network."""
    hand, problem = worked(name, **how)
    method = cm.ACDC(threshold=0.0, senders=senders, heads=heads)
    method = replace(method, threshold=threshold_of(problem, method, 0.4))
    plain = plain_acdc(lambda kept: float(hand.losses(kept).mean()), hand.graph, method, problem.seed)
    assert 0 < plain.kept.sum() < hand.graph.exists.sum()
    same(Search.begin(problem, method).run(), plain)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 6, 9, 16, 24])
def test_a_search_among_the_edges_of_a_circuit(number: int) -> None:
    case = Case(number)
    problem = case.problem()
    among = problem.graph.exists & (np.random.default_rng(number).random(problem.graph.shape) < 0.6)
    method = replace(case.method(0.0), absolute=False)
    method = replace(method, threshold=threshold_of(problem, method, 0.4))
    plain = plain_acdc(losses_of(case.problem(100)), problem.graph, method, problem.seed, among)
    found = Search.begin(problem, method, among).run()
    same(found, plain)
    assert not (found.kept & ~among).any()


def test_the_public_call_among_a_circuit() -> None:
    case = Case(3)
    problem = case.problem()
    circuit = cm.Circuit.of(
        problem.graph, problem.graph.exists & (np.random.default_rng(0).random(problem.graph.shape) < 0.7)
    )
    method = cm.ACDC(threshold=0.05)
    found = cm.find_circuit(
        problem.model, problem.pairs, metric=problem.metric, method=method, ablation=case.ablation, among=circuit,
        graph=problem.graph, split=None, seed=problem.seed,
    )  # fmt: skip
    plain = plain_acdc(losses_of(problem), problem.graph, method, problem.seed, circuit.array)
    assert found.circuit == cm.Circuit.of(problem.graph, plain.kept)
    assert 0 < len(found.circuit) < len(circuit)


def test_every_way_to_go_ahead_decides_alike() -> None:
    """How many removals are tried at once, and in how many batches, is no part of the result."""
    case = Case(7)
    first = None
    for at_once in (1, 2, 4, 16):
        for batch_size in (1, 3, 100):
            problem = case.problem(batch_size)
            found = Search.begin(problem, cm.ACDC(threshold=0.02, at_once=at_once)).run()
            first = found.kept if first is None else first
            assert 0 < found.kept.sum() < problem.graph.exists.sum()
            assert np.array_equal(found.kept, first)


@pytest.mark.parametrize("number", [0, 2, 10, 26])
def test_ties_are_decided_as_by_the_plain_search(number: int) -> None:
    """A threshold that is the very effect of some edge, and 0, which many effects are."""
    case = Case(number)
    problem = case.problem(100)
    loss = losses_of(problem)
    plain = plain_acdc(loss, problem.graph, case.method(0.0), problem.seed)
    same(Search.begin(problem, case.method(0.0)).run(), plain)
    effects = sorted(e for _, _, e in plain.visited if e)
    effect = effects[len(effects) // 2]
    method = replace(case.method(effect), absolute=False)
    plain = plain_acdc(loss, problem.graph, method, problem.seed)
    same(Search.begin(problem, method).run(), plain)
