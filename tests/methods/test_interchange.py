"""The interchange test on the handcrafted network: what it reports, refuses, and does not depend on."""

import numpy as np
import pandas as pd
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, SiteError
from causalmi.testbeds.equality_data import ENTITIES, encoder, entities, pair

DIGITS = range(10)


def digits(**mechanisms) -> cm.CausalModel:
    return cm.CausalModel({"x0": DIGITS, "x1": DIGITS, "x2": DIGITS}, mechanisms, output="out")


def equality(alignment: dict, model: object = "equality-handcrafted", n: int = 1024, **rule: float) -> cm.Hypothesis:
    graph = cm.CausalModel(
        {"wx": pair, "yz": pair},
        {
            "left": lambda wx: wx[0] == wx[1],
            "right": lambda yz: yz[0] == yz[1],
            "same": lambda left, right: left == right,
        },
        "same",
    )
    encode = encoder(entities(ENTITIES, 2, seed=0))
    task = cm.Task(graph, encode=encode, label=lambda s: int(s["same"]))
    return cm.Hypothesis(claim="halves", task=task, model=model, alignment=alignment, n=n, rule=cm.AtLeast(**rule))


HALVES = {"left": site.module("layer1")[0:4], "right": site.module("layer1")[4:8]}
CROSSED = {"left": site.module("layer1", neurons=[0, 1, 4, 5]), "right": site.module("layer1", neurons=[2, 3, 6, 7])}


def test_the_handcrafted_network_is_exactly_as_claimed() -> None:
    result = cm.interchange_test(equality(HALVES), seed=0)
    assert [f.iia.value for f in result.findings] == [1.0, 1.0, 1.0]
    assert [f.name for f in result.findings] == ["interchange[left]", "interchange[right]", "interchange[left+right]"]
    assert result.verdict == "supported" and result.accuracy.value == 1.0
    assert all(f.control.high < 0.75 for f in result.findings)


def test_wrong_alignments_are_rejected() -> None:
    swapped = {"left": HALVES["right"], "right": HALVES["left"]}
    for alignment in (CROSSED, swapped):
        result = cm.interchange_test(equality(alignment), seed=0)
        assert result.verdict == "rejected"
        assert result.iia.value < 0.8


def test_untrained_networks_are_at_chance() -> None:
    model = cm.load_model("equality-handcrafted")
    values = [cm.interchange_test(equality(HALVES, n=512, iia=0.0), model.untrained(s), seed=s) for s in range(8)]
    joint = [v.findings[-1].iia for v in values]
    assert np.mean([e.value for e in joint]) == pytest.approx(0.5, abs=0.06)


def test_a_network_that_fails_the_task_is_not_tested() -> None:
    broken = cm.load_model("equality-handcrafted").untrained(0)
    result = cm.interchange_test(equality(HALVES, iia=0.9), broken)
    assert result.verdict == "uninformative" and result.iia is None
    assert "task accuracy" in result.sentence
    assert not any(c.startswith("agrees") for c in result.frame)


def test_the_result_says_the_same_for_any_batch_size_and_differs_by_seed() -> None:
    claim = equality(CROSSED, n=200)
    one, two, other = (cm.interchange_test(claim, seed=s, batch_size=b) for s, b in ((0, 7), (0, 200), (1, 7)))
    assert one.to_dict() == two.to_dict()
    pd.testing.assert_frame_equal(one.frame, two.frame)
    assert one.to_dict() != other.to_dict()


def test_the_frame_explains_every_number() -> None:
    claim = equality(CROSSED, n=300)
    result = cm.interchange_test(claim, seed=0)
    assert len(result.frame) == 300
    for finding in result.findings:
        label = "+".join(finding.variables)
        assert result.frame[f"agrees[{label}]"].mean() == pytest.approx(finding.iia.value)
        changed, unchanged = finding.changed, finding.unchanged
        assert changed.n + unchanged.n == 300
        assert changed.value * changed.n + unchanged.value * unchanged.n == pytest.approx(300 * finding.iia.value)


def test_pairs_that_were_drawn_before_and_split() -> None:
    claim = equality(HALVES)
    pairs = claim.task.pairs(400, vary=["right", "left"], seed=3)
    search, held_out = pairs.split(0.5, seed=0)
    assert cm.interchange_test(claim, data=held_out).iia.value == 1.0
    assert not set(search.base.key()) & set(held_out.base.key())
    with pytest.raises(DataError, match="no sources for right"):
        cm.interchange_test(claim, data=claim.task.pairs(10, vary=["left"], seed=0))


def test_filtered_pairs_are_those_the_network_gets_right() -> None:
    claim = equality(HALVES, n=400)
    poor = cm.load_model("equality-handcrafted").untrained(1)
    kept, dropped = cm.filter_pairs(poor, claim.task.pairs(400, vary=["left", "right"], seed=0))
    assert len(kept) + dropped == 400 and 0 < dropped < 400
    assert cm.interchange_test(claim, poor, data=kept).accuracy.value == 1.0


def test_several_sites_for_one_variable() -> None:
    split = {"left": [site.module("layer1")[0:2], site.module("layer1")[2:4]], "right": HALVES["right"]}
    whole, parts = (cm.interchange_test(equality(a, n=200), seed=0) for a in (HALVES, split))
    assert [f.iia for f in whole.findings] == [f.iia for f in parts.findings]


def test_nothing_runs_when_something_does_not_fit() -> None:
    passes: list[int] = []
    model = cm.load_model("equality-handcrafted")
    cm.interchange_test(equality(HALVES, n=20), model)
    model.module.register_forward_pre_hook(lambda *_: passes.append(1))
    for alignment, kind in (
        ({"left": site.module("layer1")[0:9]}, SiteError),
        ({"left": site.module("layer1", at=0)}, SiteError),
        ({"left": site.resid_post(0)}, SiteError),
    ):
        with pytest.raises(kind):
            cm.interchange_test(equality(alignment), model)
    assert passes == []


def test_controls_that_cannot_be_had_say_why() -> None:
    low = digits(A=lambda x0: x0, out=lambda A, x1, x2: A + x1 + 0 * x2)
    net = cm.CausalModule(low)
    task = cm.Task(low, encode=net.encode, label=net.label)
    claim = cm.Hypothesis(claim="itself", task=task, model=net, alignment={"A": site.module("A")}, n=100)
    result = cm.interchange_test(claim)
    assert "no weights" in str(result.findings[0].controls["untrained network"])
    assert result.iia.value == 1.0 and result.verdict == "supported"


def test_random_sites_are_of_the_same_type_and_size() -> None:
    from causalmi.methods.controls import _other
    from causalmi.methods.swap import Swap
    from causalmi.rng import stream
    from tests.networks import draw_tokens, gpt2

    model = cm.load_model(gpt2())
    pairs = cm.CounterfactualPairs.from_tokens(draw_tokens(4, 0), draw_tokens(4, 1), answer=0)
    rng = stream(0, "x")
    for place in (
        site.resid_post(1, at=2),
        site.z(1, 2, at="last"),
        site.q(0, [0, 1]),
        site.mlp_hidden(2, neurons=[1, 5]),
    ):
        swap = Swap(model, pairs, {"source": (place,)})
        for _ in range(10):
            (other,) = _other(swap, ("source",), rng)["source"]
            assert other != place and other.kind == place.kind
            assert (other.head is None) == (place.head is None) and type(other.head) is type(place.head)
            assert (other.neurons is None) == (place.neurons is None)
            assert torch.is_tensor(model.run(pairs.base, read=[other])[other])
