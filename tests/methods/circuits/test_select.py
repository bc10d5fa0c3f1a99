"""Circuits from scores: known ones, slow oracles, and what holds for all scores."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmi.errors import ModelError, SpecError
from causalmi.methods.circuits.select import Greedy, Selection, Threshold, TopN
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Edge, Graph
from tests.spec.small_graphs import GRAPHS, PLAIN, on_paths, places_after

SCORES = {"input->m0": 5.0, "m0->a1.h1<q>": -4.0, "a1.h1->logits": 1.0, "input->a1.h0<k>": 3.0, "m1->logits": 2.0}
BEST = ["input->m0", "input->a1.h0<k>", "m1->logits", "a1.h1->logits"]


def scores_of(values: dict[str, float]) -> np.ndarray:
    found = np.zeros(PLAIN.shape)
    for edge in PLAIN.edges:
        found[PLAIN.place(edge)] = values.get(str(edge), 0.0)
    return found


KNOWN = scores_of(SCORES)


def names(circuit: Circuit) -> set[str]:
    return set(map(str, circuit.edges))


@st.composite
def scored(draw: st.DrawFn) -> tuple[Graph, np.ndarray]:
    graph = draw(st.sampled_from(list(GRAPHS.values())))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    steps = draw(st.sampled_from([3, 1000]))  # few values: many ties
    return graph, np.where(graph.exists, rng.integers(-steps, steps, graph.shape) / steps, 0.0)


def test_known_thresholds():
    assert names(Threshold(2.0, prune=False).circuit(KNOWN, PLAIN)) == {"input->m0", "input->a1.h0<k>", "m1->logits"}
    assert names(Threshold(1.0, absolute=True).circuit(KNOWN, PLAIN)) == {"input->m0", "m0->a1.h1<q>", "a1.h1->logits"}
    assert not Threshold(1.0).circuit(KNOWN, PLAIN)


def test_known_best():
    assert names(TopN(2, prune=False).circuit(KNOWN, PLAIN)) == set(BEST[:2])
    assert names(TopN(5, absolute=True).circuit(KNOWN, PLAIN)) == {"input->m0", "m0->a1.h1<q>", "a1.h1->logits"}
    first = [str(e) for e in PLAIN.edges if str(e) not in SCORES][:2]
    assert names(TopN(6, prune=False).circuit(KNOWN, PLAIN)) == {*BEST, *first}


def test_known_greedy():
    assert names(Greedy(2, prune=False).circuit(KNOWN, PLAIN)) == {"m1->logits", "a1.h1->logits"}
    three = Greedy(3, absolute=True, prune=False).circuit(KNOWN, PLAIN)
    assert names(three) == {"m1->logits", "a1.h1->logits", "m0->a1.h1<q>"}
    assert names(Greedy(4, absolute=True).circuit(KNOWN, PLAIN)) == {"a1.h1->logits", "m0->a1.h1<q>", "input->m0"}


def slow_greedy(values: np.ndarray, graph: Graph, n: int) -> set[Edge]:
    """Looks at all edges again for each that it takes."""
    taken: set[Edge] = set()
    while len(taken) < n:
        alive = {(edge.sender, edge.at) for edge in taken}

        fits = [e.receiver == "logits" or any(p in alive for p in places_after(graph, e)) for e in graph.edges]
        open_edges = [e for e, fit in zip(graph.edges, fits, strict=True) if fit and e not in taken]
        taken.add(max(open_edges, key=lambda e: values[graph.place(e)]))  # the first of equal ones
    return taken


@given(scored(), st.integers(0, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_greedy_is_the_slow_one(case: tuple[Graph, np.ndarray], n: int, absolute: bool):
    graph, values = case
    found = Greedy(n, absolute=absolute, prune=False).circuit(values, graph)
    assert found.edges == slow_greedy(np.abs(values) if absolute else values, graph, n)


@given(scored(), st.integers(0, 14), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_best_are_those_of_a_stable_sort(case: tuple[Graph, np.ndarray], n: int, absolute: bool):
    graph, values = case
    ranked = sorted(graph.edges, key=lambda e: -(abs(values[graph.place(e)]) if absolute else values[graph.place(e)]))
    assert TopN(n, absolute=absolute, prune=False).circuit(values, graph).edges == set(ranked[:n])


@given(
    scored(), st.sampled_from([Threshold(0.4), TopN(9), Greedy(9), TopN(share=0.3), Greedy(share=0.2, absolute=True)])
)
@settings(max_examples=60, deadline=None)
def test_pruned_by_default(case: tuple[Graph, np.ndarray], rule: Selection):
    graph, values = case
    found = rule.circuit(values, graph)
    raw = type(rule)(**{**vars(rule), "prune": False}).circuit(values, graph)
    assert found.edges == on_paths(raw)


@given(scored(), st.integers(1, 14))
@settings(max_examples=40, deadline=None)
def test_from_every_edge_of_a_greedy_circuit_a_way_leads_to_the_logits(case: tuple[Graph, np.ndarray], n: int):
    graph, values = case
    found = Greedy(n, prune=False).circuit(values, graph)
    assert len(found) == n
    fed = found | Circuit(graph, [e for e in graph.edges if e.sender in graph.inputs])
    assert found.edges <= on_paths(fed)


@pytest.mark.parametrize(("share", "n"), [(0.0, 0), (0.1, 4), (0.5, 23), (1.0, 46)])
def test_shares_of_all_edges(share: float, n: int):
    assert len(TopN(share=share, prune=False).circuit(KNOWN, PLAIN)) == n
    assert len(Greedy(share=share, prune=False).circuit(KNOWN, PLAIN)) == n


def test_a_share_is_the_decimal_number_that_was_written():
    graph = Graph(n_layers=1, n_heads=3, positions=("a", "b", "c", "d", "e"))
    found = TopN(share=0.7, prune=False).circuit(np.zeros(graph.shape), graph)
    assert len(graph.edges) == 90 and 0.7 * 90 < 63  # as floats
    assert len(found) == 63


@pytest.mark.parametrize("rule", [TopN, Greedy])
def test_weighted_budgets_count_neurons_by_their_share(rule: type):
    graph = GRAPHS["neurons"]
    values = np.where(graph.exists, np.random.default_rng(0).normal(size=graph.shape), 0)
    values[..., [".n" in s for s in graph.senders]] += 9
    found = rule(2, budget="weighted", prune=False).circuit(values, graph)
    assert found.weighted_edges == 2.0 and len(found) == 6
    assert rule(share=1.0, budget="weighted").circuit(values, graph) == Circuit.full(graph)
    assert len(rule(2, prune=False).circuit(values, graph)) == 2


def test_tables_hold_their_graph_and_may_be_in_any_order():
    graph = GRAPHS["positions"]
    values = np.where(graph.exists, np.random.default_rng(1).normal(size=graph.shape), 0)
    rows = [(e.sender, e.receiver, e.at, values[graph.place(e)]) for e in reversed(graph.edges)]
    table = pd.DataFrame(rows, columns=["sender", "receiver", "position", "score"])
    table.attrs["graph"] = graph
    assert TopN(7).circuit(table) == TopN(7).circuit(values, graph)
    assert TopN(7).circuit({e: values[graph.place(e)] for e in graph.edges}, graph) == TopN(7).circuit(values, graph)
    with pytest.raises(ModelError, match="no score"):
        TopN(7).circuit(table.iloc[1:], graph)
    with pytest.raises(SpecError, match="which graph"):
        TopN(7).circuit(values)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("rule", [Threshold(0.1), TopN(3), Greedy(3)])
def test_scores_that_are_no_numbers_are_refused(bad: float, rule: Selection):
    values = KNOWN.copy()
    values[PLAIN.place(Edge("m0", "logits"))] = bad
    with pytest.raises(ModelError, match="m0->logits"):
        rule.circuit(values, PLAIN)


def test_what_lies_outside_of_the_graph_may_be_anything():
    values = np.where(PLAIN.exists, KNOWN, np.nan)
    assert TopN(5).circuit(values, PLAIN) == TopN(5).circuit(KNOWN, PLAIN)


@pytest.mark.parametrize("make", [lambda: TopN(), lambda: TopN(3, 0.1), lambda: TopN(-1), lambda: Greedy(share=1.5), lambda: TopN(1, budget="x"), lambda: Threshold(float("nan"))])  # fmt: skip
def test_sizes_that_say_nothing_are_refused(make: object):
    with pytest.raises(SpecError):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("rule", [TopN(47), Greedy(47)])
def test_more_than_all_edges_are_refused(rule: Selection):
    with pytest.raises(SpecError, match="no more than 46"):
        rule.circuit(KNOWN, PLAIN)
    with pytest.raises(SpecError, match="shape"):
        rule.circuit(KNOWN[0], PLAIN)
