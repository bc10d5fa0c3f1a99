"""Is scrubbing a circuit's claim running the circuit with all else ablated? Compared with runs of its edges."""

from typing import Any

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi.errors import SpecError
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.scrubbing.draw import REST, Draws
from causalmi.methods.scrubbing.graph import Graph as Nodes
from causalmi.methods.scrubbing.graph import graph_of as nodes_of
from causalmi.methods.scrubbing.setup import set_up
from causalmi.models.graph import graph_of
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Graph
from causalmi.spec.hypothesis import Hypothesis, Resample
from tests.networks import exact_norms, gpt2, llama, reference

N = 12
ABLATIONS = {"paired": None, "zero": cm.Zero(bias="ablate"), "mean": cm.MeanPositional()}
GRID = {"x": range(7), "y": range(7)}


def made(name: str) -> tuple[cm.Model, Graph]:
    makers: dict[str, Any] = {"gpt2": gpt2, "llama": lambda: exact_norms(llama())}
    model = cm.load_model(makers.get(name, lambda: reference(n_layers=2))())
    return model, graph_of(model.adapter, split_qkv=name != "whole heads", neurons=name == "neurons")


def right(model: cm.Model) -> cm.Task:
    """A task that the network does: its own answers."""
    tokens = torch.tensor([[x, 8, y, 9] for x in range(7) for y in range(7)])
    own = model.run(tokens).logits[:, -1].argmax(-1).tolist()
    answer = cm.CausalModel(GRID, {"at": lambda x, y: 7 * x + y, "answer": lambda at: own[at]}, "answer")
    return cm.Task(answer, encode=lambda v: [v["x"], 8, v["y"], 9], label=lambda v: int(v["answer"]), balance="change")


def drawn(graph: Graph, share: float, seed: int = 0) -> Circuit:
    """A random circuit with a path through it."""
    for trial in range(100):
        chosen = np.random.default_rng([seed, trial]).random(graph.shape) < share
        if len(found := Circuit.of(graph, chosen & graph.exists).pruned()):
            return found
    raise AssertionError("no circuit")


def scrubbed(claim: Hypothesis, data: Any) -> np.ndarray:
    return cm.scrub(claim, data=data, controls=()).frame["scrubbed"].to_numpy()


def off(name: str, share: str, sizes: tuple[float, ...]) -> float:
    """By how much the scrubbed losses of single examples differ at most from those of the circuits."""
    model, graph = made(name)
    task = right(model)
    pairs = task.pairs(N, vary=["at"], seed=0)
    problem = Problem.of(model, pairs, metric="cross_entropy", ablation=ABLATIONS[share], graph=graph)
    circuits = [Circuit.full(graph) if size == 1 else drawn(graph, size) for size in sizes]
    losses = problem.losses([c.array for c in circuits])
    assert np.abs(losses - problem.ends()[0]).max() > 1e-3  # something is ablated
    data = pairs if share == "paired" else pairs.drawn.base[list(GRID)]  # type: ignore[union-attr]
    claims = [c.hypothesis(task, model, unmapped=Resample(share=share)) for c in circuits]  # type: ignore[arg-type]
    return float(max(np.abs(scrubbed(c, data) - loss).max() for c, loss in zip(claims, losses, strict=True)))


@pytest.mark.parametrize("share", ["paired", "zero", "mean"])
def test_the_scrubbed_loss_is_that_of_the_circuit(share: str) -> None:
    assert off("reference", share, (1, 0.5, 0.1)) < 1e-9


@pytest.mark.parametrize("name", ["gpt2", "llama", "whole heads", "neurons"])
def test_in_other_networks_and_at_other_grains(name: str) -> None:
    assert off(name, "paired", (0.03 if name == "gpt2" else 0.2,)) < 1e-9


