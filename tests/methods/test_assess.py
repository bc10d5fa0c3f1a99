"""Does one hypothesis object go through all tests, and does the table say what each of them found?"""

import json
from dataclasses import replace

import numpy as np
import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, SpecError
from causalmi.results.assessment import BLIND
from tests.ground_truth.fixtures import FIXTURES, dead_copy, identical, unmapped_cancel

ORDER = ["observational", "local", "interchange", "scrub"]


def test_a_true_claim_is_supported_by_all() -> None:
    found = cm.assess(identical.hypothesis, n=300, seed=0)
    assert list(found.results) == ORDER
    assert found.verdict == "supported"
    assert list(found.frame["verdict"]) == ["supported"] * 4
    assert list(found.frame["cannot see"]) == [BLIND[t] for t in ORDER]
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["verdict"] == "supported" and {"tests", "assessment", "sentence"} < set(plain)
    assert plain["results"] == {test: json.loads(json.dumps(r.to_dict())) for test, r in found.results.items()}
    assert plain["results"]["scrub"]["options"] and plain["results"]["interchange"]["accuracy"]["value"] == 1.0
    assert "not ordered" in str(found) and all(line in str(found) for line in BLIND.values())


def test_a_copy_that_nobody_reads_is_seen_by_the_stricter_tests_alone() -> None:
    found = cm.assess(dead_copy.hypothesis, n=300, seed=0)
    verdicts = found.frame.set_index("test")["verdict"]
    assert verdicts["observational"] == "supported"
    assert (verdicts[["local", "interchange", "scrub"]] == "rejected").all()
    assert found.verdict == "rejected"
    assert found.sentence.startswith("rejected: supported by observational; rejected by local, interchange, scrub")


def test_terms_that_cancel_are_seen_by_independent_draws_alone() -> None:
    together = cm.assess(unmapped_cancel.hypothesis, n=300, seed=0)
    assert together.verdict == "supported"
    apart = {f: getattr(unmapped_cancel.hypothesis, f) for f in unmapped_cancel.hypothesis.__dataclass_fields__}
    found = cm.assess(cm.Hypothesis(**{**apart, "unmapped": cm.Resample(share="term")}), n=300, seed=0)
    assert found.frame.set_index("test")["verdict"]["scrub"] == "rejected"


def test_a_test_that_cannot_be_had_is_listed_with_its_reason() -> None:
    fields = {f: getattr(identical.hypothesis, f) for f in identical.hypothesis.__dataclass_fields__}
    claim = cm.Hypothesis(**{**fields, "unmapped": cm.Resample(share="paired")})
    found = cm.assess(claim, n=200, tests=["interchange", "scrub"])
    assert list(found.results) == ["interchange", "scrub"]
    assert isinstance(found.results["scrub"], str) and "no pairs" in found.results["scrub"]
    assert found.verdict == "supported"  # by what could tell
    assert "not available by scrub" in found.sentence


def test_the_same_object_goes_through_unchanged() -> None:
    before = {h.name: str(vars(h.hypothesis)) for h in FIXTURES}
    cm.assess(FIXTURES[0].hypothesis, n=50, tests=["scrub"])
    assert {h.name: str(vars(h.hypothesis)) for h in FIXTURES} == before


def test_bad_input_is_refused_before_anything_runs() -> None:
    with pytest.raises(SpecError, match="no test 'scrubbing'"):
        cm.assess(identical.hypothesis, tests=["scrubbing"])
    with pytest.raises(SpecError, match="give a causalmi.Hypothesis"):
        cm.assess("a claim")  # type: ignore[arg-type]
    for wrong, said in (
        ({"n": -5}, "n is -5"), ({"n": "all"}, "n is 'all'"), ({"n": 1}, "scrub does not take"),
        ({"n": "until ±0.1"}, "scrub does not take"), ({"n": True}, "n is True"), ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=said):
            cm.assess(identical.hypothesis, progress=_fails, **wrong)


def _fails(stage: str, done: int, total: int) -> None:
    raise AssertionError(f"{stage} ran")


def test_mistakes_in_functions_of_the_claim_are_raised() -> None:
    broken = replace(identical.hypothesis, readouts={"A": lambda x: 1 / 0, "B": lambda x: x[:, 0]})
    with pytest.raises(DataError, match="the readout of A fails: ZeroDivisionError"):
        cm.assess(broken, n=50)
    task = cm.Task(identical.low, encode=identical.net.encode, label=lambda s: "seven")
    with pytest.raises(DataError, match="label gives 'seven'"):
        cm.assess(replace(identical.hypothesis, task=task), n=50, progress=_fails)


def test_what_cannot_be_learned_is_not_available() -> None:
    low = cm.CausalModel({"x": range(5000)}, {"y": lambda x: x, "out": lambda y: y % 2}, "out")
    net = cm.CausalModule(low, outputs=[0, 1])
    task = cm.Task(low, encode=net.encode, label=net.label)
    h = cm.Hypothesis(claim="y", task=task, model=net, alignment={"y": site.module("y")}, n=1500)
    found = cm.assess(h, tests=["observational", "interchange"])
    assert "give readouts=" in str(found.results["observational"])
    assert not isinstance(found.results["interchange"], str)


def test_the_name_of_one_test_will_do() -> None:
    found = cm.assess(identical.hypothesis, n=np.int64(60), tests="interchange")
    assert list(found.results) == ["interchange"]
    assert len(found.frames["interchange"]) == 60
    drawn = cm.assess(identical.hypothesis, n="until ±0.2", tests=("local", "interchange"))
    assert len(drawn.frames["local"]) == 256


def test_what_is_read_alone_supports_nothing() -> None:
    found = cm.assess(dead_copy.hypothesis, n=200, tests="observational")
    assert found.results["observational"].verdict == "supported"  # type: ignore[union-attr]
    assert found.verdict == "inconclusive" and "supports it, which none did" in found.sentence


def test_a_learned_readout_that_fails_does_not_reject() -> None:
    """Parity is in the number, and no linear readout of it can tell."""
    low = cm.CausalModel(
        {"x": range(8), "y": range(8)}, {"A": lambda x: x, "out": lambda A, y: A % 2 + 2 * (y % 2)}, "out"
    )
    net = cm.CausalModule(low, outputs=range(4))
    high = cm.CausalModel(
        {"x": range(8), "y": range(8)}, {"odd": lambda x: x % 2, "out": lambda odd, y: odd + 2 * (y % 2)}, "out"
    )
    task = cm.Task(high, encode=net.encode, label=lambda s: s["out"])
    h = cm.Hypothesis(claim="odd is in A", task=task, model=net, alignment={"odd": site.module("A")}, n=600)
    found = cm.assess(h, tests=["observational", "local", "interchange"])
    assert found.results["observational"].estimate.value < 0.8  # type: ignore[union-attr]
    assert found.verdict == "inconclusive" and "inconclusive by observational, local" in found.sentence
    told = replace(h, readouts={"odd": lambda x: x[:, 0].long() % 2})
    assert cm.assess(told, tests=["observational", "local", "interchange"]).verdict == "supported"


def test_an_ill_formed_claim_is_no_claim_to_assess() -> None:
    fields = {f: getattr(identical.hypothesis, f) for f in identical.hypothesis.__dataclass_fields__}
    nowhere = cm.Route(excluding=cm.site.module("B"))
    with pytest.raises(SpecError, match="excluding that changes nothing"):
        cm.assess(cm.Hypothesis(**{**fields, "routes": {("A", "out"): nowhere}}), n=100)
