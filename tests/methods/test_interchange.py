"""The interchange test on the handcrafted network: what it reports, refuses, and does not depend on."""

import numpy as np
import pandas as pd
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.data.bound import Bound
from causalmi.errors import DataError, SiteError, SpecError
from causalmi.methods.site_draw import SiteDraw
from causalmi.methods.swap import Swap
from causalmi.rng import stream
from causalmi.testbeds.brackets_data import draw, encode, equal_count, never_below
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


SWAPPED = {"left": HALVES["right"], "right": HALVES["left"]}


def test_the_wrong_alignment_is_at_chance() -> None:
    """With independent pairs, what is swapped and what should be agree by a coin toss: .5 in about 95 % of intervals."""
    results = [cm.interchange_test(equality(SWAPPED), seed=seed) for seed in range(8)]
    assert {r.verdict for r in results} == {"rejected"}
    found = [f.iia for r in results for f in r.findings]
    assert sum(e.low <= 0.5 <= e.high for e in found) >= 21  # of 24; fewer has a probability below 2 %


def test_half_a_right_alignment_is_above_chance_and_rejected() -> None:
    result = cm.interchange_test(equality(CROSSED), seed=0)
    assert result.verdict == "rejected"
    assert 0.5 < result.iia.value < 0.8


def test_untrained_networks_are_at_chance() -> None:
    claim = equality(HALVES, n=512)
    controls = [cm.interchange_test(claim, seed=s, controls=[cm.UntrainedModel()]).findings for s in range(6)]
    found = [f.control for findings in controls for f in findings]
    assert sum(e.low <= 0.5 <= e.high for e in found) >= 15  # of 18; fewer has a probability below 2 %


def test_rival_claims_are_judged_by_their_own_answers_on_the_same_pairs() -> None:
    claim = equality(HALVES)
    opposite = cm.CausalModel(
        {"wx": pair, "yz": pair},
        {
            "left": lambda wx: wx[0] != wx[1],
            "right": lambda yz: yz[0] == yz[1],
            "same": lambda left, right: left == right,
        },
        "same",
    )
    rival = cm.Hypothesis(
        claim="the opposite",
        task=cm.Task(opposite, encode=encoder(entities(ENTITIES, 2, seed=0)), label=lambda s: int(s["same"])),
        model="equality-handcrafted",
        alignment=HALVES,
        rule=cm.AtLeast(iia=0.0, above_control=0.0),
    )
    pairs = claim.task.pairs(256, vary=["left", "right"], seed=0)
    assert cm.interchange_test(claim, data=pairs).accuracy.value == 1.0
    assert cm.interchange_test(rival, data=pairs).accuracy.value == 0.0


def test_a_small_domain_that_is_seen_whole_is_no_sample() -> None:
    bits = cm.CausalModel(
        {"a": [0, 1], "b": [0, 1], "c": [0, 1]}, {"ab": lambda a, b: a ^ b, "out": lambda ab, c: ab ^ c}, "out"
    )
    net = cm.CausalModule(bits)
    task = cm.Task(bits, encode=net.encode, label=net.label)
    claim = cm.Hypothesis(claim="itself", task=task, model=net, alignment={"ab": site.module("ab")}, n=256)
    assert cm.interchange_test(claim, controls=[cm.ShuffledSources()]).verdict == "supported"


def test_accuracy_weighs_examples_as_they_are_drawn() -> None:
    """Right on the one common input and wrong on the many rare ones: accuracy is how often it is right."""
    rare = cm.CausalModel(
        {"x": lambda rng: 0 if rng.random() < 0.95 else int(rng.integers(1, 50))},
        {"zero": lambda x: x == 0, "out": lambda zero: zero},
        "out",
    )
    net = torch.nn.Sequential(torch.nn.Linear(1, 2))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.copy_(torch.tensor([0.0, 1.0]))  # always says 1
    task = cm.Task(rare, encode=lambda s: [float(s["x"])], label=lambda s: int(s["out"]))
    claim = cm.Hypothesis(claim="x", task=task, model=net, alignment={"zero": site.module("0")}, n=1000)
    assert cm.interchange_test(claim).accuracy.value == pytest.approx(0.95, abs=0.02)


def test_whole_sequences_of_unequal_lengths_are_refused() -> None:
    graph = cm.CausalModel(
        {"text": draw},
        {"equal": equal_count, "order": never_below, "out": lambda equal, order: equal and order},
        "out",
    )
    task = cm.Task(graph, encode=lambda s: encode(s["text"]), label=lambda s: int(s["out"]))
    for place in (site.attn_out(2), site.pattern(2, at=0)):
        claim = cm.Hypothesis(claim="whole", task=task, model="balanced-brackets", alignment={"equal": place}, n=200)
        with pytest.raises(SiteError, match="unequal lengths"):
            cm.interchange_test(claim)


