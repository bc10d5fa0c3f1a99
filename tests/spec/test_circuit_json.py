"""Circuits to the JSON of EAP-IG and MIB and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmi.errors import DataError, ModelError, SpecError
from causalmi.spec.circuit import Circuit
from causalmi.spec.circuit_json import scores_from_json
from causalmi.spec.graph import Edge, Graph
from tests.spec.small_graphs import GRAPHS, PLAIN, circuits

STORED = Path(__file__).with_name("eap_ig_graph.json")  # 2 layers of 2 heads, in the layout of Graph.to_json there
SAYABLE = ["plain", "parallel", "attention", "groups", "three in a group", "heads"]
INSIDE = "input->a0.h1<v> input->m0 a0.h1->m0 a0.h1->a1.h0<k> m0->a1.h0<q> a1.h0->logits m0->logits"


def eap_ig_edges(cfg: dict) -> set[str]:
    """Every name that EAP-IG's reader knows for this configuration; it stops at any other."""
    stream, names = ["input"], set()
    for layer in range(cfg["n_layers"]):
        heads = [f"a{layer}.h{h}" for h in range(cfg["n_heads"])]
        names |= {f"{s}->{h}<{x}>" for s in stream for h in heads for x in "qkv"}
        names |= {f"{s}->m{layer}" for s in [*stream, *(heads if not cfg["parallel_attn_mlp"] else [])]}
        stream += [*heads, f"m{layer}"]
    return names | {f"{s}->logits" for s in stream}


def without_ours(text: str) -> str:
    data = json.loads(text)
    del data["causalmi"]
    return json.dumps(data)


def test_a_file_of_eap_ig_is_read():
    circuit = Circuit.from_json(STORED)
    assert circuit.graph == PLAIN
    assert set(map(str, circuit.edges)) == set(INSIDE.split())
    data, scores = json.loads(STORED.read_text()), scores_from_json(STORED)
    assert all(scores[PLAIN.place(edge)] == data["edges"][str(edge)]["score"] for edge in PLAIN.edges)


def test_ours_has_the_keys_types_and_names_of_theirs():
    theirs = json.loads(STORED.read_text())
    circuit = Circuit.from_json(STORED)
    ours = json.loads(circuit.to_json(scores=scores_from_json(STORED), d_model=8))
    assert set(ours) == {*theirs, "causalmi"}
    assert {key: ours[key] for key in theirs} == theirs  # dictionaries: their order is nothing to the reader


def test_older_files_have_bools_for_nodes_and_no_scores():
    data = json.loads(STORED.read_text())
    data["nodes"] = {name: node["in_graph"] for name, node in data["nodes"].items()}
    del data["cfg"]["d_model"]
    for edge in data["edges"].values():
        edge["score"] = None
    assert Circuit.from_json(json.dumps(data)) == Circuit.from_json(STORED)
    with pytest.raises(DataError, match="without a score"):
        scores_from_json(json.dumps(data))


