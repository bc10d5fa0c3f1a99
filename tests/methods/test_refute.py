"""Do refuters pass a true claim, and catch what is wrong with a false one or with the test itself?"""

from typing import Any

import numpy as np
import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, SpecError
from causalmi.methods.refutation.judged import judged
from causalmi.methods.refutation.refuters import exchanged
from causalmi.methods.scrubbing.sensitivity import changed
from causalmi.methods.swap import Swap
from causalmi.results.refutation import RefutationResult
from causalmi.stats.estimate import Estimate
from tests.ground_truth.fixtures import dead_copy, identical, unmapped_cancel

ALL = (
    cm.ShuffledSources(),
    cm.PermutedLabels(n=99),
    cm.SelfDonor(),
    cm.EmptyHypothesis(),
    cm.EquivalentRelabelling(),
    cm.RandomSubspace(),
)


def made(result: RefutationResult) -> dict[str, bool | None]:
    return {a.refuter: a.passed for a in result.attempts}


def test_a_true_claim_survives_on_scrubbing() -> None:
    found = cm.scrub(identical.hypothesis, n=300, seed=1)
    assert found.verdict == "supported"
    refuted = cm.refute(found, ALL)
    assert refuted.survived
    assert made(refuted) == {
        "shuffled sources": True,
        "permuted labels": True,
        "self donor": True,
        "empty hypothesis": True,
        "equivalent relabelling": True,
        "random subspace": None,  # a mechanism's number has no directions
    }
    p = refuted.frame.set_index("refuter")["p"]
    assert p["permuted labels"] == 0.01 and np.isnan(p["self donor"])
    assert "survived the 5 attempts that could tell" in str(refuted)


def test_a_true_claim_survives_on_interchange() -> None:
    found = cm.interchange_test(identical.hypothesis, n=300, seed=1, controls=(cm.ShuffledSources(),))
    refuted = cm.refute(found, (cm.PermutedLabels(n=99), cm.SelfDonor(), cm.ShuffledSources(), cm.EmptyHypothesis()))
    assert refuted.survived
    by_finding = [(a.finding, a.passed) for a in refuted.attempts if a.refuter == "self donor"]
    assert by_finding == [("interchange[A]", True), ("interchange[B]", True), ("interchange[A+B]", True)]


def test_a_claim_that_does_no_better_than_chance_does_not_survive() -> None:
    found = cm.interchange_test(dead_copy.hypothesis, n=300, seed=1, controls=(cm.ShuffledSources(),))
    refuted = cm.refute(found, (cm.PermutedLabels(n=99), cm.ShuffledSources()))
    assert not refuted.survived
    assert made(refuted) == {"permuted labels": False, "shuffled sources": False}


def test_the_seed_gives_the_same_refutation() -> None:
    found = cm.scrub(unmapped_cancel.hypothesis, n=100, seed=3)
    one, two = (cm.refute(found, (cm.ShuffledSources(), cm.PermutedLabels(n=19))) for _ in range(2))
    assert one.to_dict() == two.to_dict()


def test_random_places_take_part_in_what_remains() -> None:
    net = cm.Transformer(
        cm.TransformerConfig(n_layers=2, n_heads=2, d_model=8, d_vocab=4, n_ctx=3, readout_position=-1)
    )
    model = cm.CausalModel({"a": range(4), "b": range(4)}, {"same": lambda a, b: int(a == b)}, "same")
    task = cm.Task(model, encode=lambda s: [s["a"], s["b"], 0], label=lambda s: s["same"])
    claim = cm.Hypothesis(claim="a is at position 0", task=task, model=net, alignment={"a": site.resid_pre(1, at=0)})
    found = cm.scrub(claim, n=64, controls=())
    refuted = cm.refute(found, [cm.RandomSite(n=20)])
    assert refuted.attempts[0].draws in (0, 20)


def test_what_cannot_be_refuted_is_refused() -> None:
    found = cm.scrub(identical.hypothesis, data=identical.low.enumerate()[["x0", "x1"]], n="all")
    with pytest.raises(SpecError, match="no refuter"):
        cm.refute(found, ["shuffled"])  # type: ignore[list-item]
    with pytest.raises(SpecError, match="cannot be refuted"):
        cm.refute("0.9", [cm.SelfDonor()])
    assert cm.refute(found, [cm.SelfDonor()]).attempts[0].passed is None


