"""Drawings of circuits: XML, complete, upward, the same in every process."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings

from causalmi.errors import ModelError
from causalmi.report.circuit_drawing import draw, write_drawing
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Edge, Graph
from tests.spec.small_graphs import GRAPHS, PLAIN, circuits

SVG = "{http://www.w3.org/2000/svg}"
CIRCUIT = Circuit(PLAIN, [Edge("input", "m0"), Edge("m0", "a1.h1<q>"), Edge("a1.h1", "logits"), Edge("m0", "logits")])
SCORES = {Edge("input", "m0"): 2.0, Edge("m0", "a1.h1<q>"): -4.0, Edge("a1.h1", "logits"): 1.0, Edge("m0", "logits"): 0}


def parts(text: str) -> tuple[dict[str, ElementTree.Element], dict[str, ElementTree.Element]]:
    root = ElementTree.fromstring(text)
    nodes = list(root.iter(f"{SVG}g"))
    edges = list(root.iter(f"{SVG}path"))
    named = {e.get("data-node", ""): e for e in nodes}, {e.get("data-edge", ""): e for e in edges}
    assert len(named[0]) == len(nodes) and len(named[1]) == len(edges)
    return named


def height(node: ElementTree.Element) -> float:
    return float(node.find(f"{SVG}rect").get("y"))  # type: ignore[union-attr, arg-type]


@given(circuits)
@settings(max_examples=60, deadline=None)
def test_every_node_and_edge_is_there_once(circuit: Circuit):
    nodes, edges = parts(draw(circuit))
    assert set(nodes) == set(circuit.nodes)
    assert set(edges) == set(map(str, circuit.edges))


@given(circuits)
@settings(max_examples=60, deadline=None)
def test_edges_lead_upward(circuit: Circuit):
    nodes, edges = parts(draw(circuit))
    for edge in circuit.edges:
        starts = edges[str(edge)].get("d", "").split("M")[1:]
        assert len(starts) == len(circuit.behind(edge.receiver))
        for curve in starts:
            ends = [float(y) for y in (curve.split("C")[0].split()[1], curve.split()[-1])]
            assert ends[0] == height(nodes[edge.sender]) > ends[1]
            assert ends[1] - 24 in {height(nodes[n]) for n in circuit.behind(edge.receiver)}


def test_layers_are_rows_from_the_bottom_up():
    nodes, _ = parts(draw(Circuit.full(PLAIN)))
    rows = [["input"], ["a0.h0", "a0.h1"], ["m0"], ["a1.h0", "a1.h1"], ["m1"], ["logits"]]
    heights = [{height(nodes[name]) for name in row} for row in rows]
    assert all(len(row) == 1 for row in heights)
    assert [h for row in heights for h in row] == sorted((h for row in heights for h in row), reverse=True)


def test_boxes_do_not_overlap_and_are_inside():
    text = draw(Circuit.full(Graph(n_layers=3, n_heads=12)))
    root = ElementTree.fromstring(text)
    nodes, _ = parts(text)
    places = [(float(r.get("x")), height(n)) for n in nodes.values() if (r := n.find(f"{SVG}rect")) is not None]  # type: ignore[arg-type]
    assert all(0 <= x <= float(root.get("width")) - 62 and 0 <= y <= float(root.get("height")) - 24 for x, y in places)  # type: ignore[arg-type]
    assert all(abs(x - a) >= 62 or abs(y - b) >= 24 for i, (x, y) in enumerate(places) for a, b in places[:i])


def test_width_is_the_size_and_colour_the_sign_of_the_score():
    _, edges = parts(draw(CIRCUIT, SCORES))
    shown = {name: (float(e.get("stroke-width", 0)), e.get("stroke")) for name, e in edges.items()}
    widths = [shown[name][0] for name in ("m0->logits", "a1.h1->logits", "input->m0", "m0->a1.h1<q>")]
    assert widths == sorted(widths) and len(set(widths)) == 4
    assert shown["m0->a1.h1<q>"][1] != shown["input->m0"][1] == shown["a1.h1->logits"][1]
    assert edges["input->m0"].find(f"{SVG}title").text == "input->m0: 2"  # type: ignore[union-attr]


def test_letters_are_at_the_inputs_that_have_edges():
    nodes, _ = parts(draw(CIRCUIT | Circuit(PLAIN, [Edge("input", "a1.h1<v>")])))
    letters = {name: [e.text for e in node.iter(f"{SVG}text")][1:] for name, node in nodes.items()}
    assert letters.pop("a1.h1") == ["q", "v"] and not any(letters.values())
    assert "port" not in draw(Circuit.full(GRAPHS["heads"])).split("</style>")[1]


def test_names_are_escaped():
    graph = Graph(n_layers=1, n_heads=1, positions=('<b a="1">&',))
    circuit = Circuit.full(graph)
    assert set(parts(draw(circuit))[1]) == set(map(str, circuit.edges))


def test_scores_of_other_edges_are_not_needed():
    full = np.where(PLAIN.exists, np.nan, 0.0)
    for edge, score in SCORES.items():
        full[PLAIN.place(edge)] = score
    assert draw(CIRCUIT, full) == draw(CIRCUIT, SCORES)
    with pytest.raises(ModelError, match="m0->logits"):
        draw(CIRCUIT, {edge: score for edge, score in SCORES.items() if edge != Edge("m0", "logits")})


def test_the_same_bytes_in_every_process():
    code = (
        "from tests.report.test_circuit_drawing import *; import sys;"
        "sys.stdout.write(draw(CIRCUIT, SCORES) + draw(Circuit.full(GRAPHS['groups'])))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {(draw(CIRCUIT, SCORES) + draw(Circuit.full(GRAPHS["groups"]))).encode()}


def test_an_empty_circuit_is_an_empty_drawing(tmp_path: Path):
    assert parts(draw(Circuit.empty(PLAIN), SCORES)) == ({}, {})
    write_drawing(tmp_path / "circuit.svg", CIRCUIT, SCORES)
    assert (tmp_path / "circuit.svg").read_text() == draw(CIRCUIT, SCORES)
    assert len(list(tmp_path.iterdir())) == 1