@given(circuits, st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_what_is_written_comes_back(circuit: Circuit, seed: int):
    scores = np.where(circuit.graph.exists, np.random.default_rng(seed).normal(size=circuit.graph.shape), 0)
    text = circuit.to_json(scores=scores)
    assert Circuit.from_json(text) == circuit
    assert (scores_from_json(text) == scores).all()


@pytest.mark.parametrize("name", SAYABLE)
def test_eap_ig_knows_every_name_that_we_write_for_its_graphs(name: str):
    data = json.loads(Circuit.full(GRAPHS[name]).to_json())
    assert set(data["edges"]) <= eap_ig_edges(data["cfg"])
    assert set(data["nodes"]) <= {e.split("->")[0] for e in eap_ig_edges(data["cfg"])} | {"logits"}
    assert {type(v) for edge in data["edges"].values() for v in edge.values()} == {float, bool}


@pytest.mark.parametrize("name", sorted(set(GRAPHS) - set(SAYABLE)))
def test_what_it_cannot_say_it_refuses(name: str):
    data = json.loads(Circuit.full(GRAPHS[name]).to_json())
    assert set(data["edges"]) - eap_ig_edges(data["cfg"])


def test_shared_keys_are_written_for_each_head_and_merged_again():
    graph = GRAPHS["groups"]
    edge = Edge("input", "a0.g1<k>")
    scores = np.zeros(graph.shape)
    scores[graph.place(edge)] = 3.0
    text = Circuit(graph, [edge]).to_json(scores=scores)
    edges = json.loads(text)["edges"]
    assert {name for name in edges if edges[name]["in_graph"]} == {"input->a0.h2<k>", "input->a0.h3<k>"}
    assert edges["input->a0.h2<k>"]["score"] == edges["input->a0.h3<k>"]["score"] == 1.5
    assert Circuit.from_json(without_ours(text), graph).edges == {edge}
    assert scores_from_json(without_ours(text), graph)[graph.place(edge)] == 3.0
    assert len(Circuit.from_json(without_ours(text))) == 2


def test_heads_of_a_group_that_disagree_are_refused():
    data = json.loads(Circuit(GRAPHS["groups"], [Edge("input", "a0.g1<k>")]).to_json())
    data["edges"]["input->a0.h3<k>"]["in_graph"] = False
    with pytest.raises(SpecError, match=r"only input->a0.h2<k> of input->a0.h2<k>, input->a0.h3<k>"):
        Circuit.from_json(json.dumps(data))


@pytest.mark.parametrize("where", ["node", "top"])
def test_nodes_of_which_some_numbers_are_kept_are_refused(where: str):
    data = json.loads(STORED.read_text())
    kept = data["nodes"]["m0"] if where == "node" else data
    kept["neurons"] = [True] * 8 if where == "node" else {"m0": [True] * 8}
    if where == "top":
        data["nodes"] = {name: node["in_graph"] for name, node in data["nodes"].items()}
    assert Circuit.from_json(json.dumps(data)) == Circuit.from_json(STORED)
    (kept["neurons"] if where == "node" else kept["neurons"]["m0"])[3] = False
    with pytest.raises(SpecError, match="some of the numbers that m0"):
        Circuit.from_json(json.dumps(data))


BROKEN = {
    "not json": ("{", "is no JSON"),
    "nested without end": ('{"a":' * 100_000, "is no JSON"),
    "a list": ("{}", "no graph of EAP-IG"),
    "no file": ("nowhere.json", "neither JSON text nor a file"),
    "no bool": ('{"cfg": {}, "nodes": {}, "edges": {"input->m0": {"in_graph": 1}}}', "no graph of EAP-IG"),
    "no sizes": ('{"cfg": {}, "nodes": {}, "edges": {}}', "whole numbers n_layers"),
}


@pytest.mark.parametrize(("text", "says"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_circuit_is_refused(text: str, says: str):
    with pytest.raises(SpecError, match=says):
        Circuit.from_json(text)


def test_a_circuit_of_another_graph_is_refused():
    with pytest.raises(SpecError, match="n_layers is 2, not 3"):
        Circuit.from_json(STORED, Graph(n_layers=3, n_heads=2))
    with pytest.raises(SpecError, match="of the file's edges are none of"):
        Circuit.from_json(STORED, Graph(n_layers=2, n_heads=2, has_mlp=False))


@pytest.mark.parametrize("change", [{"n_heads": "two"}, {"positions": "ab"}, {"more": 1}])
def test_our_own_key_is_checked(change: dict):
    data = json.loads(Circuit.full(PLAIN).to_json())
    data["causalmi"]["graph"] |= change
    with pytest.raises(SpecError, match="as this package writes it|has a"):
        Circuit.from_json(json.dumps(data))


def test_numbers_that_are_none_are_refused():
    data = json.loads(STORED.read_text())
    data["edges"]["input->m0"]["score"] = float("nan")
    with pytest.raises(ModelError, match="NaN"):
        scores_from_json(json.dumps(data))
    with pytest.raises(ModelError, match="input->a0.h0<q>"):
        Circuit.full(PLAIN).to_json(scores=np.full(PLAIN.shape, np.nan))


def test_files_are_whole_and_named_edges_can_have_the_scores(tmp_path: Path):
    circuit = Circuit.from_json(STORED)
    path = tmp_path / "circuit.json"
    path.write_text("old")
    text = circuit.to_json(path, scores={edge: float(len(str(edge))) for edge in PLAIN.edges})
    assert path.read_text() == text and list(tmp_path.iterdir()) == [path]
    assert Circuit.from_json(path) == circuit
    assert scores_from_json(path)[PLAIN.place(Edge("input", "m0"))] == 9.0
    with pytest.raises(ModelError):
        circuit.to_json(path, scores={})
    assert path.read_text() == text