def layers(n: int) -> list[cm.Hypothesis]:
    """Claims that the sum is at each of several places, one of them right."""
    low = cm.CausalModel(
        {"x": range(10), "y": range(10)},
        {"p": lambda x: x, "q": lambda y: y, "s": lambda p, q: p + q, "out": lambda s, p, q: s},
        "out",
    )
    high = cm.CausalModel({"x": range(10), "y": range(10)}, {"s": lambda x, y: x + y, "out": lambda s: s}, "out")
    net = cm.CausalModule(low, outputs=range(-20, 40))
    task = cm.Task(high, encode=net.encode, label=lambda v: net.outputs.index(v["out"]))
    places = ["p", "q", "s"]
    return [
        cm.Hypothesis(claim=f"s is at {at}", name=at, task=task, model=net, alignment={"s": site.module(at)})
        for at in places[:n]
    ]


def halves() -> tuple[cm.Task, cm.CausalModule]:
    """Two places with the same number, of which one is read: what it is, and what is dead."""
    low = cm.CausalModel(
        {"x": range(4), "y": range(4), "z": range(4)},
        {
            "live": lambda x, y: (x + y) % 2,
            "dead": lambda x, y: (x + y) % 2,
            "out": lambda live, z, dead: (live + z) % 2,
        },
        "out",
    )
    high = cm.CausalModel(
        {"x": range(4), "y": range(4), "z": range(4)},
        {"s": lambda x, y: (x + y) % 2, "out": lambda s, z: (s + z) % 2},
        "out",
    )
    net = cm.CausalModule(low, outputs=range(2))
    return cm.Task(high, encode=net.encode, label=lambda v: v["out"]), net


def at(place: str) -> cm.Hypothesis:
    task, net = halves()
    return cm.Hypothesis(claim=place, name=place, task=task, model=net, alignment={"s": site.module(place)})


@pytest.mark.parametrize("seed", range(3))
def test_a_dead_place_is_no_better_than_exchanged_labels(seed: int) -> None:
    """It gives the right answer to the base, which is the expected one in half of the pairs."""
    pairs = at("dead").task.pairs(300, vary=["s"], seed=seed)
    dead, live = (cm.interchange_test(at(p), data=pairs, controls=()) for p in ("dead", "live"))
    assert cm.best_site([dead])["p"][0] == 1.0 and dead.estimate.value > 0.4
    assert cm.best_site([live])["p"][0] == 0.001
    assert cm.best_site([dead, live], draws=99)["p"].tolist() == [0.01, 1.0]
    refuter = cm.PermutedLabels(n=99)
    assert [cm.refute(r, [refuter]).attempts[0].p for r in (dead, live)] == [1.0, 0.01]


def test_labels_are_exchanged_among_rows_of_one_stratum() -> None:
    strata = np.array([3, 1, 3, 3, 1, 0, 3])
    found = np.stack([exchanged(strata, np.random.default_rng(i)) for i in range(400)])
    assert (strata[found] == strata).all() and (np.sort(found, axis=1) == np.arange(7)).all()
    assert [len(set(column)) for column in found.T.tolist()] == [4, 2, 4, 4, 2, 1, 4]
    assert np.bincount(found[:, 0], minlength=7)[[0, 2, 3, 6]].min() > 60  # each in a quarter of the draws


def test_drawn_pairs_are_kept_however_many_it_took() -> None:
    """Of several blocks, each with a seed of its own."""
    drawn = cm.interchange_test(at("dead"), n="until ±0.1", seed=3, controls=())
    assert len(drawn.frame) == len(drawn.subject.pairs) > 256
    assert drawn.subject.pairs.frame["base"].tolist() == drawn.frame["base"].tolist()
    again = drawn.subject.swap
    assert (again.hits(("s",), again.interchange(("s",))).numpy() == drawn.frame["agrees[s]"]).all()
    assert cm.best_site([drawn])["iia"][0] == drawn.estimate.value
    live = cm.interchange_test(at("live"), n="until ±0.05", seed=3, controls=())
    with pytest.raises(DataError, match="other pairs"):
        cm.best_site([drawn, live])
    attempt = cm.refute(live, [cm.PermutedLabels(n=99)]).attempts[0]
    assert attempt.observed == live.estimate.value == 1.0 and attempt.p == 0.01 and attempt.refuted.n == len(live.frame)


