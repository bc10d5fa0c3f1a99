"""Curves of faithfulness whose areas are known."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from causalmi.errors import DataError, SpecError
from causalmi.methods.circuits.curve import Axis, curve, faithfulness_curve
from causalmi.methods.circuits.select import Greedy, TopN
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Edge, Graph
from causalmi.stats.curves import FRACTIONS, cmd, cpr
from causalmi.stats.means import ratio
from tests.methods.circuits.synthetic import Synthetic

GRAPH = Graph(n_layers=6, n_heads=6)
P = np.array(FRACTIONS)
N = len(GRAPH.edges)


def ranking() -> np.ndarray:
    """Scores by which larger circuits have new edges on paths: first what MLPs and heads read of the input and give."""
    scores = np.random.default_rng(0).random(GRAPH.shape)
    reads = [(f"m{i}", f"m{i}") for i in range(6)]
    reads += [(f"a{i}.h{h}<v>", f"a{i}.h{h}") for i in range(6) for h in range(6)]
    first = [Edge("input", "logits"), *(e for r, s in reads for e in (Edge("input", r), Edge(s, "logits")))]
    for rank, edge in enumerate(first):
        scores[GRAPH.place(edge)] = 1000 - rank
    return scores


CIRCUITS = [TopN(share=p).circuit(ranking(), GRAPH) for p in FRACTIONS]


def planted(f: Any, n: int = 12) -> Synthetic:
    """A score of which the circuits of the ranking have the share f; every size gets its step on one of its new edges."""
    steps = np.diff([0.0, *f])
    before = [Circuit.empty(GRAPH), *CIRCUITS]
    places = [min(map(GRAPH.place, (c - b).edges)) for c, b in zip(CIRCUITS, before, strict=False)]
    around = torch.from_numpy(1 + 0.2 * np.random.default_rng(0).normal(size=n))

    def score(keep: torch.Tensor) -> torch.Tensor:
        return around * sum(step * keep[place] for step, place in zip(steps, places, strict=True))

    return Synthetic(score, np.arange(n), GRAPH)


def drawn(problem: Synthetic, circuits: Any = CIRCUITS, axis: Axis | None = None) -> Any:
    return curve(problem, circuits, axis or Axis(), "score, top", "a network")


CURVES = [
    (np.ones(10), 0.999, 0),
    (P, 0.4999995, 0.4990005),
    ((P == 1).astype(float), 0.25, 0.749),
    (np.where(P < 1, 2.0, 1.0), 1.998 - 0.25, 0.999 - 0.25),  # all edges are the network: f(1) is 1
    (np.where(P < 0.2, 1.5, np.where(P < 1, 0.5, 1.0)), 0.6485 + 0.125, 0.4995 - 0.125),
]


@pytest.mark.parametrize(("f", "ratio_", "distance"), CURVES)
def test_known_areas(f: np.ndarray, ratio_: float, distance: float) -> None:
    found = drawn(planted(f))
    assert found.frame["faithfulness"].to_numpy() == pytest.approx(f, abs=1e-12)
    assert found.cpr.value == pytest.approx(ratio_, abs=1e-9) and found.cmd.value == pytest.approx(distance, abs=1e-9)
    assert found.cpr.value == pytest.approx(cpr(P, f)) and found.cmd.value == pytest.approx(cmd(P, f))


def test_sizes_are_rounded_down_and_pruned() -> None:
    frame = drawn(planted(P)).frame
    assert list(frame["fraction"]) == list(FRACTIONS)
    assert list(frame["edges"]) == [len(c) for c in CIRCUITS] and frame["edges"].iloc[-1] == N
    assert all(frame["edges"] <= np.floor(P * N)) and list(frame["edges"][:3]) == [1, 3, 9]  # of 2, 4, 10
    assert all(c.pruned() == c for c in CIRCUITS)


def test_the_axis() -> None:
    f = P**0.5
    edges = np.array([len(c) for c in CIRCUITS])
    found = drawn(planted(f), axis=Axis(name="edges"))
    assert found.cpr.value == pytest.approx(np.trapezoid(f, edges / N)) and "left after pruning" in found.axis
    assert drawn(planted(f), axis=Axis(name="weighted")).cpr == found.cpr  # no neurons: each edge counts as one
    log = drawn(planted(np.ones(10)), axis=Axis(log=True))
    assert log.cpr.value == pytest.approx(np.log(1000)) and "logarithm" in log.axis
    log = drawn(planted(f), axis=Axis(log=True))
    assert log.cmd.value == pytest.approx(np.trapezoid(1 - f, np.log(P)))


def test_neurons_count_as_parts_of_an_mlp() -> None:
    graph = Graph(n_layers=1, n_heads=1, neurons=4)
    circuits = [Circuit(graph, [Edge("input", "m0"), Edge("m0.n0", "logits")]), Circuit.full(graph)]
    problem = Synthetic(lambda keep: torch.arange(1.0, 9) * keep.double().mean(), np.arange(8), graph)
    found = drawn(problem, circuits, Axis(fractions=(0.5, 1), name="weighted"))
    assert list(found.frame["weighted"]) == [1.25, 8] and found.frame["x"][0] == 1.25 / 8
    found = drawn(problem, circuits, Axis(fractions=(0.5, 1), name="edges"))
    assert found.frame["x"][0] == 2 / 11


def test_sizes_that_are_the_same_after_pruning_count_once() -> None:
    x, f = np.array([0, 0.2, 0.2, 1]), np.array([0, 0.4, 0.6, 1])
    assert Axis(name="edges").weights(x) @ f == pytest.approx(0.05 + 0.6)
    assert Axis(name="edges", log=True).weights(x) @ f == pytest.approx(0.75 * np.log(5))


def test_intervals_are_those_of_ratios_and_grow_where_bases_repeat() -> None:
    problem = planted(P, n=40)
    noise = torch.from_numpy(np.random.default_rng(3).normal(size=40))
    sure = problem.score
    problem.score = lambda keep: sure(keep) + noise * keep[GRAPH.place(Edge("m1", "logits"))] * (1 - keep.mean())
    found = drawn(problem)
    full, empty = problem.ends()
    for row, losses in zip(
        found.frame.itertuples(), problem.losses(np.stack([c.array for c in CIRCUITS])), strict=True
    ):
        e = ratio(empty - losses, empty - full)
        assert (row.faithfulness, row.low, row.high) == pytest.approx((e.value, e.low, e.high))
    assert found.cpr.low < found.cpr.value < found.cpr.high
    twice = Synthetic(lambda keep: problem.score(keep).repeat(2), np.tile(np.arange(40), 2), GRAPH)
    often = drawn(twice)
    assert often.frame[["low", "high"]].to_numpy() == pytest.approx(found.frame[["low", "high"]].to_numpy())
    assert often.cpr.high - often.cpr.low == pytest.approx(found.cpr.high - found.cpr.low, rel=0.15)


def test_without_an_effect_there_is_no_curve() -> None:
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=20))
    problem = Synthetic(lambda keep: noise * keep.sum(), np.arange(20), GRAPH)
    found = drawn(problem)
    assert found.degenerate and found.cpr is None and found.frame["faithfulness"].isna().all()
    assert (
        found.sentence.startswith("undefined")
        and json.loads(json.dumps(found.to_dict(), allow_nan=False))["cpr"] is None
    )


def test_what_it_says_of_itself() -> None:
    found = drawn(planted(P))
    assert "CPR is 0.500" in str(found) and "score, top" in found.sentence and "requested share" in found.sentence
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(plain["curve"]) == 10 and plain["cmd"]["value"] == found.cmd.value


def test_where_lower_is_better_the_metric_is_not_negated() -> None:
    problem = planted(P)
    sure = problem.score
    problem.score, problem.better = (lambda keep: sure(keep) - 5), "lower"
    found = drawn(problem)
    assert found.empty.value == 5 and found.full.value < 5 and found.cpr.value == pytest.approx(0.4999995)
    assert found.frame["value"].iloc[-1] == found.full.value


def test_rankings() -> None:
    """Signed and absolute scores, with and without the way to the logits, choose what their selections choose."""
    table = pd.DataFrame({"sender": ["input"], "receiver": ["logits"], "score": [1.0]})
    with pytest.raises(SpecError, match="graph"):
        faithfulness_curve(None, table, None)
    scores = np.random.default_rng(1).normal(size=GRAPH.shape)
    assert TopN(share=0.1, absolute=True).circuit(scores, GRAPH) != TopN(share=0.1).circuit(scores, GRAPH)
    assert Greedy(share=0.1).circuit(scores, GRAPH) != TopN(share=0.1).circuit(scores, GRAPH)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"fractions": (0.5, 0.1)}, "rise"),
        ({"fractions": (0.5,)}, "two or more"),
        ({"fractions": (0.5, 1.5)}, "from 0 to 1"),
        ({"axis": "nodes"}, "axis is 'nodes'"),
        ({"select": "best"}, "select is 'best'"),
    ],
)
def test_bad_input_is_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        faithfulness_curve(None, ranking(), None, graph=GRAPH, **how)


def test_one_base_is_refused() -> None:
    problem = Synthetic(lambda keep: torch.ones(5).double() * keep.sum(), np.zeros(5), GRAPH)
    with pytest.raises(DataError, match="share one base"):
        drawn(problem)
