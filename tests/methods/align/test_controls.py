"""Searches where nothing should be found: they are the same search, on what was changed, and say when there is none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import causalmi as cm
from causalmi import site
from causalmi.errors import ModelError, SpecError
from causalmi.methods.align.controls import relabel
from causalmi.methods.align.split import Parts
from causalmi.methods.align.where import wheres
from causalmi.methods.swap import Swap
from tests.ground_truth.planted import claim, network, turn

Q = turn(8, 0)
TRIED = cm.DAS(dims=1, steps=60, batch=64, check=20)


def aligned(method: object = TRIED, **how: object) -> object:
    return cm.align(claim(Q, "left"), network(Q), method=method, n=1024, seed=0, **how)  # type: ignore[arg-type]


def test_a_planted_direction_beats_every_control() -> None:
    found = aligned()
    (finding,) = found.test.findings  # type: ignore[attr-defined]
    assert found.verdict == "supported"  # type: ignore[attr-defined]
    controls = {name: x for name, x in finding.controls.items() if isinstance(x, cm.Estimate)}
    assert len(controls) == 4
    assert max(x.value for x in controls.values()) < 0.9 < found.iia.value  # type: ignore[attr-defined]


def test_what_never_saw_answers_has_no_control_of_permuted_ones() -> None:
    found = aligned(cm.DifferenceInMeans(), controls=[cm.ShuffledSources(), cm.PermutedSearch()])
    (finding,) = found.test.findings  # type: ignore[attr-defined]
    assert "learns nothing from answers" in str(finding.controls[cm.PermutedSearch.name])


def test_labels_are_permuted_within_the_choices_and_not_kept() -> None:
    hypothesis = claim(Q, "left")
    pairs = hypothesis.task.pairs(200, vary=["left"], seed=0)
    swap = Swap(cm.load_model(network(Q)), pairs, {"left": (site.module("h"),)})
    before = swap.expected(("left",)).clone()
    other = swap.within(swap.alignment)
    relabel(other, [("left",)], seed=0)
    assert torch.equal(swap.expected(("left",)), before)
    after = other.expected(("left",))
    assert sorted(after.tolist()) == sorted(before.tolist())
    assert 0.3 < (after == before).double().mean() < 0.7


def test_pairs_are_not_those_of_a_later_test_of_the_same_seed() -> None:
    found = aligned()
    later = claim(Q, "left").task.pairs(1024, vary=["left"], seed=0)
    rows = {tuple(x) for x in later.base.values.tolist()}
    inside = [tuple(x) in rows for x in found.test.subject.pairs.base.values.tolist()]  # type: ignore[attr-defined]
    assert not any(inside)


def test_labels_of_pairs_with_choices_are_drawn_among_each_rows_own() -> None:
    """A counterfactual answer stands in the same column in every row, so exchanging columns would change nothing."""
    hypothesis = claim(Q, "left")
    pairs = hypothesis.task.pairs(400, vary=["left"], seed=0)
    swap = Swap(cm.load_model(network(Q)), pairs, {"left": (site.module("h"),)})
    expected = swap.expected(("left",))
    columns = torch.stack([expected, 1 - expected, expected, 1 - expected], 1)  # as those of base and source come
    assert pairs.tensors is not None
    with_choices = replace(pairs, tensors=replace(pairs.tensors, choices=columns))
    other = Swap(swap.model, with_choices, swap.alignment)
    other.expect(("left",), expected)
    relabel(other, [("left",)], seed=0)
    after = other.expected(("left",))
    assert 0.4 < (after == expected).double().mean() < 0.6
    assert set(after.tolist()) == {0, 1}


def test_places_that_overlap_are_tried_one_after_the_other() -> None:
    h = site.module("h")
    found = aligned(TRIED, sites=[h, {"left": [h]}, site.module("h")[0:4]], controls=[cm.ShuffledSources()])
    assert len(found.frame) == 1  # type: ignore[attr-defined]  # all the same place
    assert found.verdict == "supported"  # type: ignore[attr-defined]


def test_places_that_print_alike_are_refused_rather_than_taken_for_one() -> None:
    first, second = (site.resid_post(0, at=lambda example, at=at: at) for at in (1, 2))
    hypothesis = replace(claim(Q, "left"), alignment={"left": [first, second]})
    with pytest.raises(SpecError, match="both print as"):
        wheres(hypothesis, cm.load_model(network(Q)), None)
    with pytest.raises(SpecError, match="both print as"):
        wheres(hypothesis, cm.load_model(network(Q)), [first, second])
    assert len(wheres(hypothesis, cm.load_model(network(Q)), [first, first])) == 1


@pytest.mark.parametrize("controls", ["none", [cm.ShuffledSources], 3])
def test_what_is_no_control_is_refused_at_once(controls: object) -> None:
    with pytest.raises(SpecError, match="is no control"):
        aligned(controls=controls)


def test_a_control_may_stand_alone() -> None:
    assert list(aligned(controls=cm.ShuffledSources()).test.weakest.controls) == ["shuffled sources"]  # type: ignore[attr-defined]


def test_few_bases_to_judge_on_are_warned_of() -> None:
    pairs = claim(Q, "left").task.pairs(30, vary=["left"], seed=0)
    with pytest.warns(cm.errors.CausalmiWarning, match="different bases"):
        Parts.of(pairs, seed=0)


class Fold:
    """Vectors turned by |x|, which a linear map cannot: a featurizer that is exact and not linear."""

    width = size = 8
    linear = False

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.abs(), x.sign() + (x == 0)

    def decode(self, features: Tensor, rest: Tensor) -> Tensor:
        return features * rest


def test_features_that_compute_are_reported_with_an_untrained_network_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = cm.DBM(featurizer=lambda values: Fold(), steps=20)  # type: ignore[arg-type, return-value]
    found = aligned(method, controls=[cm.ShuffledSources()])
    assert isinstance(found.test.weakest.controls[cm.UntrainedSearch.name], cm.Estimate)  # type: ignore[attr-defined]
    made = aligned(cm.DBM(featurizer=Fold(), steps=20), controls=[])  # type: ignore[arg-type]
    assert made.verdict == "uninformative" and "made beforehand" in made.sentence  # type: ignore[attr-defined]

    def refuse(self: cm.Model, seed: int) -> cm.Model:
        raise ModelError("its weights cannot be drawn")

    monkeypatch.setattr(cm.Model, "untrained", refuse)
    with pytest.raises(ModelError, match="weights cannot be drawn"):
        aligned(method, controls=[cm.ShuffledSources()])


def test_bases_are_recorded_once_for_learning_choosing_and_permuting(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[int]()
    record = cm.Model.record

    def counted(self: cm.Model, examples: object, **how: object) -> cm.Recording:
        seen.append(len(examples))  # type: ignore[arg-type]
        return record(self, examples, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(cm.Model, "record", counted)
    aligned(controls=[cm.PermutedSearch()])
    kept = np.sum(seen)
    assert kept <= 1024 + 400  # all once, and those of the test again for what is simpler