def test_the_read_out_of_numbers_with_positions() -> None:
    """The answer is read where the task says, for inputs of numbers as for tokens."""
    graph = cm.CausalModel({"a": [0, 1], "b": [0, 1]}, {"c": lambda b: b, "out": lambda c, a: c + 0 * a}, "out")
    net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Linear(2, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.eye(2))
        net[1].bias.zero_()
    one_hot = {0: [1.0, 0.0], 1: [0.0, 1.0]}
    task = cm.Task(graph, encode=lambda s: [one_hot[s["a"]], one_hot[s["b"]]], label=lambda s: int(s["out"]))
    claim = cm.Hypothesis(claim="x", task=task, model=net, alignment={"c": site.module("0", at=1)}, n=200)
    result = cm.interchange_test(claim)
    assert result.accuracy.value == 1.0 and result.iia.value == 1.0


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
    from causalmi.methods.site_draw import SiteDraw
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
            (other,) = SiteDraw(swap, rng).alignment(("source",))["source"]
            assert other != place and other.kind == place.kind
            assert (other.head is None) == (place.head is None) and type(other.head) is type(place.head)
            assert (other.neurons is None) == (place.neurons is None)
            assert torch.is_tensor(model.run(pairs.base, read=[other])[other])


def test_each_pass_is_made_once() -> None:
    """Two variables, three sets of them: what is read is shared, and a set runs the sources of its own variables only."""
    model, rows = cm.load_model("equality-handcrafted"), []
    claim = equality(HALVES, n=100)
    cm.interchange_test(claim, model)  # sites by module path have proved themselves
    model.module.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    cm.interchange_test(claim, model, controls=[cm.ShuffledSources()], batch_size=100)
    assert rows == [100] * (1 + 2 + 3 * 2)  # bases, each variable's sources, an interchange and a shuffled one per set
    model.module._forward_pre_hooks.clear()
    fresh: list[int] = []
    untrained = model.untrained

    def counted(seed: int) -> cm.Model:
        made = untrained(seed)
        made.module.register_forward_pre_hook(lambda module, args: fresh.append(len(args[0])))
        return made

    model.untrained = counted  # type: ignore[method-assign]
    cm.interchange_test(claim, model, controls=[cm.UntrainedModel()], batch_size=100)
    assert [n for n in fresh if n == 100] == [100] * (2 + 2 + 3)  # per set, its sources and one interchange


def test_what_is_asked_is_checked_before_any_pass() -> None:
    passes: list[int] = []
    told = {"progress": lambda *step: passes.append(1)}
    h = equality(HALVES, n=30)
    for test in (cm.interchange_test, cm.observational_test, cm.local_consistency_test):
        with pytest.raises(SpecError, match=f"{test.__name__}: the hypothesis is a str; give a causalmi.Hypothesis"):
            test("x")  # type: ignore[arg-type]
        for seed in (-1, 1.5, True, None):
            with pytest.raises(DataError, match="seed is .*give a whole number from 0"):
                test(h, seed=seed, **told)  # type: ignore[arg-type]
        for n in (0, -5, 2.5, "50", "all", True):
            with pytest.raises(DataError, match="n is "):
                test(h, n=n, **told)  # type: ignore[arg-type]
    for controls in (["random site"], "random site", [cm.RandomSite(), 3], cm.RandomSite):
        with pytest.raises(SpecError, match="is no control; give values such as causalmi.ShuffledSources"):
            cm.interchange_test(h, controls=controls, **told)  # type: ignore[arg-type]
    assert passes == []


def test_one_control_and_numbers_of_numpy_will_do() -> None:
    h = equality(HALVES)
    one = cm.interchange_test(h, n=np.int64(40), seed=np.int32(3), controls=cm.ShuffledSources())  # type: ignore[arg-type]
    assert one.to_dict() == cm.interchange_test(h, n=40, seed=3, controls=[cm.ShuffledSources()]).to_dict()
    assert len(one.frame) == 40 and type(one.seed) is int
    assert len(cm.observational_test(h, n=np.int64(40)).frame) == 40  # type: ignore[arg-type]


def test_modules_alike_are_told_apart_by_examples_from_all_over() -> None:
    """The first are the same at both places, all of them."""
    low = cm.CausalModel(
        {"x": range(400)}, {"a": lambda x: x > 9, "b": lambda x: x > 199, "out": lambda a, b: a + 0 * b}, "out"
    )
    net = cm.CausalModule(low, outputs=range(2))
    base = cm.Inputs.of(torch.arange(400.0, dtype=torch.float64)[:, None])
    pairs = cm.CounterfactualPairs(tensors=Bound(base, {"a": base}, None, {}, {}), vary=("a",))
    swap = Swap(cm.load_model(net), pairs, {"a": (site.module("a"),)})
    assert "b" in SiteDraw(swap, stream(0, "x"))._modules_alike(site.module("a"))


def test_a_few_pairs_have_a_few_random_sites() -> None:
    found = cm.interchange_test(equality(HALVES), n=5, seed=0)
    assert found.findings[0].controls["random site"].n == 5
