"""On networks: both ends are those of plain runs, and nothing depends on the size of a batch."""

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi.errors import ModelError, SpecError
from causalmi.methods.circuits.curve import faithfulness_curve
from causalmi.methods.circuits.eap import EAP
from causalmi.methods.circuits.evaluate import evaluate_circuit
from causalmi.methods.circuits.scores import edge_scores
from causalmi.methods.circuits.select import TopN
from causalmi.methods.circuits.stability import circuit_stability
from causalmi.models.graph import graph_of
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Graph
from tests.networks import draw_tokens, gpt2, llama, reference

N = 14
BASES, SOURCES = draw_tokens(N, 0), draw_tokens(N, 1)


@pytest.fixture(scope="module", params=[gpt2, llama], ids=["gpt2", "llama"])
def model(request: pytest.FixtureRequest) -> cm.Model:
    return cm.load_model(request.param())


def pairs(model: cm.Model) -> cm.CounterfactualPairs:
    """Pairs of which the network tells base from source: the answer is what it says to the base, the foil to the source."""
    answer, foil = (model.run(x).logits[:, -1].argmax(-1) for x in (BASES, SOURCES))
    foil = torch.where(foil == answer, (answer + 1) % 10, foil)
    return cm.CounterfactualPairs.from_tokens(BASES, SOURCES, answer=answer, foil=foil)


def difference(model: cm.Model, inputs: torch.Tensor) -> float:
    given, logits = pairs(model), model.run(inputs).logits[:, -1]
    rows = torch.arange(N)
    return float((logits[rows, given.base_labels] - logits[rows, given.foil]).mean())


def test_the_ends_are_plain_runs(model: cm.Model) -> None:
    graph = graph_of(model.adapter)
    for circuit, f in ((Circuit.full(graph), 1.0), (Circuit.empty(graph), 0.0)):
        found = evaluate_circuit(model, circuit, pairs(model), tests="faithfulness", controls="uniform", n_random=2)
        assert found.full.value == pytest.approx(difference(model, BASES), rel=1e-6)
        assert found.empty.value == pytest.approx(difference(model, SOURCES), rel=1e-6)
        assert found["faithfulness"].estimate.value == pytest.approx(f, abs=1e-6) and not found.inverted
        assert found.verdict == ("uninformative" if f else "rejected")


def test_every_test_on_a_network_whatever_the_batch_size() -> None:
    model = cm.load_model(reference(n_layers=1, d_vocab_out=10))
    circuit = TopN(5).circuit(edge_scores(model, pairs(model), method=EAP()))
    how = dict(n_random=4, seed=1)
    whole = evaluate_circuit(model, circuit, pairs(model), **how)
    parts = evaluate_circuit(model, circuit, pairs(model), batch_size=9, **how)
    assert len(whole.frame) == 16 and list(whole.frame["verdict"]) == list(parts.frame["verdict"])
    numbers = whole.frame.select_dtypes("number")
    assert np.allclose(numbers, parts.frame[numbers.columns], equal_nan=True, rtol=1e-6, atol=1e-9)
    assert whole.subject is circuit and str(len(circuit)) in whole.claim


def test_restoring_runs_the_sources(model: cm.Model) -> None:
    circuit = TopN(12).circuit(edge_scores(model, pairs(model), method=EAP()))
    how = dict(tests="faithfulness", controls=(), n_random=1)
    one, other = (evaluate_circuit(model, circuit, pairs(model), direction=d, **how) for d in ("ablate", "restore"))
    assert other.full.value == pytest.approx(one.full.value) and other.empty.value == pytest.approx(one.empty.value)
    assert other.direction == "restore" and "restore" in str(other) and one.direction == "ablate"
    assert abs(other.own.value - one.own.value) > 1e-3  # kept edges carry what the base gives, whatever comes before


def test_other_metrics_and_ablations(model: cm.Model) -> None:
    circuit = TopN(12).circuit(edge_scores(model, pairs(model), method=EAP()))
    found = evaluate_circuit(
        model, circuit, pairs(model), metric="kl", ablation=cm.Mean(), tests="faithfulness", n_random=2
    )
    assert found.full.value == pytest.approx(0, abs=1e-9) and found.empty.value > 0 and found.metric == "kl"
    f = 1 - found.own.value / found.empty.value
    assert found["faithfulness"].estimate.value == pytest.approx(f, rel=1e-6)


def test_the_curve_ends_at_the_network(model: cm.Model) -> None:
    scores = edge_scores(model, pairs(model), method=EAP())
    ways = ({}, {"batch_size": 9}, {"select": "greedy"})
    curves = [faithfulness_curve(model, scores, pairs(model), **how) for how in ways]
    for found in curves:
        assert found.frame["faithfulness"].iloc[-1] == pytest.approx(1, abs=1e-6)
        assert found.frame["edges"].iloc[-1] == len(scores) and found.cpr is not None
    assert curves[0].cpr.value == pytest.approx(curves[1].cpr.value, rel=1e-6)
    assert curves[2].frame["edges"].sum() >= curves[0].frame["edges"].sum()  # greedy edges lead to the logits at least
    small = TopN(share=0.05).circuit(scores)
    own = evaluate_circuit(model, small, pairs(model), tests="faithfulness", controls=(), n_random=1)
    at = curves[0].frame.set_index("fraction").loc[0.05]
    assert (at["faithfulness"], at["low"], at["high"]) == pytest.approx(
        (own.estimate.value, own.estimate.low, own.estimate.high), rel=1e-6
    )


def test_stability_of_a_real_search(model: cm.Model) -> None:
    found = circuit_stability(model, pairs(model), method=EAP(), select=TopN(12), n_resamples=10)
    assert found.circuit == TopN(12).circuit(edge_scores(model, pairs(model), method=EAP()))
    assert 0 < found.jaccard.value <= 1
    with pytest.raises(Exception, match="minimum"):
        circuit_stability(model, pairs(model), method=EAP(), select=TopN(12), metric="kl", n_resamples=10)


def test_a_circuit_of_another_network_is_refused(model: cm.Model) -> None:
    with pytest.raises(ModelError, match="a circuit is of one network's graph"):
        evaluate_circuit(model, Circuit.full(Graph(n_layers=1, n_heads=1)), pairs(model))
    with pytest.raises(SpecError, match="direction"):
        evaluate_circuit(model, Circuit.full(graph_of(model.adapter)), pairs(model), direction="up")  # type: ignore[arg-type]
