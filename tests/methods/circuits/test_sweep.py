"""A sweep gives the circuits of separate searches for less work; other orders give a fair comparison."""

from dataclasses import replace

import numpy as np
import pytest

import causalmi as cm
from causalmi.methods.circuits.order_stability import order_stability
from causalmi.methods.circuits.search import Search
from causalmi.methods.circuits.sweep import sweep
from tests.methods.circuits.random_searches import Case

SHARES = (0.02, 0.1, 0.3, 0.5, 0.8)


def separate(case: Case, method: cm.ACDC, thresholds: list[float], only: np.ndarray | None = None) -> list[Search]:
    problem = case.problem(100)
    return [Search.begin(problem, replace(method, threshold=t), only).run() for t in thresholds]


def thresholds_of(case: Case, method: cm.ACDC) -> list[float]:
    """Quantiles of effects: some edges lie between any two."""
    (found,) = separate(case, method, [0.01])
    effects = [d.effect for d in found.decisions if d.effect is not None]
    return [float(x) for x in np.quantile(np.abs(effects) if method.absolute else effects, SHARES)]


@pytest.mark.parametrize("number", [0, 1, 3, 6, 8, 16])
def test_a_sweep_is_the_separate_searches(number: int) -> None:
    case = Case(number)
    method = case.method(0.0)
    thresholds = thresholds_of(case, method)
    swept = sweep(case.problem(100), method, thresholds)
    alone = separate(case, method, thresholds)
    for one, other in zip(swept, alone, strict=True):
        assert np.array_equal(one.kept, other.kept)
        assert [(d.place, d.kept, d.effect is None) for d in one.decisions] == [
            (d.place, d.kept, d.effect is None) for d in other.decisions
        ]
        assert one.baseline == pytest.approx(other.baseline, abs=1e-9)
    assert len({search.kept.sum() for search in swept}) >= 3
    assert sum(s.cost.rounds for s in swept) <= sum(s.cost.rounds for s in alone)


def test_near_thresholds_cost_much_less() -> None:
    """Which differ for the edges of few receivers only."""
    case = Case(7)
    method = cm.ACDC(threshold=0)
    thresholds = [0.01 * (1 + 1e-4 * i) for i in range(5)]
    swept = sweep(case.problem(100), method, thresholds)
    alone = separate(case, method, thresholds)
    assert [s.kept.tolist() for s in swept] == [s.kept.tolist() for s in alone]
    assert sum(s.cost.nodes for s in swept) < 0.5 * sum(s.cost.nodes for s in alone)


def test_the_same_threshold_costs_nothing_again_and_the_order_is_the_callers() -> None:
    case = Case(3)
    method = cm.ACDC(threshold=0)
    swept = sweep(case.problem(100), method, [0.5, 0.01, 0.5])
    assert swept[0] is swept[2] and [s.method.threshold for s in swept] == [0.5, 0.01, 0.5]
    assert swept[0].kept.sum() < swept[1].kept.sum()


def test_a_sweep_among_some_edges() -> None:
    case = Case(8)
    problem = case.problem(100)
    only = problem.graph.exists & (np.random.default_rng(0).random(problem.graph.shape) < 0.7)
    method = cm.ACDC(threshold=0)
    swept = sweep(problem, method, [0.001, 0.01, 0.1], only=only)
    for one, other in zip(swept, separate(case, method, [0.001, 0.01, 0.1], only), strict=True):
        assert np.array_equal(one.kept, other.kept) and not (one.kept & ~only).any()


def test_a_threshold_that_some_effect_is_shares_nothing_from_there_on() -> None:
    """Equality keeps, and rounding must not decide which side of it a copied decision is on."""
    case = Case(0)
    (found,) = separate(case, cm.ACDC(threshold=0), [0.01])
    effect = next(d.effect for d in found.decisions if d.effect and d.effect > 0.01)
    swept = sweep(case.problem(100), cm.ACDC(threshold=0), [0.01, effect])
    for one, other in zip(swept, separate(case, cm.ACDC(threshold=0), [0.01, effect]), strict=True):
        assert np.array_equal(one.kept, other.kept)


@pytest.mark.parametrize(("thresholds", "says"), [([], "empty"), ([0.1, float("nan")], "nan"), ([np.inf], "inf")])
def test_thresholds_that_are_none_are_refused(thresholds: list[float], says: str) -> None:
    with pytest.raises(cm.errors.SpecError, match=says):
        sweep(Case(0).problem(100), cm.ACDC(threshold=0), thresholds)


def test_orders_are_searched_on_one_problem_alone() -> None:
    """Donors drawn by the seed stay, whatever the seed of an order: only the order differs."""
    case = Case(4)
    problem = case.problem(100)
    assert case.ablation == cm.Resample(share="node")
    how = dict(metric=problem.metric, ablation=case.ablation, graph=problem.graph, seed=problem.seed)
    found = order_stability(
        problem.model, problem.pairs, method=cm.ACDC(threshold=-1e9), orders=[("random", "random")], n=3, **how
    )
    assert found.mean == 1 and found.frame["seed"].tolist() == [4, 5, 6]
    assert len(found.always) == len(problem.graph.edges)
    found = order_stability(problem.model, problem.pairs, method=cm.ACDC(threshold=0.03), **how)
    losses = [problem.losses([circuit.array])[0].mean() for circuit in found.circuits]
    sign = 1 if problem.metric.better == "lower" else -1
    np.testing.assert_allclose(found.frame["metric"], [sign * x for x in losses], atol=1e-12)
    for i, a in enumerate(found.circuits):
        for j, b in enumerate(found.circuits):
            assert found.jaccard[i, j] == pytest.approx(len(a & b) / len(a | b))
    assert len(found.frame) == 8 and found.mean == pytest.approx((found.jaccard.sum() - 8) / 56)
