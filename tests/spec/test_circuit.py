"""Sets of edges: algebra, pruning to paths, nodes that take part, weights of neurons."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmi.errors import SpecError
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Edge, Graph
from tests.spec.small_graphs import GRAPHS, PLAIN, circuits, nodes_behind, on_paths, some_circuit

every_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
MORE = settings(max_examples=200, deadline=None)


def test_known_pruning():
    path = [Edge("input", "a0.h0<q>"), Edge("a0.h0", "m1"), Edge("m1", "logits")]
    dead = [Edge("input", "a1.h0<k>"), Edge("a0.h1", "logits"), Edge("m0", "a1.h1<v>")]
    assert Circuit(PLAIN, path + dead).pruned().edges == set(path)


def test_a_head_that_sends_nowhere_leaves_the_edges_of_its_group():
    graph = GRAPHS["groups"]
    shared = [Edge("input", "a0.g1<k>"), Edge("a0.h3", "logits")]
    other = Edge("input", "a0.h2<q>")
    circuit = Circuit(graph, [*shared, other])
    assert circuit.pruned().edges == set(shared)
    assert circuit.pruned().nodes == ("input", "a0.h3", "logits")


def test_an_mlp_reads_and_writes_at_one_class_of_positions_keys_lead_to_others():
    graph = GRAPHS["positions"]
    split = Circuit(graph, [Edge("input", "m0", "subject"), Edge("m0", "logits", "last")])
    moved = Circuit(graph, [Edge("input", "a0.h0<v>", "subject"), Edge("a0.h0", "logits", "last")])
    queries = Circuit(graph, [Edge("input", "a0.h0<q>", "subject"), Edge("a0.h0", "logits", "last")])
    assert not split.pruned() and not queries.pruned()
    assert moved.pruned() == moved


@given(circuits)
@MORE
def test_pruning_leaves_the_edges_on_paths(circuit: Circuit):
    assert circuit.pruned().edges == on_paths(circuit)
    assert circuit.pruned().pruned() == circuit.pruned()


@every_graph
def test_a_full_circuit_is_on_paths_and_has_all_nodes(graph: Graph):
    full = Circuit.full(graph)
    assert full.pruned() == full
    assert full.nodes == (*graph.senders, "logits")
    assert len(full) == int(graph.exists.sum())
    assert not Circuit.empty(graph).nodes and not Circuit.empty(graph).edges


@given(st.data())
def test_circuits_of_a_graph_are_an_algebra_of_sets(data: st.DataObject):
    a, b = data.draw(some_circuit(PLAIN)), data.draw(some_circuit(PLAIN))
    assert (a | b).edges == a.edges | b.edges
    assert (a & b).edges == a.edges & b.edges
    assert (a - b).edges == a.edges - b.edges == (a & b.complement()).edges
    assert a.complement().complement() == a
    assert a | a.complement() == Circuit.full(PLAIN)


@given(circuits)
def test_arrays_and_edges_are_the_same_circuit(circuit: Circuit):
    again = Circuit.of(circuit.graph, circuit.array)
    assert again == circuit and hash(again) == hash(circuit)
    assert circuit.graph.named(circuit.array) == tuple(e for e in circuit.graph.edges if e in circuit.edges)
    everywhere = Circuit.of(circuit.graph, np.ones(circuit.graph.shape, dtype=bool))
    assert everywhere == Circuit.full(circuit.graph)


def test_a_circuit_does_not_change():
    circuit = Circuit.empty(PLAIN)
    with pytest.raises(ValueError, match="read-only"):
        circuit.array[0, 0, 0] = True
    with pytest.raises(AttributeError):
        circuit.edges = frozenset()  # type: ignore[misc]


@given(circuits)
def test_nodes_send_or_read(circuit: Circuit):
    senders = {edge.sender for edge in circuit.edges}
    expected = set(senders)
    for edge in circuit.edges:
        behind = set(nodes_behind(circuit.graph, edge.receiver))
        expected |= behind & senders or behind
    assert set(circuit.nodes) == expected and len(circuit.nodes) == len(expected)


@pytest.mark.parametrize("neurons", [0, 3])
def test_the_weighted_count_of_all_edges_does_not_depend_on_neurons(neurons: int):
    full = Circuit.full(Graph(n_layers=2, n_heads=1, neurons=neurons))
    assert full.weighted_edges == pytest.approx(len(Graph(n_layers=2, n_heads=1).edges), abs=1e-12)


def test_a_neuron_weighs_its_share():
    circuit = Circuit(GRAPHS["neurons"], [Edge("input", "m0"), Edge("m0.n1", "logits"), Edge("m0.n2", "m1")])
    assert circuit.weighted_edges == pytest.approx(1 + 2 / 3, abs=1e-12)


@given(circuits.filter(lambda c: not c.graph.positions))
@MORE
def test_paths_in_networkx_are_those_of_the_pruned_circuit(circuit: Circuit):
    net = circuit.to_networkx()
    assert set(net) == set(circuit.nodes)
    assert {key for _, _, key in net.edges(keys=True)} == set(map(str, circuit.edges))
    starts = [name for name in circuit.graph.inputs if name in net]
    assert any("logits" in net and nx.has_path(net, s, "logits") for s in starts) == bool(circuit.pruned().edges)


def test_it_says_how_large_it_is():
    assert repr(Circuit(PLAIN, [Edge("input", "logits")])) == "<Circuit: 1 of 46 edges, 2 of 8 nodes>"


def test_circuits_of_two_graphs_do_not_mix():
    for join in (lambda a, b: a | b, lambda a, b: a & b, lambda a, b: a - b):
        with pytest.raises(SpecError, match="does not go together"):
            join(Circuit.empty(PLAIN), Circuit.empty(GRAPHS["parallel"]))
    with pytest.raises(SpecError, match="there is no m1->m0"):
        Circuit(PLAIN, [Edge("m1", "m0")])
    with pytest.raises(SpecError, match="chosen by bools"):
        Circuit.of(PLAIN, np.ones(PLAIN.shape))