def test_one_donor_for_all_edges_by_default() -> None:
    model, graph = made("reference")
    task, circuit = right(model), drawn(graph, 0.4)
    claim = circuit.hypothesis(task, model)
    setup = set_up(claim, None, data=None, n=N, seed=3, batch_size=None)
    donors = {tuple(draw.rest[REST]) for draw in setup.drawn.values() if draw.rest}
    assert len(donors) == 1
    values = setup.inputs.values
    pairs = cm.CounterfactualPairs.from_tokens(values, values[list(*donors)], answer=setup.labels.answer)
    losses = Problem.of(model, pairs, metric="cross_entropy", graph=graph).losses([circuit.array])[0]
    found = cm.scrub(claim, n=N, seed=3, controls=())
    assert np.allclose(found.frame["scrubbed"], losses, atol=1e-9)


def test_a_true_circuit_is_supported_and_another_one_not() -> None:
    model, graph = made("reference")
    whole, part = (c.hypothesis(right(model), model, n=48) for c in (Circuit.full(graph), drawn(graph, 0.03)))
    good, bad = (cm.scrub(claim, controls=cm.ShuffledSources()) for claim in (whole, part))
    assert good.finding.estimate.value == pytest.approx(1) and good.finding.verdict == "supported"  # type: ignore[union-attr]
    assert bad.finding.verdict == "rejected"


def test_interchanging_all_that_the_logits_read_gives_the_sources_answer() -> None:
    model, graph = made("reference")
    claim = Circuit.full(graph).hypothesis(right(model), model)
    found = cm.interchange_test(claim, n=40, controls=cm.ShuffledSources())
    (only,) = found.findings
    assert only.variables == claim.task.model.parents["logits_"] and only.iia.value == 1  # type: ignore[union-attr]
    assert found.accuracy.value == 1 and only.verdict != "rejected"
    with pytest.raises(SpecError, match="of which the claim predicts nothing"):
        cm.interchange_test(claim, n=40, sets=[("m1",)])


def test_assess_says_what_it_cannot_have() -> None:
    model, graph = made("reference")
    found = cm.assess(drawn(graph, 0.03).hypothesis(right(model), model), n=24)
    assert set(found.results) == {"observational", "local", "interchange", "scrub"}
    assert not isinstance(found.results["scrub"], str) and not isinstance(found.results["interchange"], str)


def test_nodes_that_are_not_resampled_are_drawn_for_once() -> None:
    """Merged or not, every node sees the same data; only the number of occurrences differs."""
    model, graph = made("reference")
    task = right(model)
    claim = Circuit.full(graph).hypothesis(task, model, n=20)
    setup = set_up(claim, None, data=None, n=20, seed=0, batch_size=None)
    merged, tree = setup.graph, Nodes(dict(setup.graph.nodes))
    tree.__dict__["_settled"] = frozenset()
    assert len(merged.occurrences) == len(claim.variables) + 1 < len(tree.occurrences) == tree.size == merged.size
    terms: dict[str, tuple[str, ...]] = dict.fromkeys(merged.nodes, ())
    few, all_of = (Draws(g, setup.population, terms, 0).sample(setup.references) for g in (merged, tree))
    for path, draw in all_of.items():
        key = path[:1]
        for name in path[1:]:
            key = merged.onto(key, name)
        assert key[-1] == path[-1] and (few[key].own == draw.own).all()
        assert {k: ids.tolist() for k, ids in few[key].rest.items()} == {k: x.tolist() for k, x in draw.rest.items()}


def test_too_many_paths_are_refused_with_their_number() -> None:
    graph = Graph(n_layers=4, n_heads=4)
    model, _ = made("reference")
    claim = Circuit.full(graph).hypothesis(right(model), unmapped=Resample())
    with pytest.raises(SpecError, match=r"has 1,060,184 nodes, more than 10,000.*Resample\(name='all'\)"):
        nodes_of(claim)
    assert len(nodes_of(Circuit.full(graph).hypothesis(right(model))).occurrences) == 70
