"""Sets of variables, and variables read while others are interchanged, beside a loop over single examples."""

from itertools import combinations

import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, SiteError, SpecError
from causalmi.methods.local import local_consistency_test
from causalmi.methods.subsets import Nested, chosen, nested
from causalmi.results import InterchangeResult
from tests.data.small_tokenizers import words
from tests.ground_truth.fixtures import identical
from tests.methods.digit_claims import NETWORKS, PLACES, alone, answer, claim, graph, rows


def found(result: InterchangeResult, name: str) -> list[bool]:
    return result.frame[f"agrees[{name}]"].tolist()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_set_is_what_single_examples_give(name: str) -> None:
    model, h = cm.load_model(NETWORKS[name]()), claim("s", "t", "u")
    pairs = h.task.pairs(8, vary=["s", "t", "u"], seed=1)
    result = cm.interchange_test(h, model, data=pairs, sets="all", controls=[])
    sets = [s for k in (1, 2, 3) for s in combinations("stu", k)]
    assert [f.variables for f in result.findings] == sets
    for subset in sets:
        hits = []
        for base, sources in rows(pairs):
            edits = {PLACES[v]: alone(model, sources[v], read=[PLACES[v]])[PLACES[v]] for v in subset}
            right = graph().interchange(base, {v: sources[v] for v in subset})["out"]
            hits.append(answer(model, alone(model, base, edits).logits) == right)
        assert found(result, "+".join(subset)) == hits


@pytest.mark.parametrize("name", NETWORKS)
def test_nested_interchange_is_what_single_examples_give(name: str) -> None:
    model, h = cm.load_model(NETWORKS[name]()), claim("s", "t", "u")
    pairs = h.task.pairs(24, vary=["s", "t", "u"], seed=2)
    result = cm.interchange_test(h, model, data=pairs, recursive=True, controls=[])
    assert [f.name for f in result.findings][-1] == "interchange[t(s)]"  # s alone is above another mapped variable
    hits, plain = [], []
    for base, sources in rows(pairs):
        s = alone(model, sources["s"], read=[PLACES["s"]])[PLACES["s"]]
        t = alone(model, sources["t"], {PLACES["s"]: s}, read=[PLACES["t"]])[PLACES["t"]]
        inner = graph().interchange(sources["t"], {"s": sources["s"]})
        given = answer(model, alone(model, base, {PLACES["t"]: t}).logits)
        hits.append(given == graph().interchange(base, {"t": inner})["out"])
        plain.append(given == graph().interchange(base, {"t": sources["t"]})["out"])
    assert found(result, "t(s)") == hits
    assert hits != plain  # the inner interchange matters here


def test_controls_of_a_nested_interchange() -> None:
    model, h = cm.load_model(NETWORKS["gpt2"]()), claim("s", "t")
    few = [cm.ShuffledSources(), cm.RandomSite(n=3), cm.UntrainedModel()]
    runs = (cm.interchange_test(h, model, n=24, recursive=True, controls=few, batch_size=b) for b in (None, 7))
    one, two = runs
    assert one.to_dict() == two.to_dict()
    controls = one.findings[-1].controls
    assert set(controls) == {"shuffled sources", "random site", "untrained network"}
    assert not [reason for reason in controls.values() if isinstance(reason, str)]


def test_a_true_chain_is_recursively_right() -> None:
    """out = A + x2 with A = B + x1: setting B in A's source, and then A, is what the causal model says."""
    low = cm.CausalModel(
        dict.fromkeys(("x0", "x1", "x2"), range(4)),
        {"B": lambda x0: 3 * x0, "A": lambda B, x1: B + x1, "out": lambda A, x2: A + x2},
        "out",
    )
    net = cm.CausalModule(low, outputs=range(30))
    task = cm.Task(low, encode=net.encode, label=net.label)
    places = {"A": site.module("A"), "B": site.module("B")}
    h = cm.Hypothesis(claim="itself", task=task, model=net, alignment=places)
    result = cm.interchange_test(h, n=200, recursive=True, sets=[("A",)], controls=[cm.ShuffledSources()])
    assert [(f.name, f.iia.value) for f in result.findings] == [("interchange[A]", 1.0), ("interchange[A(B)]", 1.0)]
    assert result.verdict == "supported"
    assert result.findings[1].control.value < 0.5
    backwards = cm.Hypothesis(claim="no", task=task, model=net, alignment={"A": places["B"], "B": places["A"]})
    assert cm.interchange_test(backwards, n=200, recursive=True).findings[-1].iia.value < 0.5


def test_sets_of_variables() -> None:
    assert chosen(("a",)) == [("a",)]
    assert chosen(("a", "b", "c")) == [("a",), ("b",), ("c",), ("a", "b", "c")]
    assert len(chosen(tuple("abcdef"), "all")) == 63
    assert chosen(("a", "b"), [["b", "a"], ("a",)]) == [("b", "a"), ("a",)]
    assert nested(graph(), ("s", "t", "u")) == [(Nested("t", "s"),)]
    for wrong in ("some", [], [()], [("a", "a")], [("z",)], ["ab"], 3):
        with pytest.raises(SpecError, match="sets is .*, it must be"):
            chosen(("a", "b"), wrong)
    with pytest.raises(SpecError, match="127 sets of 7 variables"):
        chosen(tuple("abcdefg"), "all")


