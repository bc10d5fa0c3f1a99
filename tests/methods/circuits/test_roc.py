"""ROC curves of scores against a known circuit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causalmi.errors import DataError, ModelError, SpecError
from causalmi.methods.circuits.roc import auroc
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Edge, Graph
from tests.spec.small_graphs import GRAPHS, PLAIN

SMALL = Graph(n_layers=1, n_heads=1, has_mlp=False)  # input->q, input->k, input->v, input->logits, a0.h0->logits


def scores(*values: float) -> dict[Edge, float]:
    return dict(zip(SMALL.edges, values, strict=True))


TRUTH = Circuit(SMALL, SMALL.edges[:2])


@pytest.mark.parametrize(
    ("values", "auc", "pessimistic"),
    [
        ((5, 4, 3, 2, 1), 1, 1),
        ((1, 2, 3, 4, 5), 0, 0),
        ((5, 2, 4, 3, 1), 4 / 6, 4 / 6),
        ((1, 1, 1, 1, 1), 0.5, 0),
        ((2, 1, 1, 0, 0), 5.5 / 6, 5 / 6),
    ],
)
def test_known_areas(values: tuple[float, ...], auc: float, pessimistic: float):
    found = auroc(scores(*values), TRUTH)
    assert found.auc == pytest.approx(auc, abs=1e-12)
    assert found.pessimistic == pytest.approx(pessimistic, abs=1e-12)


def test_the_curve_has_a_point_for_every_distinct_score():
    frame = auroc(scores(2, 1, 1, 0, 0), TRUTH).frame
    assert frame.to_numpy().tolist() == [[np.inf, 0, 0], [2, 0, 0.5], [1, 1 / 3, 1], [0, 1, 1]]


@given(st.sampled_from(["plain", "neurons", "positions", "groups"]), st.integers(0, 999), st.sampled_from([2, 50]))
@settings(max_examples=40, deadline=None)
def test_areas_are_shares_of_pairs(name: str, seed: int, steps: int):
    graph, rng = GRAPHS[name], np.random.default_rng(seed)
    values = np.where(graph.exists, rng.integers(-steps, steps, graph.shape), 0).astype(float)
    truth = Circuit(graph, [e for e in graph.edges if rng.random() < 0.4][1:] or graph.edges[:1])
    inside = [values[graph.place(e)] for e in truth.edges]
    outside = [values[graph.place(e)] for e in truth.complement().edges]
    found = auroc(values, truth)
    higher = np.mean([[(a > b) + 0.5 * (a == b) for a in inside] for b in outside])
    surely = np.mean([[a > b for a in inside] for b in outside])
    assert found.auc == pytest.approx(higher, abs=1e-12)
    assert found.pessimistic == pytest.approx(surely, abs=1e-12)


def test_nodes_have_the_highest_score_of_what_they_send():
    truth = Circuit(PLAIN, [Edge("input", "a0.h1<v>"), Edge("a0.h1", "m1"), Edge("m1", "logits")])
    values = dict.fromkeys(PLAIN.edges, -1.0)
    values |= {Edge("input", "logits"): 9.0, Edge("a0.h1", "m1"): 3.0, Edge("m0", "m1"): 2.0, Edge("m1", "logits"): 1.0}
    found = auroc(values, truth, level="node")
    assert found.auc == pytest.approx(1 - 1 / 8, abs=1e-12)  # m1 is below m0, of 2 in and 4 out
    assert found.frame.threshold.tolist() == [np.inf, 3, 2, 1, -1]
    assert str(found) == "AUROC of nodes 0.875 (staircase 0.875)"


@pytest.mark.parametrize("level", ["edge", "node"])
@pytest.mark.parametrize("truth", [Circuit.full(SMALL), Circuit.empty(SMALL)], ids=["all", "none"])
def test_all_or_none_have_no_curve(truth: Circuit, level: str):
    with pytest.raises(DataError, match=f"{level}s"):
        auroc(scores(1, 2, 3, 4, 5), truth, level=level)  # type: ignore[arg-type]


def test_bad_input_is_refused():
    with pytest.raises(ModelError, match="NaN"):
        auroc(scores(1, 2, 3, 4, np.nan), TRUTH)
    with pytest.raises(SpecError, match="edge or node"):
        auroc(scores(1, 2, 3, 4, 5), TRUTH, level="head")  # type: ignore[arg-type]
