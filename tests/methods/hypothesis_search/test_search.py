"""Is the true claim found among rivals, and is it said which rivals the data cannot tell apart?"""

import json
from typing import Any

import pytest

import causalmi as cm
from causalmi.errors import DataError, ModelError, SpecError
from causalmi.methods.hypothesis_search.search import search_hypotheses
from causalmi.results.hypothesis_search import HypothesisSearchResult
from causalmi.results.rival_pair import RivalPair
from tests.methods.hypothesis_search.rivals import (
    LAYER1,
    LAYER2,
    QUICK,
    first_entity,
    idle,
    negated,
    one_half,
    opposite,
    truth,
)

CONTROLS = [cm.ShuffledSources()]


def searched(*claims: cm.Hypothesis, **more: Any) -> HypothesisSearchResult:
    settings: dict[str, Any] = {"method": QUICK, "sites": [LAYER2], "n": 300, "controls": CONTROLS}
    return search_hypotheses(claims, **{**settings, **more})


@pytest.fixture(scope="module")
def result() -> HypothesisSearchResult:
    return searched(idle(), first_entity(), negated(), opposite(), truth(), sites=[LAYER1, LAYER2])


def between(result: HypothesisSearchResult, *names: str) -> RivalPair:
    [found] = [p for p in result.pairs if {p.first, p.second} == set(names)]
    return found


def test_the_true_claim_is_first(result: HypothesisSearchResult) -> None:
    """With the one that nothing can tell from it; both were given after the false ones."""
    assert [r.name for r in result.ranked][:2] == ["opposite", "truth"]
    assert result.best.iia is not None and result.best.iia.value == 1.0 and result.best.verdict == "supported"
    assert all(str(s).startswith("module('layer2').along") for s in result.best.hypothesis.sites("left"))
    assert set(result.best.hypothesis.variables) == {"left", "right"}


def test_what_cannot_be_told_apart_is_said(result: HypothesisSearchResult) -> None:
    pair = between(result, "opposite", "truth")
    assert pair.separating == 0 and pair.p is None and pair.better is None
    assert "cannot be told apart" in pair.sentence and result.not_beaten == ("truth",)
    assert "not shown to be better than truth" in result.sentence and "1 was left out" in result.sentence


def test_a_rival_that_is_right_on_every_input_is_told_apart_by_interchange(result: HypothesisSearchResult) -> None:
    pair = between(result, "first entity", "truth")
    assert pair.natural == 0.0 and pair.differ > 0.3 and pair.separating == round(pair.differ * pair.n)
    assert pair.better == "truth" and pair.p_adjusted is not None and pair.p_adjusted < 1e-6
    assert pair.second_right == 1.0 and pair.first_right is not None and pair.first_right < 0.7


def test_a_claim_of_no_effect_wins_nothing(result: HypothesisSearchResult) -> None:
    """Doing nothing agrees with it on every pair, so its agreement alone would put it first."""
    found = next(r for r in result.ranked if r.name == "idle")
    assert found.changed == 0 and found.balanced <= 0.5 and found.verdict == "uninformative"
    assert result.ranked[2].name in ("idle", "first entity")


def test_a_claim_that_the_network_does_not_answer_by_is_last(result: HypothesisSearchResult) -> None:
    last = result.ranked[-1]
    assert last.name == "negated" and last.found is None and "nothing to align" in str(last.reason)
    assert last.hypothesis.name == "negated" and last.verdict == "uninformative"
    pair = between(result, "negated", "truth")
    assert pair.natural == 1.0 and pair.p is None and "not tested" in pair.sentence


def test_every_place_is_searched_whatever_its_whole_interchange_gives(result: HypothesisSearchResult) -> None:
    """Whole places swap both variables at once, and give chance where the answer is found."""
    rows = result.frame[result.frame["hypothesis"] == "truth"]
    assert len(rows) == 2 and len(result.frame) == 10
    [chosen] = rows[rows["chosen"]].to_dict("records")
    assert "layer2" in chosen["place"] and chosen["iia"] == 1.0 and chosen["whole"] < 0.7