def test_raw_pairs_know_no_other_sets() -> None:
    h = claim("s", "t")
    pairs = cm.CounterfactualPairs.from_tokens([[1, 2, 3, 4, 5]], [[2, 2, 3, 4, 5]], answer=1, expected=2)
    with pytest.raises(DataError, match="no sources for s, t"):
        cm.interchange_test(h, NETWORKS["gpt2"](), data=pairs)


def test_nested_sequences_of_unequal_lengths_are_refused() -> None:
    """The sources of u and v must match as the base does."""
    task = cm.Task(
        cm.CausalModel(
            {"x": range(1, 9)}, {"u": lambda x: x % 2, "v": lambda u, x: u + x % 3, "out": lambda v: v}, "out"
        ),
        encode=lambda s: [s["x"]] * (3 + (s["x"] > 4)),
        label=lambda s: s["out"],
    )
    places = {"u": site.resid_post(0), "v": site.resid_post(1, at="last")}
    h = cm.Hypothesis(claim="x", task=task, alignment=places, rule=cm.AtLeast(iia=0, above_control=0))
    with pytest.raises(SiteError, match="unequal lengths"):
        cm.interchange_test(h, NETWORKS["gpt2"](), n=40, recursive=True)


def test_drawing_until_it_is_known() -> None:
    result = cm.interchange_test(identical.hypothesis, n="until ±0.05", seed=3, controls=[cm.ShuffledSources()])
    again = cm.interchange_test(identical.hypothesis, n="until +-0.05", seed=3, controls=[cm.ShuffledSources()])
    assert result.to_dict() == again.to_dict()
    n = len(result.frame)
    assert n % 256 == 0 and f"{n} pairs were drawn until every interval was ±0.05" in result.sentence
    for f in result.findings:
        assert f.iia.n == n and f.iia.value == 1.0 and (f.iia.high - f.iia.low) / 2 <= 0.05
        assert f.control.n == n and f.changed.n + f.unchanged.n == n
    assert result.verdict == "supported"


def test_drawing_ends_at_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causalmi.methods.blocks.MOST", 512)
    result = cm.interchange_test(identical.hypothesis, n="until ±.001", controls=[])
    assert len(result.frame) == 512
    assert "drawing ended at the cap of 512 pairs, before every interval was ±0.001" in result.sentence


def test_a_network_that_fails_the_task_stops_at_once() -> None:
    h = cm.Hypothesis(claim="x", task=claim("s").task, alignment={"s": PLACES["s"]})  # the default rule
    result = cm.interchange_test(h, NETWORKS["gpt2"](), n="until ±0.05")
    assert result.verdict == "uninformative" and result.estimate is None and len(result.frame) == 256


@pytest.mark.parametrize("n", ["until", "until ±0", "until ±0.7", "until 0.02", "many", "until ±2"])
def test_what_cannot_be_waited_for_is_refused(n: str) -> None:
    with pytest.raises(DataError, match="give a whole number, or 'until ±0.02'"):
        cm.interchange_test(identical.hypothesis, n=n)


def test_given_pairs_cannot_be_added_to() -> None:
    with pytest.raises(DataError, match="cannot be added to"):
        cm.interchange_test(identical.hypothesis, n="until ±0.02", data=identical.factorial())


def test_results_offer_one_surface() -> None:
    result = cm.interchange_test(identical.hypothesis, n=50, controls=[cm.ShuffledSources()])
    assert (result.test, result.estimate, result.control) == ("interchange", result.iia, result.weakest.control)
    assert result.to_dict()["accuracy"]["value"] == 1.0
    assert "  task accuracy 1.00" in str(result) and "interchange[A+B]: IIA 1.00" in repr(result)


def test_prompts_with_candidate_answers() -> None:
    """Labels of every set and of nested sources go through the task's template and its choices."""
    chain = cm.CausalModel(
        {"a": range(5), "b": range(5), "c": range(5)},
        {"s": lambda a, b: a + b, "t": lambda s, c: s + c, "parity": lambda t: t % 2},
        "parity",
    )
    task = cm.Task(chain, prompt="{a}+{b}+{c}=", answer="{parity}", choices=["0", "1"])
    net = cm.Transformer(
        cm.TransformerConfig(n_layers=2, n_heads=2, d_model=8, d_head=4, d_vocab=len(words()), n_ctx=8, act_fn="gelu")
    )
    model = cm.load_model(net, tokenizer=words())
    places = {"s": site.resid_post(0, at="b"), "t": site.resid_post(1, at="last")}
    h = cm.Hypothesis(claim="x", task=task, alignment=places, rule=cm.AtLeast(iia=0, above_control=0))
    result = cm.interchange_test(h, model, n=60, recursive=True, controls=[])
    pairs = task.pairs(60, vary=["s", "t"], seed=0).bind(model.tokenizer)
    ids = [words().convert_tokens_to_ids(x) for x in "01"]
    expected = [
        ids[chain.interchange(base, {"t": chain.interchange(sources["t"], {"s": sources["s"]})})["parity"]]
        for base, sources in rows(pairs)
    ]
    hits = [a == b for a, b in zip(result.frame["answer[t(s)]"], expected, strict=True)]
    assert found(result, "t(s)") == hits
    read = local_consistency_test(h, model, n=60)
    assert set(read.frame["read[parity, interchange]"]) <= set(ids)
    assert set(read.frame["claimed[parity, interchange]"]) == set(ids)
