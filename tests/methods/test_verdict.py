"""The verdict follows from the intervals, and its sentence names the numbers."""

import pytest

from causalmi.methods.verdict import judge, too_inaccurate
from causalmi.spec.hypothesis import AtLeast
from causalmi.stats.estimate import Estimate

RULE = AtLeast(iia=0.8, above_control=0.2)


def e(value: float, half: float = 0.02, n: int = 1000) -> Estimate:
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), n)


@pytest.mark.parametrize(
    ("iia", "control", "verdict"),
    [
        (e(0.95), e(0.50), "supported"),
        (e(0.60), e(0.50), "rejected"),
        (e(0.81), e(0.50), "inconclusive"),  # the interval straddles .80
        (e(0.95), e(0.90), "uninformative"),  # a control passes as well: the test could not have failed
        (e(0.82, 0.01), e(0.75), "rejected"),  # high, but hardly higher than a control
        (e(0.95), e(0.75), "inconclusive"),  # .20 above control, give or take
    ],
)
def test_the_rule_is_held_against_the_intervals(iia: Estimate, control: Estimate, verdict: str) -> None:
    got, sentence = judge(RULE, iia, e(0.9, n=500), {"random site": control, "shuffled sources": e(0.3)})
    assert got == verdict
    assert sentence.startswith(verdict)
    for part in (f"{iia.value:.2f}", "random site", f"{control.value:.2f}", "0.80", "0.20"):
        assert part in sentence


def test_a_test_that_could_not_tell_is_uninformative() -> None:
    few = e(1.0, n=9)
    assert judge(RULE, e(1.0), few, {"c": e(0.5)})[0] == "uninformative"
    assert judge(RULE, e(1.0), None, {"c": e(0.5)})[0] == "uninformative"
    assert judge(RULE, e(1.0), e(1.0), {"c": "not available: no weights"})[0] == "uninformative"
    lenient = AtLeast(iia=0.8, above_control=0.0)
    assert judge(lenient, e(0.95), e(0.95), {"c": e(0.96)})[0] == "uninformative"
    assert judge(lenient, e(0.95), e(0.95), {"c": e(0.50)})[0] == "supported"


def test_a_network_that_does_not_do_the_task_tests_nothing() -> None:
    assert too_inaccurate(RULE, e(0.9)) is None
    assert too_inaccurate(RULE, e(0.79)) is None  # it may be .80
    assert "0.50" in str(too_inaccurate(RULE, e(0.5)))
