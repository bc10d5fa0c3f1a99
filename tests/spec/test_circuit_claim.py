"""What does a circuit say as a claim? Its variables, places, routes and answers, by hand; and what it refuses."""

from typing import Any

import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import SpecError
from causalmi.spec.circuit import Circuit
from causalmi.spec.circuit_claim import circuit_hypothesis, variable
from causalmi.spec.graph import Edge, Graph
from causalmi.spec.hypothesis import Resample
from causalmi.spec.route import Route

SHARED = Graph(n_layers=2, n_heads=4, n_kv_heads=2)
EDGES = [
    Edge("input", "a0.g1<v>"),
    Edge("a0.h3", "a1.h2<q>"),
    Edge("input", "a1.g1<k>"),
    Edge("a1.h2", "m1"),
    Edge("a1.h2", "logits"),
    Edge("m1", "logits"),
    Edge("m0", "logits"),  # nothing comes to it, so it is no part of the claim
]


def task(**names: Any) -> cm.Task:
    inputs = {"x": range(4), "y": range(4)}
    mechanisms = {"both": lambda x, y: (x, y), "total": lambda both: sum(both)}
    model = cm.CausalModel(inputs, mechanisms, "total")
    return cm.Task(model, encode=lambda v: [v["x"], v["y"]], label=lambda v: 10 * v["both"][0] + v["total"], **names)


def claim(edges: list[Edge] = EDGES, graph: Graph = SHARED, **fields: Any) -> cm.Hypothesis:
    return circuit_hypothesis(Circuit(graph, edges), task(), **fields)


def test_nodes_are_variables_at_their_places() -> None:
    assert {v: claim().sites(v) for v in claim().variables} == {
        "input_": (site.resid_pre(0),),
        "a0_g1_v": (site.v(0, 1),),
        "a0_h3": (site.z(0, 3),),
        "a1_h2_q": (site.q(1, 2),),
        "a1_g1_k": (site.k(1, 1),),
        "a1_h2": (site.z(1, 2),),
        "m1": (site.mlp_out(1),),
    }
    assert all(isinstance(d, cm.Exact) for d in claim().donors.values()) and len(claim().donors) == 7


def test_edges_are_direct_paths_and_heads_read_their_parts() -> None:
    model = claim().task.model
    assert model.parents["a1_h2"] == ("a1_h2_q", "a1_g1_k") and model.parents["a0_h3"] == ("a0_g1_v",)
    assert model.parents["logits_"] == ("a1_h2", "m1") and model.parents["total"] == ("logits_",)
    edges = [("input_", "a0_g1_v"), ("a0_h3", "a1_h2_q"), ("input_", "a1_g1_k"), ("a1_h2", "m1"), ("m1", "total")]
    assert dict(claim().routes) == dict.fromkeys([*edges, ("a1_h2", "total")], Route(direct=True))


def test_whole_heads_and_neurons() -> None:
    whole = claim([Edge("input", "a0.h0"), Edge("a0.h0", "logits")], Graph(n_layers=1, n_heads=1, split_qkv=False))
    assert whole.variables == ("input_", "a0_h0") and whole.task.model.parents["a0_h0"] == ("input_",)
    some = claim([Edge("input", "m0"), Edge("m0.n2", "logits")], Graph(n_layers=1, n_heads=1, neurons=3))
    assert some.sites("m0_n2") == (site.mlp_hidden(0, neurons=[2]),)


def test_a_value_is_the_set_of_inputs_that_it_is_computed_from() -> None:
    model, x, y = claim().task.model, {"x": 1, "y": 2}, {"x": 3, "y": 3}
    assert {model.run(x)[v] for v in claim().variables} == {frozenset([(1, 2)])} and model.run(x)["total"] == 3
    mixed = model.interchange(x, {"a1_h2_q": y})
    assert mixed["a1_h2"] == mixed["logits_"] == {(1, 2), (3, 3)} and mixed["total"] is None
    assert model.interchange(x, {"a1_h2": y, "m1": y})["total"] == 6


def test_answers_are_those_of_the_task_on_the_input_that_the_logits_saw() -> None:
    own, told = task(), claim().task
    rows = own.model.sample(9, seed=0)
    assert told.model.sample(9, seed=0).equals(rows)
    settings, given = own.model.run_columns(rows), told.model.run_columns(rows)
    inputs = told.encode(given)
    assert inputs.values.equal(own.encode(settings).values)
    assert told.labels(given, inputs).equal(own.labels(settings, inputs))
    back = told.model.run_columns(rows[::-1].reset_index(drop=True))
    swapped = told.model.interchange_columns(given, {"a1_h2": back, "m1": back})
    assert told.labels(swapped, inputs).tolist() == own.labels(settings, inputs).tolist()[::-1]
    with pytest.raises(SpecError, match="interchange all that the logits read jointly"):
        told.labels(told.model.interchange_columns(given, {"m1": back}), inputs)


@pytest.mark.parametrize("balance", [None, "output", "change"])
def test_all_variables_of_a_pair_have_one_source(balance: Any) -> None:
    told = circuit_hypothesis(Circuit(SHARED, EDGES), task(balance=balance)).task
    pairs = told.pairs(12, vary=["input_", "a1_h2", "m1"], seed=1)
    assert pairs.subsets == (("a1_h2", "m1"),) == tuple(pairs.expected)
    assert all(source.values.equal(pairs.sources["m1"].values) for source in pairs.sources.values())
    assert pairs.expected["a1_h2", "m1"].equal(pairs.source_labels["m1"])
    if balance == "change":
        outputs = [pairs.drawn.sources["m1"]["total"], pairs.drawn.base["total"]]  # type: ignore[union-attr]
        assert (outputs[0] != outputs[1]).sum() == 6


def test_names() -> None:
    assert [variable(n) for n in ("input", "a3.h5", "a3.h5<q>", "a1.g0<k>", "m3", "m3.n17")] == [
        "input_", "a3_h5", "a3_h5_q", "a1_g0_k", "m3", "m3_n17"
    ]  # fmt: skip
    assert all(name.isidentifier() for name in claim().task.model.variables)
    assert claim().claim == "6 of 82 edges carry the answer, and nothing else matters"


@pytest.mark.parametrize(
    ("edges", "graph", "fields", "said"),
    [
        ([Edge("m0", "logits")], SHARED, {}, "no path of its edges"),
        (
            [Edge("input", "logits", "end")],
            Graph(n_layers=1, n_heads=1, positions=("end",)),
            {},
            "classes of positions",
        ),
        ([Edge("embed", "logits")], Graph(n_layers=1, n_heads=1, inputs=("embed", "pos_embed")), {}, "embeddings"),
        (
            [Edge("input", "m0"), Edge("m0.n0", "logits")],
            Graph(n_layers=1, n_heads=1, neurons=2),
            {"unmapped": Resample(share="zero")},
            "into neurons",
        ),
    ],
)
def test_refused(edges: list[Edge], graph: Graph, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        claim(edges, graph, **fields)


def test_variables_of_the_task_may_not_be_named_like_nodes() -> None:
    model = cm.CausalModel({"m1": range(4)}, {"total": lambda m1: m1}, "total")
    named = cm.Task(model, encode=lambda v: [v["m1"]], label=lambda v: v["total"])
    with pytest.raises(SpecError, match="'m1', which is the name of a node"):
        Circuit(SHARED, EDGES).hypothesis(named)