def test_the_share_of_separating_pairs_is_that_of_the_causal_models() -> None:
    """Each pair asked of both models by hand, one setting at a time."""
    claims = [truth(), first_entity()]
    result, differing = searched(*claims, n=200), 0
    assert result.best.found is not None
    test, pair = result.best.found.test.frame, result.pairs[0]
    for _, row in test.iterrows():
        base, *sources = (
            {name: row[f"{prefix}.{name}"] for name in ("wx", "yz")}
            for prefix in ("base", "source.left", "source.right")
        )
        given = dict(zip(("left", "right"), sources, strict=True))
        sets = (["left"], ["right"], ["left", "right"])
        answers = [
            [h.task.model.interchange(base, {v: given[v] for v in chosen})["same"] for chosen in sets] for h in claims
        ]
        differing += answers[0] != answers[1]
    assert pair.n == len(test) and pair.separating == differing and 0 < differing < len(test)


def test_claims_of_other_variables_correspond_by_name_then_in_order() -> None:
    result = searched(one_half(), truth(), n=200)
    pair = result.pairs[0]
    assert pair.sets == ("half / left",)  # which says of left's sources what the truth says of right's
    assert {r.name for r in result.ranked} == {"one half", "truth"}
    named = searched(truth(), opposite(), n=200)
    assert named.pairs[0].sets == ("left / left", "right / right", "left+right / left+right")


def test_all_claims_are_judged_on_the_same_pairs(result: HypothesisSearchResult) -> None:
    tables = [
        r.found.test.frame[["base.wx", "base.yz", "source.left.wx"]] for r in result.ranked if r.found is not None
    ]
    assert len(tables) == 4 and all(tables[0].equals(table) for table in tables[1:])


def test_the_seed_alone_decides() -> None:
    first, second = (searched(truth(), first_entity(), n=200, batch_size=size) for size in (None, 64))
    assert first.ranking.drop(columns="reason").equals(second.ranking.drop(columns="reason"))
    assert [p.p for p in first.pairs] == [p.p for p in second.pairs]


def test_simultaneous_intervals_are_wider(result: HypothesisSearchResult) -> None:
    best = result.best
    assert best.iia is not None and best.found is not None and best.found.iia is not None
    assert best.iia.low < best.found.iia.low and best.iia.value == best.found.iia.value


def test_the_result_can_be_kept(result: HypothesisSearchResult) -> None:
    told = json.loads(json.dumps(result.to_dict()))
    assert told["ranked"][0]["hypothesis"] == "opposite" and len(told["rivals"]) == 10
    assert len(result.rivals) == 10 and result.ranking["rank"].tolist() == [1, 2, 3, 4, 5]
    assert "5 hypotheses by DAS" in str(result)


def test_sites_may_be_given_by_claim() -> None:
    stages: list[str] = []
    result = searched(truth(), sites={"truth": [LAYER2]}, n=200, progress=lambda stage, *_: stages.append(stage))
    assert stages[0] == "truth: training"
    assert result.frame["place"].tolist() == ["left and right at module('layer2')"]
    assert result.pairs == () and "first of 1" in result.sentence
    with pytest.raises(SpecError, match="no places for truth"):
        searched(truth(), sites={"another": [LAYER2]})


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(SpecError, match="no hypothesis"):
        searched()
    with pytest.raises(SpecError, match=r"no causalmi\.Hypothesis"):
        searched(truth(), "left")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="what the network does"):
        searched(negated(), n=100)
    other = cm.CausalModel({"a": [0, 1]}, {"b": lambda a: a, "c": lambda b: b}, "c")
    stranger = cm.Hypothesis(
        claim="x",
        task=cm.Task(other, encode=lambda s: [float(s["a"])] * 8, label=lambda s: s["c"]),
        alignment={"b": LAYER1},
    )
    with pytest.raises(DataError, match="the same"):
        searched(truth(), stranger)
    with pytest.raises(DataError, match="sources for left"):
        searched(truth(), data=truth().task.pairs(100, vary=["left"], seed=0), n=None)
    tokens = cm.CounterfactualPairs.from_tokens([[1, 2]], [[1, 3]])
    with pytest.raises(DataError, match="no settings"):
        searched(truth(), data=tokens, n=None)