def test_the_joint_interchange_is_what_is_compared() -> None:
    low = cm.CausalModel(
        {"x": range(3), "y": range(3), "z": range(3)},
        {"a": lambda x: x, "b": lambda a, y: a + y, "out": lambda b, z: b + z},
        "out",
    )
    net = cm.CausalModule(low, outputs=range(12))
    task = cm.Task(low, encode=net.encode, label=net.label)
    places = {"a": site.module("a"), "b": site.module("b")}
    h = cm.Hypothesis(claim="x", name="both", task=task, model=net, alignment=places)
    pairs = task.pairs(100, vary=["a", "b"], seed=0)
    recursive = cm.interchange_test(h, data=pairs, recursive=True, controls=())
    assert recursive.findings[-1].name == "interchange[b(a)]"
    joint = cm.interchange_test(h, data=pairs, sets=[("b", "a"), ("a",)], controls=())
    assert cm.best_site([recursive, joint])["iia"].tolist() == [1.0, 1.0]
    with pytest.raises(DataError, match="the result of both has no joint interchange of a, b"):
        cm.best_site([joint, cm.interchange_test(h, data=pairs, sets=[("a",)], controls=())])


def test_what_has_no_number_is_said_of_that_result() -> None:
    task, net = halves()
    pairs = task.pairs(60, vary=["s"], seed=0)
    wrong = cm.Task(task.model, encode=net.encode, label=lambda v: 1 - v["out"])
    places = {"s": site.module("live")}
    stopped = cm.interchange_test(
        cm.Hypothesis(claim="x", name="stopped", task=wrong, model=net, alignment=places), data=pairs, controls=()
    )
    fine = cm.interchange_test(at("live"), data=pairs, controls=())
    with pytest.raises(DataError, match="the result of stopped has no number: uninformative: the network's own task"):
        cm.best_site([fine, stopped])
    for draws in (0, -1, 18, 99.0):
        with pytest.raises(DataError, match="draws is"):
            cm.best_site([fine], draws=draws)  # type: ignore[arg-type]


def test_every_draw_of_places_sees_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original = Swap.interchange

    def counted(self: Swap, subset: Any, *more: Any) -> Any:
        seen.append(len(self.pairs))
        return original(self, subset, *more)

    result = cm.interchange_test(at("live"), n=300, seed=0, controls=())
    monkeypatch.setattr(Swap, "interchange", counted)
    (attempt,) = cm.refute(result, cm.RandomSite(n=20)).attempts
    assert seen == [256] * 20 and attempt.draws == 20 and attempt.refuted.n == 20 * 256
    assert attempt.p == 1 / 21 and attempt.passed and "over only 20 draws" in str(attempt)


@pytest.mark.parametrize(
    ("reaching", "draws", "passed"),
    [(0, 19, True), (0, 18, None), (1, 20, None), (1, 38, None), (1, 39, True), (2, 20, False), (2, 59, True),
     (3, 59, False), (5, 5, False)],
)  # fmt: skip
def test_too_few_draws_are_no_failure(reaching: int, draws: int, passed: bool | None) -> None:
    numbers = [0.9] * reaching + [0.1] * (draws - reaching)
    low = Estimate(0.1, 0.0, 0.2, 9)
    attempt = judged("it", cm.RandomSite(n=draws), Estimate(0.9, 0.8, 1.0, 9), low, numbers)
    assert attempt.passed is passed and attempt.p == (1 + reaching) / (1 + draws)
    assert ("too few draws to tell; use RandomSite(n=99)" in str(attempt)) == (passed is None)


def test_checks_of_the_test_itself_are_no_survival() -> None:
    found = cm.interchange_test(at("live"), n=100, controls=())
    assert not cm.refute(found, [cm.SelfDonor()]).survived and cm.refute(found, [cm.SelfDonor()]).attempts[0].passed
    assert "undecided" in str(cm.refute(found, [cm.SelfDonor()])) and not cm.refute(found, []).survived
    assert not cm.refute(found, [cm.SelfDonor(), cm.RandomSite(n=5)]).survived
    assert cm.refute(found, [cm.SelfDonor(), cm.PermutedLabels(n=99)]).survived
    assert cm.EquivalentRelabelling.__doc__ is not None and "not the claim" in cm.EquivalentRelabelling.__doc__


def test_the_best_of_many_places_is_compared_with_the_best_by_chance() -> None:
    pairs = layers(1)[0].task.pairs(200, vary=["s"], seed=0)
    results = [cm.interchange_test(h, data=pairs, controls=(cm.ShuffledSources(),)) for h in layers(3)]
    table = cm.best_site(results, draws=199)
    assert table["hypothesis"].iloc[0] == "s" and table["p"][0] == 0.005
    assert (table["p"][1:] > 0.005).all()
    with pytest.raises(DataError, match="other pairs"):
        cm.best_site([results[0], cm.interchange_test(layers(1)[0], n=200, seed=5, controls=(cm.ShuffledSources(),))])


def test_a_changed_claim_is_a_new_one() -> None:
    one = changed(identical.hypothesis, unmapped=cm.Resample(share="exact"))
    assert one.unmapped.share == "exact" and identical.hypothesis.unmapped.share == "node"
