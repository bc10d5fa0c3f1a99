"""Random circuits of the size of another: sizes, paths, equal chances, and seeds."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from scipy.stats import chisquare

from causalmi.errors import SpecError
from causalmi.methods.circuits.random_circuits import random_circuits, walk
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Edge, Graph
from tests.spec.small_graphs import GRAPHS, PLAIN, on_paths

WAYS = ["walk", "uniform", "layer"]
every_graph = pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
every_way = pytest.mark.parametrize("how", WAYS)


def of_size(graph: Graph, n: int, seed: int = 0) -> Circuit:
    chosen = np.random.default_rng(seed).choice(len(graph.edges), n, replace=False)
    return Circuit(graph, [graph.edges[i] for i in chosen])


@every_graph
@pytest.mark.parametrize("how", ["uniform", "layer"])
def test_sizes_are_the_same(graph: Graph, how: str):
    circuit = of_size(graph, 11)
    found = list(random_circuits(circuit, how, n=5, seed=3))
    assert [len(c) for c in found] == [11] * 5
    assert len(set(found)) > 1 or how == "layer"
    assert all(c.graph == graph for c in found)


@every_graph
@pytest.mark.parametrize("size", [6, 10, 13])
def test_walks_are_paths_of_the_same_size(graph: Graph, size: int):
    found = list(random_circuits(of_size(graph, size), "walk", n=8, seed=1))
    assert all(c.edges == on_paths(c) for c in found)
    assert all(len(c) >= size for c in found)
    assert sum(len(c) == size for c in found) >= 4


def test_walks_of_many_edges_have_their_size():
    graph = Graph(n_layers=3, n_heads=3)
    for size in (40, 150, len(graph.edges) - 1, len(graph.edges)):
        (found,) = random_circuits(of_size(graph, size), "walk", n=1, seed=0)
        assert len(found) == size and found.pruned() == found


def test_a_size_that_walks_hardly_ever_have_is_passed_by_one_walk():
    graph = Graph(n_layers=12, n_heads=2)
    found = list(random_circuits(of_size(graph, 2), "walk", n=30, seed=0))
    assert all(len(c) == 2 or len(c) == len(on_paths(c)) > 2 for c in found)
    assert {len(c) == 2 for c in found} == {True, False}
    short = random_circuits(of_size(PLAIN, 2), "walk", n=60, seed=0)  # a third of the walks, so mostly one of them
    assert sum(len(c) == 2 for c in short) > 40


def test_each_step_of_a_walk_has_equal_chances():
    graph = Graph(n_layers=1, n_heads=1)  # from the input: q, k, v, m0, logits; from the head: m0, logits
    rng = np.random.default_rng(5)
    drawn = Counter(tuple(walk(rng, graph)[1]) for _ in range(3000))
    expected = {(4,): 600, (3, 4): 600, **{(r, 4): 300 for r in range(3)}, **{(r, 3, 4): 300 for r in range(3)}}
    assert set(drawn) == set(expected)
    assert chisquare([drawn[path] for path in expected], list(expected.values())).pvalue > 1e-3


@pytest.mark.parametrize("how", ["uniform", "layer"])
def test_edges_have_equal_chances(how: str):
    circuit = Circuit(PLAIN, [Edge("input", "a1.h0<q>"), Edge("input", "m1"), Edge("m0", "logits")])
    drawn = Counter(e for c in random_circuits(circuit, how, n=2000, seed=2) for e in c.edges)
    if how == "uniform":
        assert len(drawn) == 46
        assert chisquare([drawn[e] for e in PLAIN.edges], [2000 * 3 / 46] * 46).pvalue > 1e-3
    else:
        layer = [Edge(s, "logits") for s in ("a0.h0", "a0.h1", "m0")]
        assert {e for e in drawn if e.receiver == "logits"} == set(layer)
        assert chisquare([drawn[e] for e in layer]).pvalue > 1e-3


def test_layers_and_kinds_keep_their_numbers():
    graph = GRAPHS["positions"]
    circuit = of_size(graph, 14, seed=4)

    def kinds(c: Circuit) -> Counter:
        return Counter((e.at, e.sender[:2], e.receiver.replace(".h0", "")) for e in c.edges if e.sender[0] != "m")

    def layers(c: Circuit) -> Counter:
        return Counter(
            (e.at, e.sender[1] if e.sender != "input" else "", e.receiver.replace(".h0", "")) for e in c.edges
        )

    found = list(random_circuits(circuit, "layer", n=6, seed=0))
    assert all(layers(c) == layers(circuit) for c in found)
    assert any(kinds(c) != kinds(circuit) for c in found)  # a head's edge may become its layer's MLP's


@every_way
def test_the_ith_depends_on_the_seed_and_i_alone(how: str):
    circuit = of_size(PLAIN, 9)
    ten = list(random_circuits(circuit, how, n=10, seed=7))
    assert list(random_circuits(circuit, how, n=3, seed=7)) == ten[:3]
    assert list(islice(random_circuits(circuit, how, n=99, seed=7), 10)) == ten
    assert list(random_circuits(circuit, how, n=10, seed=8)) != ten


@every_way
def test_none_and_all(how: str):
    for circuit in (Circuit.empty(PLAIN), Circuit.full(PLAIN)):
        assert list(random_circuits(circuit, how, n=2, seed=0)) == [circuit, circuit]


def test_another_way_is_refused_before_anything_is_drawn():
    with pytest.raises(SpecError, match="walk, uniform, layer"):
        random_circuits(Circuit.empty(PLAIN), "paths", n=1, seed=0)  # type: ignore[arg-type]
