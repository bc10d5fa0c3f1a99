"""Is a planted illusion told from the direction that truly carries the variable?"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi import Estimate, site
from causalmi.errors import DataError, SpecError
from causalmi.methods.illusion.diagnose import diagnose_illusion
from causalmi.results.illusion import NULL, PARTS, ROW, WHOLE, IllusionFinding
from tests.methods.illusion.planted import WIDTH, Plain, block, claim, direction, hidden, task


def diagnosis(h: cm.Hypothesis, **more: object) -> IllusionFinding:
    [finding] = diagnose_illusion(h, **more).findings  # type: ignore[arg-type]
    return finding


@pytest.mark.parametrize("neurons", [(0,), (1, 2)])
def test_both_directions_reach_a_perfect_interchange(neurons: tuple[int, ...]) -> None:
    """That is the illusion: by interchange alone the planted direction is as good as the true one."""
    result = cm.interchange_test(hidden(*neurons), controls=[cm.ShuffledSources(), cm.RandomSubspace()])
    assert result.iia is not None and result.iia.value == 1.0 and result.verdict == "supported"


def test_the_planted_direction_is_flagged() -> None:
    found = diagnosis(hidden(1, 2))
    assert found.illusory and found.only_together
    assert found.null_share == pytest.approx(0.5) and found.separation == pytest.approx(1.0)
    assert found.activity == pytest.approx(0.0, abs=1e-20) and found.spread == pytest.approx(0.0, abs=1e-20)
    assert found.chance == pytest.approx(5 / 8) and found.leak == 0
    values = {part: found.changed[part].value for part in PARTS}  # type: ignore[union-attr]
    assert values == {WHOLE: 1.0, NULL: 0.0, ROW: 0.0}


def test_the_true_direction_is_cleared() -> None:
    found = diagnosis(hidden(0))
    assert found.illusory is False and found.null_share == pytest.approx(0.0)
    assert found.iia[NULL] is None and found.iia[ROW] == found.iia[WHOLE]
    assert found.activity == pytest.approx(1.0) and found.separation == pytest.approx(0.0)


def test_a_true_direction_with_a_part_that_nothing_reads_is_cleared() -> None:
    """Most subspaces that are learned have one; what is read of it does the same alone."""
    found = diagnosis(hidden(0, 1))
    assert found.null_share == pytest.approx(0.5) and found.separation is not None and found.separation > 0.9
    assert found.illusory is False and found.only_together is False
    assert found.activity == pytest.approx((1 / 2.5) ** 2)  # the bit is 1 apart there, and is moved by (1 + 4) / 2


def test_a_direction_that_nothing_reads_has_no_effect_to_explain() -> None:
    found = diagnosis(hidden(1))
    assert found.null_share == pytest.approx(1.0) and found.illusory is False and found.iia[ROW] is None
    assert found.activity is None


def test_a_subspace_that_holds_an_illusion_among_others_is_split_by_direction() -> None:
    both = torch.stack([direction(1, 2), direction(3)])
    result = diagnose_illusion(claim(site.mlp_hidden(0, at="last").along(both), block()))
    assert result.directions["null_share"].tolist() == pytest.approx([0.5, 0.0])
    assert result.directions["activity"].tolist() == pytest.approx([0.0, 1.0])
    assert result.findings[0].null_share == pytest.approx(0.25)


def test_chosen_neurons_are_split_within_themselves() -> None:
    place = site.mlp_hidden(0, at="last", neurons=[1, 2, 0])
    found = diagnosis(claim(place.along([1.0, 1.0, 0.0]), block()))
    assert found.illusory and found.chance == pytest.approx(1 / 3)


def turned() -> tuple[cm.Site, cm.Site, Plain]:
    """The planted and the true direction at a module whose neurons are mixed."""
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).normal(size=(WIDTH, WIDTH)))[0])
    place = site.module("turn")
    return place.along(turn @ direction(1, 2)), place.along(turn @ direction(0)), Plain(turn)


def test_declared_readers_serve_any_module() -> None:
    planted, _, net = turned()
    undeclared = diagnosis(claim(planted, net))
    assert undeclared.illusory is None and "declare all of its readers" in str(undeclared.reason)
    # Through one row for the answer alone, "constant" and "the bit" are read as one number, so that two are declared.
    rows = net.turn.weight @ torch.stack([direction(0), direction(2), direction(3)]).T
    for readers in ({"bit": rows}, {site.module("turn"): [rows[:, :1], rows[:, 1:]]}, {"bit": rows.detach().numpy()}):
        found = diagnosis(claim(planted, net), readers=readers)
        assert found.illusory and found.null_share == pytest.approx(0.5) and found.leak == 0


def test_declared_readers_clear_the_true_direction() -> None:
    _, true, net = turned()
    found = diagnosis(claim(true, net), readers={"bit": net.readout.weight.T})
    assert found.illusory is False


def test_readers_that_are_not_all_there_are_show_a_leak() -> None:
    planted, _, net = turned()
    found = diagnosis(claim(planted, net), readers={"bit": (net.turn.weight @ direction(3))[:, None]})
    assert found.leak is not None and found.leak > 0.3 and "other readers" in found.sentence


@pytest.mark.parametrize("place", [site.resid_post(0, at="last"), site.mlp_out(0, at="last")])
def test_the_stream_has_no_known_readers(place: cm.Site) -> None:
    result = diagnose_illusion(claim(place.along([0.0, 0.0, 0.0, 1.0, 0.0]), block()))
    assert result.findings[0].illusory is None and "not available" in str(result) and len(result.directions) == 0
    assert "cannot be told: bit" in result.sentence


def test_a_head_is_read_by_its_slice_of_the_output_projection() -> None:
    net = block()
    with torch.no_grad():  # the head hands on the bit in two numbers, the second of which nothing reads
        attention = net.blocks[0].attn
        attention.v.weight[0, 0], attention.v.weight[1, 0], attention.o.weight[3, 0] = 1.0, 1.0, 1.0
        net.blocks[0].mlp.down.weight[3, 0] = 0.0
    place = site.z(0, 0, at="last")
    found = diagnosis(claim(place.along([1.0, 1.0, 0.0, 0.0, 0.0]), net))
    assert found.null_share == pytest.approx(0.5) and found.illusory is False and found.activity == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("activity", "separation", "row", "expected"),
    [
        (0.09, 0.51, 0.5, True),
        (0.11, 0.51, 0.5, False),  # what is read moves by itself
        (0.09, 0.49, 0.5, False),  # what is read has most of the separation
        (0.09, 0.51, 0.85, False),  # what is read has the effect alone
        (None, 0.51, 0.5, None),
        (0.09, None, 0.5, None),
    ],
)
def test_all_three_signs_are_asked_for(
    activity: float | None, separation: float | None, row: float, expected: bool | None
) -> None:
    changed = {part: Estimate(x, x - 0.1, x + 0.1, 99) for part, x in ((WHOLE, 0.9), (NULL, 0.0), (ROW, row))}
    found = IllusionFinding(
        variable="v", places=("here",), activity=activity, separation=separation, changed=changed, iia=changed,
        null_share=0.5, chance=0.5,
    )  # fmt: skip
    assert found.illusory is expected


def test_what_is_no_subspace_is_said() -> None:
    assert "no subspace" in str(diagnosis(claim(site.mlp_hidden(0, at="last"), block())).reason)


def test_without_settings_the_values_are_not_known() -> None:
    pairs = replace(task().pairs(64, seed=0), drawn=None)
    found = diagnosis(hidden(1, 2), data=pairs)
    assert found.separation is None and found.illusory is None and found.activity == pytest.approx(0.0, abs=1e-20)


def test_the_result_can_be_kept() -> None:
    result = diagnose_illusion(hidden(1, 2), seed=3)
    told = json.loads(json.dumps(result.to_dict()))
    assert told["illusory"] == ["bit"] and told["n"] == 128 and "illusory" in str(result)
    assert result.frame.loc[0, "iia[whole]"] == 1.0 and result.illusory == ("bit",)


@pytest.mark.parametrize(
    ("readers", "said"),
    [
        ({"nobody": torch.ones(8, 1)}, "names nobody"),
        ({"bit": torch.ones(3, 1)}, "3 rows"),
        ({"bit": torch.full((8, 1), float("nan"))}, "finite"),
        ({"bit": torch.ones(8)}, "matrices"),
        ({"bit": "all"}, "matrices"),
    ],
)
def test_bad_readers_are_refused(readers: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        diagnose_illusion(hidden(0), readers=readers)


def test_a_number_of_pairs_is_asked_for() -> None:
    with pytest.raises(DataError, match="whole number"):
        diagnose_illusion(hidden(0), n="until ±0.02")  # type: ignore[arg-type]
