"""Redundancy and conjunction: a search keeps one of two heads that do the same, says so, and both that are needed."""

from typing import Any

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi.methods.circuits.order_stability import order_stability
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.search import Search
from tests.ground_truth.gates import gate, output, pairs

HEADS = ["a0.h0", "a0.h1"]
WHOLE = dict(metric=output, ablation=cm.Zero(bias="ablate"))  # the bias of the MLP is part of what the gate gives


def search(kind: str, **how: Any) -> cm.CircuitResult:
    method = cm.ACDC(**{"threshold": 0.5, **how})
    return cm.find_circuit(gate(kind), pairs(), method=method, split=None, **WHOLE)


def heads_in(circuit: cm.Circuit) -> list[str]:
    return sorted(edge.sender for edge in circuit.edges if edge.receiver == "m0" and edge.sender in HEADS)


@pytest.mark.parametrize(("kind", "table"), [("or", [0, 1, 1, 1]), ("and", [0, 0, 0, 1])])
def test_the_gates_are_gates(kind: str, table: list[int]) -> None:
    """Which heads write what, by cutting their edges."""
    problem = Problem.of(gate(kind), pairs(), **WHOLE)
    keeps = []
    for off in ((0, 1), (0,), (1,), ()):
        keep = np.ones(problem.graph.shape, dtype=bool)
        for h in off:
            keep[problem.graph.place(cm.Edge(HEADS[h], "m0"))] = False
        keeps.append(keep)
    assert (-problem.losses(keeps)).tolist() == [[x] * 2 for x in table]


@pytest.mark.parametrize("threshold", [0.01, 0.5, 0.99, 1.0])
@pytest.mark.parametrize(("order", "kept"), [("latest", "a0.h0"), ("earliest", "a0.h1")])
def test_of_an_or_one_head_is_kept_and_the_order_says_which(threshold: float, order: Any, kept: str) -> None:
    """With a threshold of 1 the effect of the last one equals it, which keeps."""
    found = search("or", threshold=threshold, senders=order)
    assert heads_in(found.circuit) == [kept]
    assert {str(e) for e in found.circuit.edges} == {f"{kept}->m0", "m0->logits"}
    effects = found.frame.set_index(["sender", "receiver"])["effect"]
    assert sorted(effects[(h, "m0")] for h in HEADS) == [0, 1]


@pytest.mark.parametrize("order", ["latest", "earliest", "random"])
def test_of_an_and_both_are_kept(order: Any) -> None:
    found = search("and", senders=order)
    assert heads_in(found.circuit) == HEADS
    effects = found.frame.set_index(["sender", "receiver"])["effect"]
    assert [effects[(h, "m0")] for h in HEADS] == [1, 1]
    assert len(found.circuit) == 3


def test_above_its_effect_nothing_is_kept() -> None:
    assert len(search("or", threshold=1.01).circuit) == len(search("and", threshold=1.01).circuit) == 0


@pytest.mark.parametrize(("order", "kept", "other"), [("latest", "a0.h0", "a0.h1"), ("earliest", "a0.h1", "a0.h0")])
def test_the_head_that_stands_by_is_named(order: Any, kept: str, other: str) -> None:
    found = search("or", senders=order, redundant=True).redundant
    assert found is not None
    assert found.to_dict("records") == [
        {"sender": kept, "receiver": "m0", "backup": other, "effect": 1.0, "with_backup": 0.0}
    ]


@pytest.mark.parametrize(("order", "kept", "other"), [("latest", "a0.h0", "a0.h1"), ("earliest", "a0.h1", "a0.h0")])
def test_a_head_that_stands_by_comes_with_its_inputs(order: Any, kept: str, other: str) -> None:
    """Driven by the token, the head that was left out is dead, its own edges went too, and it still is a backup."""
    given = cm.CounterfactualPairs.from_tokens([[1], [1]], [[0], [0]])
    method = cm.ACDC(threshold=0.5, senders=order, redundant=True)
    found = cm.find_circuit(gate("or", driven=True), given, metric=output, method=method, split=None)
    edges = {f"input->{kept}<v>", f"{kept}->m0", "m0->logits"}
    assert {str(e) for e in found.circuit.edges} == edges
    assert found.redundant is not None
    assert found.redundant.to_dict("records") == [
        {"sender": kept, "receiver": "m0", "backup": other, "effect": 1.0, "with_backup": 0.0}
    ]


def test_an_and_has_no_backups() -> None:
    found = search("and", redundant=True).redundant
    assert found is not None and len(found) == 0


def test_only_the_or_depends_on_the_order() -> None:
    how = dict(method=cm.ACDC(threshold=0.5), n=6, **WHOLE)
    either, both = (order_stability(gate(kind), pairs(), **how) for kind in ("or", "and"))
    assert both.mean == 1 and len(set(both.circuits)) == 1
    circuits = set(either.circuits)
    assert sorted(heads_in(circuit) for circuit in circuits) == [["a0.h0"], ["a0.h1"]]
    one = np.array([heads_in(circuit) == ["a0.h0"] for circuit in either.circuits])
    np.testing.assert_allclose(either.jaccard, np.where(one[:, None] == one, 1, 1 / 3))  # both have m0->logits
    assert {str(e) for e in either.always.edges} == {"m0->logits"}
    assert (either.frame["edges"] == 2).all() and (either.frame["metric"] == 1).all()
    assert "1 of 3 edges are in every one" in str(either)
    assert either.to_dict()["orders"][0] == {
        "senders": "latest", "heads": "high", "seed": None, "edges": 2, "metric": 1.0,
    }  # fmt: skip


def test_a_search_in_another_order_is_the_search_with_that_seed() -> None:
    where = Problem.of(gate("or"), pairs(), seed=3, **WHOLE)
    method = cm.ACDC(threshold=0.5, senders="random")
    found = order_stability(
        where.model, where.pairs, method=method, orders=[("random", "high")], n=2, seed=3, **WHOLE
    ).circuits[0]
    assert found == cm.Circuit.of(where.graph, Search.begin(where, method).run().kept)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (dict(method=cm.EAP()), "give ACDC"),
        (dict(n=0), "n is 0"),
        (dict(orders=["latest"]), "give pairs such as"),
        (dict(orders=[("latest", "high")]), "two orders"),
        (dict(orders=[("late", "high"), ("latest", "high")]), "senders is 'late'"),
    ],
    ids=str,
)
def test_orders_that_cannot_be_compared_are_refused(how: dict, says: str) -> None:
    with pytest.raises(cm.errors.SpecError, match=says):
        order_stability(gate("or"), pairs(), **{"method": cm.ACDC(threshold=0.5), **WHOLE, **how})


def test_gradients_see_nothing_of_an_or() -> None:
    """The MLP's relu is closed on the clean run: no head gets a score, and the search is what finds one."""
    scores = cm.edge_scores(gate("or"), pairs(), method=cm.EAP(), **WHOLE).set_index(["sender", "receiver"])["score"]
    assert [float(scores[(h, "m0")]) for h in HEADS] == [0, 0]
    assert torch.equal(gate("or").run(torch.tensor([[0]])).logits[0, 0], torch.tensor([2.0, 1.0], dtype=torch.float64))
