"""Local consistency: each node given what is read before it, beside single examples in a loop."""

from typing import Any

import pandas as pd
import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import SiteError, SpecError
from causalmi.methods.consistency import nearest
from causalmi.methods.local import local_consistency_test
from tests.ground_truth.fixtures import identical
from tests.methods.digit_claims import NETWORKS, PLACES, alone, answer, claim, graph, read, rows
from tests.methods.test_interchange import HALVES, SWAPPED, equality
from tests.networks import reference

ABOVE = {"s": (), "t": ("s",), "u": (), "out": ("s", "t", "u")}  # out names s too


def oracle(model: cm.Model, base: dict[str, Any], sources: dict[str, Any], node: str, interchanged: bool) -> bool:
    """One example: set the ancestors' places, read, and ask the causal model."""
    above, edits = ABOVE[node], {}
    if interchanged:
        edits = {PLACES[p]: alone(model, sources[p], read=[PLACES[p]])[PLACES[p]] for p in above}
    run = alone(model, base, edits, read=PLACES.values())
    values = {v: int(read(run[place].flatten()[None])[0]) for v, place in PLACES.items()}
    inputs = {name: base[name] for name in "abcde"}
    claimed = graph().intervene(inputs, {p: values[p] for p in above})[node]
    return (answer(model, run.logits) if node == "out" else values[node]) == claimed


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_what_single_examples_give(name: str) -> None:
    model, h = cm.load_model(NETWORKS[name]()), claim("s", "t", "u")
    pairs = h.task.pairs(12, vary=["s", "t", "u"], seed=1)
    result = local_consistency_test(h, model, data=pairs)
    assert [(f.node, f.states) for f in result.findings] == [
        ("s", "natural"), ("t", "natural"), ("t", "interchange"), ("u", "natural"),
        ("out", "natural"), ("out", "interchange"),
    ]  # fmt: skip
    for f in result.findings:
        hits = [oracle(model, base, sources, f.node, f.states == "interchange") for base, sources in rows(pairs)]
        assert result.frame[f"agrees[{f.node}, {f.states}]"].tolist() == hits
    assert any(
        result.frame[f"read[{v}, natural]"].ne(result.frame[f"read[{v}, interchange]"]).any() for v in ("t", "out")
    )


def test_nearest_mapped_ancestors() -> None:
    chain = cm.CausalModel(
        {"x": range(3), "y": range(3)},
        {"a": lambda x: x, "b": lambda a: a, "c": lambda b, y: b + y, "out": lambda c, a: c + a},
        "out",
    )
    assert nearest(chain, "out", ("a", "c")) == ("a", "c")
    assert nearest(chain, "out", ("b",)) == ("b",)
    assert nearest(chain, "c", ("a", "x", "y")) == ("a", "y")
    assert nearest(chain, "c", ("a", "b")) == ("b",)
    assert nearest(chain, "a", ("b", "c")) == ()


def test_unmapped_variables_between_are_computed() -> None:
    """out = 2 (A + 1): the step from A to out passes a variable that has no place."""
    low = cm.CausalModel(
        {"x": range(5)}, {"A": lambda x: x + 1, "between": lambda A: A + 1, "out": lambda between: 2 * between}, "out"
    )
    net = cm.CausalModule(low, outputs=range(20))
    task = cm.Task(low, encode=net.encode, label=net.label)
    places = {"A": site.module("A")}
    h = cm.Hypothesis(claim="x", task=task, model=net, alignment=places, readouts={"A": lambda x: x[:, 0]}, n=200)
    result = local_consistency_test(h)
    assert [f.agreement.value for f in result.findings] == [1.0, 1.0, 1.0] and result.verdict == "supported"
    off = cm.Hypothesis(claim="x", task=task, model=net, alignment=places, readouts={"A": lambda x: x[:, 0] - 1}, n=200)
    assert [f.agreement.value for f in local_consistency_test(off).findings] == [0.0, 0.0, 0.0]


def test_values_that_the_causal_model_does_not_admit_are_misses() -> None:
    low = cm.CausalModel({"x": range(4)}, {"A": lambda x: x, "out": lambda A: A}, "out", domains={"A": range(4)})
    net = cm.CausalModule(low, outputs=range(4))
    task = cm.Task(low, encode=net.encode, label=net.label)
    readout = {"A": lambda x: [v if v < 3 else 99 for v in x[:, 0].tolist()]}
    h = cm.Hypothesis(claim="x", task=task, model=net, alignment={"A": site.module("A")}, readouts=readout, n=400)
    result = local_consistency_test(h)
    for f in result.findings:
        hits = result.frame[f"agrees[{f.node}, {f.states}]"]
        wrong = (result.frame["source.A.x"] if f.states == "interchange" else result.frame["base.x"]) == 3
        assert hits.tolist() == (~wrong).tolist()


def test_the_handcrafted_network_is_locally_consistent() -> None:
    result = local_consistency_test(equality(HALVES), seed=0)
    assert result.verdict == "supported" and result.test == "local"
    assert {f.readout for f in result.findings} == {"learned", "answer"}
    interchanged = result.findings[-1]
    assert interchanged.agreement.value > 0.95
    assert interchanged.agreement.n < result.findings[-2].agreement.n < 1024  # sources may have trained as well
    assert interchanged.controls["value without the interchange"].value == pytest.approx(0.5, abs=0.1)
    swapped = local_consistency_test(equality(SWAPPED), seed=0)
    assert swapped.estimate.value < 0.6 and swapped.verdict == "inconclusive"  # what was learned does not reject
    assert "the readout learned for left, not necessarily the claim, may fail; give readouts=" in swapped.sentence


