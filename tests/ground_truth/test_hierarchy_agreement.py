"""Six networks whose answers are known: observation, local consistency and interchange each see what they must."""

from math import sqrt

import pytest

import causalmi as cm
from causalmi.methods.local import local_consistency_test
from causalmi.methods.observational import observational_test
from tests.ground_truth.fixtures import CHANCE, Fixture, dead_copy, every_fixture, intermediates_cancel

N = 2000
CONTROLS = [cm.ShuffledSources()]


def is_share(value: float, known: float, n: int = N) -> bool:
    """What is certain comes out exactly; a chance within four standard errors."""
    return value == known if known in (0, 1) else abs(value - known) < 4 * sqrt(known * (1 - known) / n)


@every_fixture
def test_observation_by_enumeration(known: Fixture) -> None:
    found = observational_test(known.hypothesis, data=known.factorial()).findings
    assert {f.node: f.agreement.value for f in found} == pytest.approx(known.observed, abs=1e-12)
    assert [f.readout for f in found] == ["given"] * (len(found) - 1) + ["answer"]


@every_fixture
def test_local_consistency_of_the_output_in_natural_states_by_enumeration(known: Fixture) -> None:
    found = local_consistency_test(known.hypothesis, data=known.factorial(), states="natural").findings
    shares = {f.node: f.agreement.value for f in found}
    assert shares["out"] == known.local[0]
    others = {v: known.observed[v] for v in known.hypothesis.variables}  # without ancestors they are as observed
    assert {v: shares[v] for v in others} == pytest.approx(others, abs=1e-12)


@every_fixture
def test_local_consistency_under_interchange(known: Fixture) -> None:
    result = local_consistency_test(known.hypothesis, n=N, seed=0)
    (found,) = (f for f in result.findings if (f.node, f.states) == ("out", "interchange"))
    assert is_share(found.agreement.value, known.local[1])
    assert found.agreement.n == N
    assert [f.name for f in result.findings if f.node == "out"] == ["local[out, natural]", "local[out, interchange]"]


def test_local_consistency_under_interchange_by_enumeration() -> None:
    result = local_consistency_test(dead_copy.hypothesis, data=dead_copy.crossed(), states=("interchange",))
    assert result.findings[-1].agreement.value == pytest.approx(CHANCE, abs=1e-12)
    assert result.verdict == "rejected"


@every_fixture
def test_interchange_with_independent_sources(known: Fixture) -> None:
    result = cm.interchange_test(known.hypothesis, n=N, seed=0, controls=CONTROLS)
    found = {f.variables: f.iia.value for f in result.findings if f.iia}
    assert set(found) == set(known.iia)
    assert all(is_share(found[s], share) for s, share in known.iia.items()), found


@pytest.mark.parametrize("known", [dead_copy, intermediates_cancel], ids=lambda f: f.name)
def test_interchange_of_one_variable_by_enumeration(known: Fixture) -> None:
    """A base and a source differ in what the claim leaves out in 9 of 10 pairs of settings."""
    pairs = known.crossed(limit=100)
    result = cm.interchange_test(known.hypothesis, data=pairs, controls=CONTROLS)
    found = {f.variables: f.iia.value for f in result.findings if f.iia}
    assert found["A",] == pytest.approx(CHANCE, abs=1e-12)
    if known is intermediates_cancel:  # what cancels in one source cancels in the network
        assert found["A", "B"] == 1.0


def test_each_pair_of_tests_is_told_apart() -> None:
    """What observation accepts, local consistency in interchanged states rejects; what that accepts, interchange does."""
    seen = {}
    for known in (dead_copy, intermediates_cancel):
        claim = known.hypothesis
        natural, interchanged = (local_consistency_test(claim, n=500, states=s) for s in ("natural", "interchange"))
        out = [next(f.verdict for f in r.findings if f.node == "out") for r in (natural, interchanged)]
        iia = cm.interchange_test(claim, n=500, controls=CONTROLS).verdict
        seen[known.name] = (observational_test(claim, n=500).verdict, *out, iia)
    assert seen["dead_copy"] == ("supported", "supported", "rejected", "rejected")
    assert seen["intermediates_cancel"] == ("rejected", "supported", "supported", "rejected")
