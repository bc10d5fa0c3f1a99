"""How alike are circuits of resampled examples? Searches of which that is known."""

import json
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import causalmi as cm
from causalmi.errors import DataError, SpecError
from causalmi.methods.circuits import stability
from causalmi.methods.circuits.scores import PerExample
from causalmi.methods.circuits.select import TopN
from causalmi.methods.circuits.stability import circuit_stability, resampled
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Edge, Graph
from tests.networks import draw_tokens, reference

GRAPH = Graph(n_layers=1, n_heads=2)
ONE, TWO, THREE = GRAPH.edges[:3]


def test_a_search_that_looks_at_nothing_is_stable() -> None:
    for circuit in (Circuit(GRAPH, [ONE, TWO]), Circuit.empty(GRAPH)):
        found = resampled(lambda rows, c=circuit: c, range(5), n_resamples=7, seed=0)
        assert (found.between == 1).all() and len(found.between) == 21 and (found.to_circuit == 1).all()


def test_jaccard_and_frequencies_are_those_of_sets() -> None:
    drawn = list[frozenset[Edge]]()

    def circuit_of(rows: Any) -> Circuit:
        edges = [ONE] + [TWO] * int((rows == 0).any()) + [THREE] * int(np.sum(rows == 1) > 1)
        drawn.append(frozenset(edges))
        return Circuit(GRAPH, frozenset(edges))

    found = resampled(circuit_of, range(6), n_resamples=40, seed=0)
    assert found.circuit.edges == drawn[0] == {ONE, TWO}
    expected = [len(a & b) / len(a | b) for a, b in combinations(drawn[1:], 2)]
    assert found.between == pytest.approx(expected)
    assert found.to_circuit == pytest.approx([len(a & drawn[0]) / len(a | drawn[0]) for a in drawn[1:]])
    table = found.frame
    assert [Edge(s, r) for s, r in zip(table["sender"], table["receiver"], strict=True)] == [ONE, TWO, THREE]
    assert table["frequency"].to_numpy() == pytest.approx(
        [sum(e in d for d in drawn[1:]) / 40 for e in (ONE, TWO, THREE)]
    )
    assert list(table["in_circuit"]) == [True, True, False]
    assert 0.5 < table["frequency"][1] < 0.85  # 1 - (1 - 1/6)^6 = .67


def test_bases_are_drawn_whole() -> None:
    clusters, seen = np.array([3, 3, 3, 5, 8, 8]), list[Any]()
    resampled(lambda rows: seen.append(rows) or Circuit.empty(GRAPH), clusters, n_resamples=20, seed=0)
    assert list(seen[0]) == [0, 1, 2, 3, 4, 5]
    for rows in seen[1:]:
        counts = np.bincount(rows, minlength=6)
        assert len(set(counts[:3])) == 1 and counts[4] == counts[5] and counts[0] + counts[3] + counts[4] == 3
    again = list[Any]()
    resampled(lambda rows: again.append(rows) or Circuit.empty(GRAPH), clusters, n_resamples=20, seed=0)
    assert all((a == b).all() for a, b in zip(seen, again, strict=True)) and len({len(r) for r in seen}) > 1


@dataclass(frozen=True)
class Drawn(PerExample):
    """Scores that are random numbers of each example, found by its tokens; counts how often it is asked."""

    asked: list[int]

    def examples(self, batch: Any, problem: Any) -> Tensor:
        self.asked.append(batch.rows.stop - batch.rows.start)
        tokens = problem.pairs.rows(batch.rows).base.values
        seeds = (tokens * torch.tensor([1, 10, 100, 1000, 10000])).sum(1).tolist()
        return torch.from_numpy(np.stack([np.random.default_rng(s).normal(size=problem.graph.shape) for s in seeds]))


def pairs(n: int = 12) -> cm.CounterfactualPairs:
    bases = draw_tokens(n, 0)
    bases[1] = bases[0]
    return cm.CounterfactualPairs.from_tokens(bases, draw_tokens(n, 1), answer=1, foil=2)


def test_scores_of_examples_are_found_once_and_give_what_runs_would(monkeypatch: pytest.MonkeyPatch) -> None:
    model, method = cm.load_model(reference()), Drawn([])
    how = dict(method=method, select=TopN(20), n_resamples=15, seed=3)
    kept = circuit_stability(model, pairs(), **how)
    assert sum(method.asked) <= 13
    assert kept.frame.equals(circuit_stability(model, pairs(), batch_size=5, **how).frame)
    method.asked.clear()
    monkeypatch.setattr(stability, "KEPT", 0)
    sizes = list[int]()
    resampled(lambda rows: sizes.append(len(rows)) or Circuit.empty(GRAPH), pairs().clusters(), n_resamples=15, seed=3)
    run = circuit_stability(model, pairs(), **how)
    assert sum(method.asked) == sum(sizes)
    assert run.frame.equals(kept.frame) and run.jaccard == kept.jaccard and run.circuit == kept.circuit
    assert 0 < kept.jaccard.value < 1 and kept.n == 12
    assert "Jaccard" in str(kept) and json.loads(json.dumps(kept.to_dict(), allow_nan=False))["n_resamples"] == 15


def test_any_search_can_be_resampled() -> None:
    """The search sees the resampled pairs: its circuit has the edge of the token that is most frequent in them."""
    sizes = list[int]()

    def search(problem: Any) -> Circuit:
        sizes.append(len(problem.pairs))
        top = int(torch.bincount(problem.pairs.base.values.flatten(), minlength=10).argmax())
        return Circuit(problem.graph, [problem.graph.edges[top]])

    found = circuit_stability(cm.load_model(reference()), pairs(), method=search, n_resamples=12)
    assert len(sizes) == 13 and sizes[0] == 12 and found.method == "search" and "search" in str(found)
    assert found.sizes.value == 1 and found.frame["frequency"].sum() == pytest.approx(1)
    same = found.frame["frequency"].to_numpy()
    pairs_alike = sum(k * (k - 1) / 2 for k in (same * 12).round())
    assert found.jaccard.value == pytest.approx(pairs_alike / 66) and found.jaccard.value < 1


def test_bad_input_is_refused() -> None:
    model, method = cm.load_model(reference()), Drawn([])
    same = cm.CounterfactualPairs.from_tokens(draw_tokens(1, 0).repeat(4, 1), draw_tokens(4, 1), answer=1, foil=2)
    with pytest.raises(DataError, match="share one base"):
        circuit_stability(model, same, method=method, select=TopN(3))
    with pytest.raises(DataError, match="n_resamples is 1"):
        circuit_stability(model, pairs(), method=method, select=TopN(3), n_resamples=1)
    with pytest.raises(SpecError, match="gives no scores"):
        circuit_stability(model, pairs(), method="eap", select=TopN(3))  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="give one such as TopN"):
        circuit_stability(model, pairs(), method=method, select=20)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="leave it out"):
        circuit_stability(model, pairs(), method=lambda problem: None, select=TopN(3))
    assert method.asked == []
