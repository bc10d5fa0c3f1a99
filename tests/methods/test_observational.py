"""The observational test: what is read where, beside single examples; what it reports and refuses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, SiteError
from causalmi.methods.observational import observational_test
from causalmi.stats.sequential import betting_interval
from tests.ground_truth.fixtures import identical
from tests.methods.digit_claims import NETWORKS, PLACES, alone, answer, claim, read, rows
from tests.methods.test_interchange import HALVES, equality


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_what_single_examples_give(name: str) -> None:
    model, h = cm.load_model(NETWORKS[name]()), claim("s", "t", "u")
    pairs = h.task.pairs(20, vary=["s", "t", "u"], seed=1)
    result = observational_test(h, model, data=pairs)
    hits: dict[str, list[bool]] = {node: [] for node in ("s", "t", "u", "out")}
    for base, _ in rows(pairs):
        run = alone(model, base, read=PLACES.values())
        for v, place in PLACES.items():
            hits[v].append(int(read(run[place].flatten()[None])[0]) == base[v])
        hits["out"].append(answer(model, run.logits) == base["out"])
    assert {f.node: result.frame[f"agrees[{f.node}]"].tolist() for f in result.findings} == hits
    for f in result.findings:
        assert f.agreement.value == pytest.approx(np.mean(hits[f.node])) and f.agreement.n == 20
        top = result.frame[f"claimed[{f.node}]"].value_counts().iloc[0] / 20
        assert f.controls["majority value"].value == pytest.approx(top)


def test_what_is_in_the_network_is_read_by_what_was_learned() -> None:
    result = observational_test(equality(HALVES), seed=0)
    assert [(f.name, f.readout) for f in result.findings] == [
        ("observational[left]", "learned"),
        ("observational[right]", "learned"),
        ("observational[same]", "answer"),
    ]
    assert result.verdict == "supported" and result.test == "observational"
    assert all(f.agreement.value > 0.97 for f in result.findings)
    assert result.findings[0].agreement.n < 1024 == result.findings[2].agreement.n  # some examples trained readouts
    assert all(0.4 < f.controls["majority value"].value < 0.6 for f in result.findings)
    assert result.frame["agrees[left]"].notna().sum() == result.findings[0].agreement.n


def test_a_place_that_does_not_hold_it_is_rejected_by_a_readout_that_is_given() -> None:
    """A learned one may fail where the claim does not."""
    result = observational_test(equality({"left": HALVES["right"]}), seed=0)
    assert result.verdict == "inconclusive" and result.weakest.node == "left"
    assert "the readout learned for left, not necessarily the claim, may fail; give readouts=" in result.sentence
    assert result.estimate.value == pytest.approx(0.5, abs=0.06)
    given = replace(equality({"left": HALVES["right"]}), readouts={"left": lambda x: (x.sum(1) < 1e-9).tolist()})
    assert observational_test(given, seed=0).verdict == "rejected"


def test_the_untrained_network_learns_readouts_of_its_own() -> None:
    """A readout that is given is made for the network; what is legible in any other says how much that is worth."""
    graph = cm.CausalModel({"a": range(6), "b": range(6)}, {"c": lambda a: a % 2, "out": lambda c, b: c + 0 * b}, "out")
    task = cm.Task(graph, encode=lambda s: [s["a"], s["b"]], label=lambda s: s["out"])
    model = cm.load_model(NETWORKS["gpt2"]())
    learned = cm.Hypothesis(claim="x", task=task, alignment={"c": site.resid_pre(0, at=0)}, n=200)
    given = replace(learned, readouts={"c": lambda x: [7] * len(x)})
    one, two = (observational_test(h, model).findings[0].controls["untrained network"] for h in (learned, given))
    assert one == two and one.value > 0.9


def test_what_any_network_shows_supports_nothing() -> None:
    """The inputs themselves are legible in every random network."""
    model = cm.load_model(NETWORKS["gpt2"]())
    h = claim("s", given=False).task
    graph = cm.CausalModel(
        {"a": range(10), "b": range(10)}, {"c": lambda a: a % 2, "out": lambda c, b: c + 0 * b}, "out"
    )
    task = cm.Task(graph, encode=lambda s: [s["a"], s["b"]], label=lambda s: s["out"])
    places = {"c": site.resid_pre(0, at=0)}
    result = observational_test(cm.Hypothesis(claim="x", task=task, alignment=places, n=400), model)
    legible = result.findings[0]
    assert legible.controls["untrained network"].value > 0.9 and legible.verdict != "supported"
    assert h is not task


def test_base_rates_support_nothing() -> None:
    graph = cm.CausalModel({"x": range(100)}, {"rare": lambda x: x == 7, "out": lambda rare: rare}, "out")
    net = cm.CausalModule(graph)
    h = cm.Hypothesis(
        claim="x",
        task=cm.Task(graph, encode=net.encode, label=net.label),
        model=net,
        alignment={"rare": site.module("rare")},
        readouts={"rare": lambda x: [False] * len(x)},
    )
    result = observational_test(h)
    assert result.weakest.verdict == "uninformative" and "majority value" in result.sentence
    assert result.findings[0].agreement.value > 0.95


def test_values_that_were_never_seen_are_said() -> None:
    graph = cm.CausalModel(
        {"x": lambda rng: int(rng.integers(10**6))}, {"y": lambda x: x, "out": lambda y: y % 2}, "out"
    )
    net = cm.CausalModule(graph, outputs=[0, 1])
    task = cm.Task(graph, encode=net.encode, label=net.label)
    h = cm.Hypothesis(claim="x", task=task, model=net, alignment={"y": site.module("y")}, n=100)
    found = observational_test(h).findings[0]
    assert found.unseen == found.agreement.n and found.verdict == "uninformative"
    assert f"({found.unseen} have a value that a readout never saw, and cannot give)" in found.sentence
    assert "give readouts=" in found.sentence


@pytest.mark.parametrize("given", [True, False])
def test_batches_do_not_matter_and_the_seed_does(given: bool) -> None:
    model, h = cm.load_model(NETWORKS["llama"]()), claim("s", "u", given=given)
    one, two, other = (observational_test(h, model, n=32, seed=s, batch_size=b) for s, b in ((0, 11), (0, 32), (1, 11)))
    assert one.to_dict() == two.to_dict()
    pd.testing.assert_frame_equal(one.frame, two.frame)
    assert one.to_dict() != other.to_dict()


def test_it_reads_the_bases_of_the_interchange_test() -> None:
    h = equality(HALVES, n=50)
    a, b = observational_test(h, seed=4).frame, cm.interchange_test(h, seed=4, controls=[]).frame
    assert a["base"].tolist() == b["base"].tolist()


def test_several_sites_are_read_side_by_side() -> None:
    parts = {"left": [HALVES["left"][0:2], site.module("layer1")[2:4]], "right": HALVES["right"]}
    parts["left"][0] = site.module("layer1")[0:2]
    whole, split = (observational_test(equality(a, n=200)) for a in (HALVES, parts))
    assert [f.agreement for f in whole.findings] == [f.agreement for f in split.findings]


def test_the_output_may_have_a_place_and_is_still_the_answer() -> None:
    result = observational_test(equality({"left": HALVES["left"], "same": site.module("layer3")}, n=100))
    assert [(f.node, f.readout) for f in result.findings] == [("left", "learned"), ("same", "answer")]


def test_drawing_until_it_is_known() -> None:
    result = observational_test(equality(HALVES), n="until ±0.05", seed=1)
    for f in result.findings:
        agrees = result.frame[f"agrees[{f.node}]"].dropna().astype(float)
        assert f.agreement == betting_interval(agrees.to_numpy())
        assert (f.agreement.high - f.agreement.low) / 2 <= 0.05
    assert "pairs were drawn until every interval was ±0.05" in result.sentence
    assert len(result.frame) >= 1024 and len(result.frame) % 256 == 0  # readouts learn from the hypothesis's n


def test_the_result_in_words_and_in_plain_values() -> None:
    result = observational_test(identical.hypothesis, n=100)
    assert "observational[A]: agreement 1.00" in str(result)
    assert "untrained network: not available: CausalModule has no weights" in str(result)
    plain = result.to_dict()
    assert [t["name"] for t in plain["tests"]] == [f.name for f in result.findings]
    assert {"value", "low", "high", "n", "control", "verdict", "sentence"} <= set(plain["tests"][0])
    assert result.control == result.weakest.controls["majority value"]


def test_stages_are_told() -> None:
    told: list[tuple[str, int, int]] = []
    observational_test(identical.hypothesis, n=20, progress=lambda *step: told.append(step))
    assert told == [("the network", 0, 2), ("untrained network", 1, 2), ("done", 2, 2)]


def test_what_cannot_be_run_is_refused() -> None:
    h = equality({"left": site.module("layer1")[0:9]}, n=20)
    with pytest.raises(SiteError):
        observational_test(h)
    with pytest.raises(DataError, match="data is a list"):
        observational_test(equality(HALVES), data=[1])
    with pytest.raises(DataError, match="none of the network's 2 outputs"):
        observational_test(
            cm.Hypothesis(
                claim="x",
                task=cm.Task(identical.low, encode=identical.net.encode, label=lambda s: int(s["out"])),
                model=torch.nn.Sequential(torch.nn.Linear(2, 2)).double(),
                alignment={"A": site.module("0")},
                n=20,
            )
        )
