"""Is the distribution over networks that of the single alignments, and is it said which networks do not count?"""

import json

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi.errors import DataError, SpecError
from causalmi.methods.align.align import align
from causalmi.methods.align.das import DAS
from causalmi.methods.align.each import align_each
from causalmi.results.alignments import AlignmentsResult
from causalmi.testbeds.equality import handcrafted, stack
from tests.methods.hypothesis_search.rivals import LAYER2, truth
from tests.networks import seeded

QUICK = DAS(dims=1, steps=20, batch=64, check=10)


def noisy(seed: int) -> torch.nn.Module:
    """The handcrafted network whose second layer mixes the equalities, by an angle of its own for each seed."""
    net, angle = handcrafted(), torch.tensor(0.3 * seed, dtype=torch.float64)
    turn = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
    with torch.no_grad():
        net.layer3[0].weight.copy_(net.layer3[0].weight @ turn.T)
        net.layer2 = torch.nn.Sequential(net.layer2, torch.nn.Linear(2, 2, bias=False).double())
        net.layer2[1].weight.copy_(turn)
    return net


STAGES: list[str] = []


@pytest.fixture(scope="module")
def result() -> AlignmentsResult:
    wrong = seeded(lambda: stack((8, 8, 2, 2, 2)))
    networks = [noisy(0), wrong.double(), noisy(1)]
    return align_each(
        truth(), (net for net in networks), method=QUICK, sites=[LAYER2], n=300, controls=[cm.ShuffledSources()],
        progress=lambda stage, done, total: STAGES.append(stage),
    )  # fmt: skip


def test_each_network_has_the_alignment_that_it_has_alone(result: AlignmentsResult) -> None:
    alone = align(truth(), noisy(1), method=QUICK, sites=[LAYER2], n=300, controls=[cm.ShuffledSources()])
    assert alone.to_dict() == result.aligned[1].to_dict()
    assert result.iia == (result.aligned[0].iia.value, alone.iia.value)  # type: ignore[union-attr]


def test_a_network_without_the_place_is_left_out() -> None:
    small = stack((8, 8, 2, 2)).double()
    found = align_each(
        truth(), [handcrafted(), small], method=QUICK, sites=[cm.site.module("layer3")], n=200, controls=[]
    )
    assert list(found.left_out) == [1] and "layer3" in found.left_out[1]


def test_progress_tells_which_network_it_is_of(result: AlignmentsResult) -> None:
    assert {stage.split(":")[0] for stage in STAGES} == {"network 0", "network 2"}


def test_a_network_that_does_not_do_the_task_is_left_out(result: AlignmentsResult) -> None:
    assert list(result.left_out) == [1] and "nothing to align" in result.left_out[1]
    assert len(result.frame) == 3 and result.frame["iia"].isna().tolist() == [False, True, False]
    assert "1 of 3 networks were left out" in result.sentence and result.frame.loc[1, "left_out"]


def test_the_distribution_is_that_of_the_numbers(result: AlignmentsResult) -> None:
    assert result.median == pytest.approx(np.mean(result.iia)) and result.iia[0] == 1.0
    assert result.quartiles == pytest.approx(tuple(np.quantile(result.iia, [0.25, 0.75])))
    assert result.best.validation.value == max(r.validation.value for r in result.aligned)


def test_the_result_can_be_kept(result: AlignmentsResult) -> None:
    told = json.loads(json.dumps(result.to_dict()))
    assert told["median"] == result.median and [n["left_out"] is None for n in told["networks"]] == [True, False, True]
    assert "median IIA" in str(result)


def test_nothing_is_made_of_nothing() -> None:
    wrong = seeded(lambda: stack((8, 8, 2, 2, 2))).double()
    none = align_each(truth(), [wrong], method=QUICK, n=100)
    assert none.iia == () and none.to_dict()["median"] is None and "no alignment" in str(none)
    for asked in ("median", "quartiles", "best"):
        with pytest.raises(DataError, match="left out"):
            getattr(none, asked)
    with pytest.raises(SpecError, match="empty"):
        align_each(truth(), [])
    with pytest.raises(SpecError, match="one network"):
        align_each(truth(), "equality-handcrafted")
