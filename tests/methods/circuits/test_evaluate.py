"""Circuits of which is known how faithful, complete and minimal they are."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from causalmi.errors import DataError, SpecError
from causalmi.methods.circuits.completeness import halves
from causalmi.methods.circuits.evaluate import evaluate_circuit, evaluated
from causalmi.methods.circuits.rule import FaithfulWithin, How
from causalmi.results.circuit import CircuitEvaluation
from causalmi.spec.graph import Edge, Graph
from causalmi.stats.multiplicity import adjust
from tests.methods.circuits.synthetic import GRAPH, Synthetic, additive, case, edge, either, weigh

SHARES = {"a0.h0->a1.h0<q>": 5.0, "a0.h1->a1.h1<k>": 3.0, "m0->a1.h0<v>": 2.0}
TRUE = [*SHARES]
AROUND = torch.from_numpy(1 + 0.1 * np.random.default_rng(0).normal(size=40))


def judged(problem: Synthetic, edges: Any, *tests: str, **how: Any) -> CircuitEvaluation:
    how = {"n_random": 30, **({"tests": tests} if tests else {}), **how}
    return evaluated(case(problem, edges, **how), "a network")


def any_of(*names: str) -> Any:
    places = [GRAPH.place(edge(name)) for name in names]
    return lambda keep: 1 - torch.stack([1 - keep[place] for place in places]).prod(0)


@pytest.mark.parametrize(("k", "f"), [(0, 0.0), (1, 0.5), (2, 0.8), (3, 1.0)])
def test_of_a_sum_the_faithfulness_is_the_share_that_is_kept(k: int, f: float) -> None:
    found = judged(additive(SHARES), TRUE[:k], "faithfulness", controls=())
    for name in ("faithfulness", "faithfulness[bootstrap]", "faithfulness[per example]"):
        assert found[name].estimate.value == pytest.approx(f), name
    assert found.estimate is not None and found.estimate.value == pytest.approx(f)
    assert found.full.value == pytest.approx(10 * AROUND.mean().item()) and found.empty.value == 0
    assert found.own.value == pytest.approx(f * found.full.value)
    assert not found.degenerate and not found.inverted


def test_a_true_circuit_is_supported_by_every_test() -> None:
    found = judged(additive(SHARES), TRUE, n_random=100)
    assert found.verdict == "supported" and found.sentence.startswith("supported: faithfulness is 1.000")
    verdicts = dict(zip(found.frame["test"], found.frame["verdict"], strict=True))
    cannot = {"independence", "non-equivalence[signs]"}  # a test that can only reject
    few = {"equivalence[signs]"}  # 40 examples are too few for a margin of 10 %
    assert {t for t, v in verdicts.items() if v != "supported"} == cannot | few
    assert all(verdicts[t] == "inconclusive" for t in cannot | few)
    assert found.control is not None and found.control.value < 0.3
    assert len(found.frames["random"]) == 300 and set(found.frames["edges"]["verdict"]) == {"needed"}


def test_verdicts_of_faithfulness() -> None:
    half = judged(additive(SHARES), TRUE[:1], "faithfulness")
    assert half.verdict == "rejected" and "0.500" in half.sentence and half["faithfulness"].p > 0.99
    assert judged(additive(SHARES), TRUE, "faithfulness")["faithfulness"].p < 1e-9

    noise = torch.from_numpy(np.random.default_rng(1).normal(size=40))
    out, shares = GRAPH.place(edge("input->logits")), weigh(SHARES)
    unsure = Synthetic(lambda keep: (keep * shares).sum() + 5 * noise * (1 - keep[out]), np.arange(40))
    found = judged(unsure, TRUE, "faithfulness", rule=FaithfulWithin(low=0.9, high=1.1))
    assert found.verdict == "inconclusive" and "straddles" in found.sentence

    anything = Synthetic(lambda keep: AROUND * (keep.sum() > 2).double(), np.arange(40))
    assert judged(anything, TRUE, "faithfulness").verdict == "uninformative"
    everything = judged(additive(SHARES), GRAPH.edges, "faithfulness")
    assert everything.verdict == "uninformative" and "no random circuit" in everything.sentence
    assert judged(additive(SHARES), TRUE, "faithfulness", controls=()).verdict == "uninformative"


def test_too_few_random_circuits_do_not_support() -> None:
    found = judged(additive(SHARES), TRUE, "faithfulness", n_random=15)
    assert found.verdict == "inconclusive" and found["above random[walk]"].p == pytest.approx(1 / 16)
    assert "too few" in found["above random[walk]"].sentence
    assert judged(additive(SHARES), TRUE, "faithfulness", n_random=19).verdict == "supported"


def test_the_control_is_the_rank_among_random_circuits() -> None:
    found = judged(additive(SHARES), TRUE[:2], "faithfulness", n_random=50)
    table = found.frames["random"]
    assert found["above random[walk]"].verdict == "uninformative"  # of paths of this size there are next to no others
    for kind in ("uniform", "layer"):
        f = table["faithfulness"][table["kind"] == kind].to_numpy()
        row = found[f"above random[{kind}]"]
        assert row.p == pytest.approx((1 + (np.abs(1 - f) <= 0.2 + 1e-9).sum()) / 51)
        assert row.estimate.value == pytest.approx(0.8 - f.mean())
    assert (table["edges"][table["kind"] != "walk"] == 2).all()


def test_a_difference_by_rounding_is_a_tie() -> None:
    """Any three edges do all, up to rounding that is best for the true ones: that is not better than random."""
    other = weigh(dict.fromkeys((str(e) for e in GRAPH.edges if str(e) not in TRUE), 1e-9))
    problem = Synthetic(lambda k: AROUND * ((k.sum() > 0).double() + (k * other).sum()), np.arange(40))
    found = judged(problem, TRUE, "faithfulness", "sufficiency", "necessity")
    assert found["above random[walk]"].p == 1 and found["sufficiency"].details["beaten"] == 0
    assert found["necessity"].details["beaten"] == 0


def test_better_than_the_network_is_flagged_and_rejected() -> None:
    found = judged(additive({**SHARES, "input->logits": -4.0}), TRUE, "faithfulness")
    assert found.inverted and found.verdict == "rejected" and found.estimate.value == pytest.approx(10 / 6)
    assert found["faithfulness"].p > 0.99
    far = judged(
        additive({**SHARES, "input->logits": -6.0}), TRUE, "faithfulness"
    )  # 2.5; random ones with 0 are closer
    assert far["above random[uniform]"].p > 0.5
    worse = judged(additive({"input->logits": -4.0, "m0->m1": 1}), ["input->logits"], "faithfulness")
    assert worse.inverted and worse.verdict == "uninformative" and "does worse" in worse.sentence


def test_without_an_effect_nothing_is_a_share() -> None:
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=40))
    problem = Synthetic(lambda keep: noise * keep.sum(), np.arange(40))
    found = judged(problem, TRUE)
    assert found.degenerate and found.verdict == "uninformative" and found.estimate is None
    assert set(found.frame["verdict"]) == {"uninformative"} and found.frame["value"].isna().all()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["degenerate"] is True


def test_where_lower_is_better_the_metric_is_not_negated() -> None:
    problem = Synthetic(lambda keep: -AROUND * (10 - (keep * weigh(SHARES)).sum()), np.arange(40), better="lower")
    found = judged(problem, TRUE[:1], "faithfulness", controls=())
    assert found.full.value == pytest.approx(0) and found.own.value == pytest.approx(5 * AROUND.mean().item())
    assert found["faithfulness"].estimate.value == pytest.approx(0.5)


def test_both_ways_of_averaging_are_told_apart() -> None:
    """Spans 1, 1, 9, 9, 0 of which the circuit has all of the small ones and a third of the large ones."""
    one, other = (GRAPH.place(edge(name)) for name in TRUE[:2])
    a, b = torch.tensor([1.0, 1, 3, 3, 0] * 8).double(), torch.tensor([0.0, 0, 6, 6, 0] * 8).double()
    found = judged(Synthetic(lambda k: k[one] * a + k[other] * b, np.arange(40)), TRUE[:1], "faithfulness", controls=())
    assert found["faithfulness"].estimate.value == pytest.approx(8 / 20)
    per = found["faithfulness[per example]"]
    assert per.estimate.value == pytest.approx(2 / 3) and per.details["left_out"] == 8 and per.estimate.n == 32


def test_spans_of_both_signs_have_no_mean_of_ratios() -> None:
    span = torch.tensor([4.0, 4, 4, 4, -0.1] * 8).double()
    one, other = (GRAPH.place(edge(name)) for name in TRUE[:2])
    found = judged(
        Synthetic(lambda k: k[one] * span + k[other] * 0.5 - 0.5 * k[one] * k[other], np.arange(40)),
        TRUE[:1],
        "faithfulness",
        controls=(),
    )
    per = found["faithfulness[per example]"]
    assert per.verdict == "uninformative" and per.details["opposite"] == 8 and "8 have" in per.sentence
    assert found["faithfulness[bootstrap]"].verdict == "supported"


def test_what_other_examples_could_turn_is_not_above_random() -> None:
    """It beats every random circuit on these examples, but on the mean of them not for sure."""
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=40))
    noise = 12 * (noise - noise.mean())
    shares, out = weigh(SHARES), GRAPH.place(edge("input->logits"))
    noisy = Synthetic(lambda k: 0.2 * (k * shares).sum() + noise * (k * shares).sum() * (1 - k[out]), np.arange(40))
    row = judged(noisy, TRUE, "faithfulness", controls="walk")["above random[walk]"]
    assert row.p == pytest.approx(1 / 31) and row.estimate.low < 0 and row.verdict == "inconclusive"


def test_a_redundant_edge_left_out_is_incomplete() -> None:
    found = judged(either(), ["input->m0"], "completeness", n_random=10)
    for search in ("random", "greedy", "trained"):
        row = found[f"completeness[{search}]"]
        assert row.verdict == "rejected" and row.estimate.value == pytest.approx(1)
        assert row.details["knocked out"] == ["input->m0"] and row.estimate.n == 20
    both = judged(either(), ["input->m0", "input->m1"], "completeness", n_random=10)
    assert {f.verdict for f in both.findings} == {"supported"} and both.verdict == "supported"


def test_half_of_the_bases_search_and_the_others_judge() -> None:
    clusters = np.repeat(np.arange(9), 3)
    searching, judging = halves(case(Synthetic(lambda k: k.sum() * torch.ones(27), clusters), TRUE))
    assert (searching ^ judging).all() and len(set(clusters[searching])) == 4 and searching.sum() == 12
    uneven = case(Synthetic(lambda k: k.sum() * torch.ones(4), np.array([7, 2, 2, 2])), TRUE)
    assert list(uneven.units(np.array([5.0, 1, 2, 6]))) == [3, 5]
    few = Synthetic(lambda k: k.sum() * torch.ones(5), np.arange(5))
    assert all(half.all() for half in halves(case(few, TRUE)))


def test_the_gap_is_that_of_means() -> None:
    """Single examples part by .3, half of them upward."""
    one, out = GRAPH.place(edge(TRUE[0])), GRAPH.place(edge("input->logits"))
    apart = torch.where(torch.arange(40) % 2 == 0, 0.3, -0.3).double()
    found = judged(Synthetic(lambda k: k[one] + apart * k[out], np.arange(40)), TRUE[:1], "completeness", n_random=4)
    assert all(abs(f.estimate.value) < 0.2 for f in found.findings)


def test_two_edges_must_go_together_to_show_the_third() -> None:
    """One alone shows nothing."""
    problem = Synthetic(lambda keep: AROUND * any_of(*TRUE)(keep), np.arange(40))
    found = judged(problem, TRUE[:2], "completeness", n_random=20)
    for search in ("random", "greedy", "trained"):
        assert found[f"completeness[{search}]"].verdict == "rejected"
        assert sorted(found[f"completeness[{search}]"].details["knocked out"]) == sorted(TRUE[:2])


def test_the_trained_knockout_finds_a_few_edges_of_many() -> None:
    """Circuit and network part without all of five edges, as far as twenty others are kept, which both need."""
    names = [str(e) for e in GRAPH.edges]
    needed = [GRAPH.place(edge(name)) for name in names[6:26]]
    problem = Synthetic(
        lambda keep: AROUND * any_of(*names[:6])(keep) * torch.stack([keep[place] for place in needed]).mean(),
        np.arange(40),
    )
    found = judged(problem, names[:5] + names[6:26], "completeness", n_random=4)
    trained, drawn = found["completeness[trained]"], found["completeness[random]"]
    assert trained.details["raw"] > 0.8 > drawn.details["raw"] and set(names[:5]) <= set(trained.details["knocked out"])


def test_an_edge_that_does_nothing_is_not_needed() -> None:
    idle = ["input->m0", "m0->m1"]
    random = dict.fromkeys((str(e) for e in GRAPH.edges if str(e) not in [*TRUE, *idle]), 0.01)
    found = judged(additive({**SHARES, **random}), [*TRUE, *idle], "minimality", n_random=60)
    assert found.verdict == "rejected" and list(found["minimality"].details["not needed"]) == idle
    table = found.frames["edges"].set_index("edge")
    assert list(table["verdict"][TRUE]) == ["needed"] * 3 and list(table["beaten"][idle]) == [0, 0]
    assert table["change"][TRUE[0]] == pytest.approx(-(-5 / (10 + 0.01 * len(random))), rel=1e-6)
    assert list(table["p_adjusted"]) == pytest.approx(list(adjust(table["p"], "holm")))
    assert idle[0] in found.sentence


def test_the_reference_of_an_edge_is_one_added_edge() -> None:
    """Each edge counts 1, those of the circuit a little more: more than any one, less than two edges of a path."""
    same = dict.fromkeys((str(e) for e in GRAPH.edges), 1.0)
    found = judged(additive({**same, **dict.fromkeys(TRUE, 1.2)}, noise=0.0), TRUE, "minimality", n_random=50)
    assert list(found.frames["edges"]["beaten"]) == [50, 50, 50] and found.verdict == "supported"
    spread = dict(zip((str(e) for e in GRAPH.edges), np.linspace(0.1, 1, 46), strict=True))
    table = judged(additive(spread), [*spread][::6], "minimality", n_random=50).frames["edges"]
    assert table["beaten"].nunique() > 4 and list(table["p_adjusted"]) == pytest.approx(
        list(adjust(table["p"], "holm"))
    )
    assert list(table["p_adjusted"]) != pytest.approx(list(adjust(table["p"], "bh")))


def test_edges_that_are_like_random_ones_are_left_open_or_refused_but_not_needed() -> None:
    same = dict.fromkeys((str(e) for e in GRAPH.edges), 1.0)
    found = judged(additive(same), TRUE, "minimality", n_random=40)
    assert found.verdict == "rejected" and "needed" not in set(found.frames["edges"]["verdict"])


def test_a_random_subset_is_neither_sufficient_nor_necessary() -> None:
    subset = ["input->m0", "m0->m1", "m1->logits"]
    found = judged(additive(SHARES), subset, "sufficiency", "necessity")
    assert {f.verdict for f in found.findings} == {"rejected"} and found.verdict == "rejected"
    true = judged(additive(SHARES), TRUE, "sufficiency", "necessity", n_random=100)
    assert {f.verdict for f in true.findings} == {"supported"}
    assert true["sufficiency"].p == pytest.approx(2.656e-5, rel=1e-3)  # 100 of 100 at q = .9


@pytest.mark.parametrize(
    ("n", "share", "p"),
    [
        (100, 0.50, 1),
        (100, 0.60, 0.543337),
        (100, 0.65, 0.17947),
        (100, 0.68, 0.0615039),
        (100, 0.70, 0.0247828),
        (100, 0.74, 0.00239566),
        (10, 1.0, 0.00615148),
    ],
)
def test_the_share_of_examples_above_the_network(n: int, share: float, p: float) -> None:
    above = torch.where(torch.arange(n) < round(n * share), 0.1, -0.1).double()
    out = GRAPH.place(edge("input->logits"))
    problem = Synthetic(lambda k: 10 * k[GRAPH.place(edge(TRUE[0]))] + above * (1 - k[out]), np.arange(n))
    found = judged(problem, TRUE[:1], "equivalence")
    row = found["non-equivalence[signs]"]
    assert row.value == round(n * share) / n
    assert row.p == pytest.approx(p, rel=1e-5)
    assert found["equivalence[mean]"].estimate.value == pytest.approx(above.mean().item())
    assert found["equivalence[mean]"].verdict == "supported"  # .1 is far below the margin of 2


def test_equivalence_is_only_accepted_on_evidence() -> None:
    n = 400
    above = torch.where(torch.arange(n) % 2 == 0, 0.1, -0.1).double()
    at, out = GRAPH.place(edge(TRUE[0])), GRAPH.place(edge("input->logits"))
    problem = Synthetic(lambda k: k[at] + above * (1 - k[out]), np.arange(n))
    assert judged(problem, TRUE[:1], "equivalence")["equivalence[signs]"].verdict == "supported"
    few = Synthetic(lambda k: k[at] + above[:20] * (1 - k[out]), np.arange(20))
    assert judged(few, TRUE[:1], "equivalence")["equivalence[signs]"].verdict == "inconclusive"


def test_what_is_left_must_not_tell_of_the_network() -> None:
    known = additive({**SHARES, "input->logits": 0.5})
    found = judged(known, TRUE, "independence")["independence"]
    assert found.verdict == "rejected" and found.p == pytest.approx(0.001) and found.value > 0
    nothing = judged(additive(SHARES), TRUE, "independence")["independence"]
    assert nothing.p == 1 and nothing.verdict == "inconclusive"


def test_a_divergence_from_the_network_has_no_signs() -> None:
    lost = Synthetic(lambda k: -AROUND * (10 - (k * weigh(SHARES)).sum()), np.arange(40), better="lower", floor=True)
    found = judged(lost, TRUE[:1], "independence", "equivalence")
    assert found["equivalence[mean]"].verdict == "rejected"  # 5 of 10, where the margin is 2
    for name in ("independence", "equivalence[signs]", "non-equivalence[signs]"):
        assert found[name].verdict == "uninformative" and found[name].p is None


def test_all_edges_or_none_have_nothing_to_be_compared_with() -> None:
    for edges in (GRAPH.edges, []):
        found = judged(additive(SHARES), edges, "sufficiency", "necessity", "minimality")
        assert {f.verdict for f in found.findings} == {"uninformative"}
    assert judged(additive(SHARES), [], "completeness").verdict == "uninformative"


def test_classes_of_positions_have_edges_of_their_own() -> None:
    graph = Graph(n_layers=2, n_heads=2, positions=("-1", "rest"))
    last, rest = Edge("m0", "a1.h0<v>", "-1"), Edge("m0", "a1.h0<v>", "rest")
    problem = Synthetic(
        lambda keep: AROUND * (3 * keep[graph.place(last)] + keep[graph.place(rest)]), np.arange(40), graph
    )
    found = judged(problem, [last], "faithfulness", "minimality", "completeness")
    assert found["faithfulness"].estimate.value == pytest.approx(0.75)
    assert list(found.frames["edges"]["edge"]) == ["m0->a1.h0<v> at -1"] and found["minimality"].verdict == "supported"


def test_repeated_bases_are_no_more_evidence() -> None:
    problem = additive({**SHARES, "input->logits": 0.5}, n=30)
    thrice = Synthetic(lambda k: problem.score(k).repeat_interleave(3), np.repeat(np.arange(30), 3))
    tests = ("equivalence", "independence", "faithfulness")
    once, often = (judged(p, TRUE, *tests, n_random=20).frame.set_index("test") for p in (problem, thrice))
    for test in ("equivalence[signs]", "non-equivalence[signs]", "independence", "equivalence[mean]", "faithfulness"):
        assert often["p"][test] == pytest.approx(once["p"][test]), test
        assert often["low"][test] == pytest.approx(once["low"][test], nan_ok=True), test


def test_adjusted_p_values_know_how_many_tests_there_are() -> None:
    frame = judged(additive({**SHARES, "input->logits": 0.5}), TRUE, n_random=30).frame
    claim = frame["test"].isin(["faithfulness", *(f"above random[{k}]" for k in ("walk", "uniform", "layer"))])
    rest = frame[~claim & frame["p"].notna()]
    assert len(rest) == 10 and list(rest["p_adjusted"]) == pytest.approx(list(adjust(rest["p"], "holm")))
    assert frame["p_adjusted"][0] == frame["p"][claim].max()


def test_the_same_for_any_batch_size_and_again() -> None:
    frames = [judged(either(), ["input->m0", "m0->m1"], n_random=20).frame]
    problem = either()
    problem.batch_size = 7
    frames.append(judged(problem, ["input->m0", "m0->m1"], n_random=20).frame)
    assert frames[0].equals(frames[1])
    other = judged(either(), ["input->m0", "m0->m1"], "faithfulness", n_random=20, seed=1).frames["random"]
    first = judged(either(), ["input->m0", "m0->m1"], "faithfulness", n_random=20).frames["random"]
    assert not other.equals(first)


def test_what_it_says_of_itself() -> None:
    found = judged(additive(SHARES), TRUE[:2], n_random=20)
    text = str(found)
    assert text == repr(found) and "2 of 46 edges do what the network does" in text and found.sentence in text
    for name in found.frame["test"]:
        assert f"  {name}: " in text
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["verdict"] == found.verdict and [t["name"] for t in plain["tests"]] == list(found.frame["test"])
    assert list(found.frame.columns) == ["test", "value", "low", "high", "n", "p", "p_adjusted", "verdict", "sentence"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"tests": "faith"}, "there is no test 'faith'"),
        ({"tests": ()}, "there are no tests"),
        ({"controls": ("walk", "luck")}, "no control 'luck'"),
        ({"n_random": 0}, "n_random is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"rule": 0.8}, "the rule is 0.8"),
    ],
)
def test_bad_input_is_refused(how: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        How(**how)


def test_more_bad_input() -> None:
    for bad in ({"low": 1.1}, {"gap": 0}, {"signs": 0.5}, {"beats": 1}):
        with pytest.raises(SpecError, match=next(iter(bad))):
            FaithfulWithin(**bad)
    with pytest.raises(DataError, match="share one base"):
        judged(Synthetic(lambda k: k.sum() * AROUND, np.zeros(40)), TRUE)
    with pytest.raises(SpecError, match="no circuit"):
        evaluate_circuit(None, TRUE, None)  # type: ignore[arg-type]