def test_values_that_an_ancestors_readout_never_saw_count() -> None:
    """both = 10 x + y as one number: exactly right, and nothing that a linear readout of few examples can tell."""
    low = cm.CausalModel(
        {"x": range(8), "y": range(8)},
        {"both": lambda x, y: 10 * x + y, "out": lambda both: both // 10 + both % 10},
        "out",
    )
    net = cm.CausalModule(low, outputs=range(40))
    task = cm.Task(low, encode=net.encode, label=net.label)
    places = {"both": site.module("both")}
    result = local_consistency_test(cm.Hypothesis(claim="x", task=task, model=net, alignment=places, n=600))
    assert [(f.node, f.verdict) for f in result.findings] == [("both", "uninformative")] + [
        ("out", "uninformative")
    ] * 2
    columns = {"natural": "base", "interchange": "source.both"}
    for f in result.findings[1:]:  # the output is never new: what is, is the value at its parent
        assert f.readout == "answer" and 0 < f.unseen <= f.agreement.n
        judged = result.frame[result.frame[f"agrees[out, {f.states}]"].notna()]
        seen = {10 * x + y for x, y in _trained(result.frame, judged)}
        own = judged[[f"{columns[f.states]}.x", f"{columns[f.states]}.y"]].itertuples(index=False)
        assert f.unseen >= sum(10 * x + y not in seen for x, y in own)
    given = cm.Hypothesis(
        claim="x", task=task, model=net, alignment=places, readouts={"both": lambda x: x[:, 0].long()}, n=600
    )
    assert local_consistency_test(given).verdict == "supported"


def _trained(frame: pd.DataFrame, judged: pd.DataFrame) -> set[tuple[int, int]]:
    """Settings that may have trained a readout: the bases that are not judged, and all sources."""
    rest = frame.drop(judged.index)
    sources = frame[["source.both.x", "source.both.y"]].itertuples(index=False, name=None)
    return {*rest[["base.x", "base.y"]].itertuples(index=False, name=None), *sources}


def test_learned_readouts_are_judged_on_examples_that_trained_none() -> None:
    """In a small domain: no judged row has a base or a source that any readout saw."""
    from causalmi.methods.consistency import comparisons
    from causalmi.methods.reader import Reader

    h, model = claim("s", "t", given=False), cm.load_model(NETWORKS["reference"]())
    pairs = h.task.pairs(120, vary=["s", "t"], seed=0)
    reader = Reader.of(h, model, pairs, seed=0, batch_size=None)
    for (node, kind), found in comparisons(reader, pairs, ("natural", "interchange")):
        sources = [pairs.sources[p] for p in ({"t": ["s"], "out": ["s", "t"]}[node] if kind == "interchange" else ())]
        keys = zip(*(x.key() for x in (pairs.base, *sources)), strict=True)
        assert found.judged.tolist() == [not set(row) & reader.trained for row in keys]


@pytest.mark.parametrize("given", [True, False])
def test_batches_do_not_matter_and_the_seed_does(given: bool) -> None:
    model, h = cm.load_model(NETWORKS["gpt2"]()), claim("s", "t", given=given)
    runs = ((0, 11), (0, 32), (1, 11))
    one, two, other = (local_consistency_test(h, model, n=32, seed=s, batch_size=b) for s, b in runs)
    assert one.to_dict() == two.to_dict()
    pd.testing.assert_frame_equal(one.frame, two.frame)
    assert one.to_dict() != other.to_dict()


def test_drawing_until_it_is_known() -> None:
    result = local_consistency_test(identical.hypothesis, n="until +-0.04", seed=2)
    assert all((f.agreement.high - f.agreement.low) / 2 <= 0.04 for f in result.findings)
    assert {f.agreement.n for f in result.findings} == {len(result.frame)}
    assert result.to_dict() == local_consistency_test(identical.hypothesis, n="until +-0.04", seed=2).to_dict()


def test_nothing_runs_when_something_does_not_fit() -> None:
    h = claim("s", "t")
    with pytest.raises(SpecError, match="states is 'other'"):
        local_consistency_test(h, NETWORKS["gpt2"](), states="other")
    with pytest.raises(SpecError, match="states is"):
        local_consistency_test(h, NETWORKS["gpt2"](), states=())
    model, passes = cm.load_model("equality-handcrafted"), []
    local_consistency_test(equality(HALVES, n=20), model)  # sites by module path have proved themselves
    model.module.register_forward_pre_hook(lambda *_: passes.append(1))
    for place in (site.module("layer1")[0:9], site.resid_post(0)):
        with pytest.raises(SiteError):
            local_consistency_test(equality({"left": place}), model)
    assert passes == []


def test_a_heads_output_is_set_and_read_in_one_layer() -> None:
    net = reference(readout_position=-1, d_vocab_out=10)
    model = cm.CausalModel(
        {"a": range(10), "b": range(10)}, {"s": lambda a, b: (a + b) % 10, "out": lambda s: s}, "out"
    )
    task = cm.Task(model, encode=lambda v: [v["a"], v["b"], 0], label=lambda v: v["out"])
    places = {"s": site.head_out(1, (0, 1), at=-1)}
    claim = cm.Hypothesis(claim="s", task=task, model=net, alignment=places, rule=cm.AtLeast(iia=0.01))
    found = cm.local_consistency_test(claim, n=200)
    assert {f.node for f in found.findings} == {"s", "out"}
