"""Single neurons instead of subspaces: every set of them tried, and subspaces snapped to the nearest."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import causalmi as cm
from causalmi import site
from causalmi.errors import SiteError, SpecError
from causalmi.methods.align.align import align
from causalmi.methods.align.brute import BruteForceNeurons, led
from causalmi.methods.align.means import DifferenceInMeans
from causalmi.methods.align.method import Method, Problem
from causalmi.methods.align.snap import SnapToLocalist, greatest_entries, greatest_rows, localised
from causalmi.methods.controls import ShuffledSources
from causalmi.methods.interchange import interchange_test
from tests.ground_truth.planted import claim, network, turn
from tests.methods.align.small_problems import problem
from tests.methods.test_interchange import HALVES, equality

Floats = NDArray[np.float64]
LAYER = site.module("layer1")


def halves(n: int = 256) -> Problem:
    claimed = equality(HALVES, n=n)
    return problem(claimed, claimed.model, n=n)


def neurons(method: Method, where: Problem) -> list[dict[str, Any]]:
    return [{v: s.neurons for v, (s,) in found.alignment.items()} for found in method.fits(where)]


def test_of_the_blocks_only_the_two_halves_are_disjoint_and_they_are_found() -> None:
    assert neurons(BruteForceNeurons(size=4, contiguous=True), halves()) == [
        {"left": (0, 1, 2, 3), "right": (4, 5, 6, 7)},
        {"left": (4, 5, 6, 7), "right": (0, 1, 2, 3)},
    ]


def test_of_all_sets_the_halves_are_the_best() -> None:
    found = neurons(BruteForceNeurons(size=4, kept=3), halves())
    assert found[0] == {"left": (0, 1, 2, 3), "right": (4, 5, 6, 7)}
    assert len(found) == 3


def test_sets_are_ranked_by_interchanges_of_their_variable() -> None:
    """As interchange tests of every pair of neurons say, one by one."""
    p, slow = halves(n=512), dict[tuple[int, ...], float]()
    for two in combinations(range(8), 2):
        swap = p.train.swap.within({"left": (replace(LAYER, neurons=two),), "right": (LAYER[4:8],)})
        slow[two] = float(swap.hits(("left",), swap.interchange(("left",))).double().mean())
    ranked = BruteForceNeurons(size=2)._ranked(p, "left")
    assert len(ranked) == 28
    assert [slow[two] for two in ranked] == sorted(slow.values(), reverse=True)
    assert len(set(slow.values())) > 3


def test_what_is_led_is_disjoint_where_a_place_is_shared_and_only_there() -> None:
    ranked = {"a": [(0, 1), (2, 3)], "b": [(1, 2), (0, 1), (2, 3)]}
    shared, apart = {"a": (LAYER,), "b": (LAYER,)}, {"a": (LAYER,), "b": (site.module("layer2"),)}
    assert [dict(x) for x in led(ranked, shared, "a")] == [{"a": (0, 1), "b": (2, 3)}, {"a": (2, 3), "b": (0, 1)}]
    assert [dict(x) for x in led(ranked, shared, "b")] == [{"a": (2, 3), "b": (0, 1)}, {"a": (0, 1), "b": (2, 3)}]
    assert dict(next(led(ranked, apart, "a"))) == {"a": (0, 1), "b": (1, 2)}


def test_too_many_sets_are_refused_with_their_number() -> None:
    q = turn(64, 0)
    with pytest.raises(SpecError, match=r"635,376 sets of 4 of the 64 neurons.*contiguous=True"):
        BruteForceNeurons(size=4).fits(problem(claim(q, "left"), network(q), n=8))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: BruteForceNeurons(size=0), "size is 0"),
        (lambda: BruteForceNeurons(size=1, kept=0), "kept is 0"),
        (lambda: BruteForceNeurons(size=5).fits(halves()), "5 neurons each"),
        (lambda: SnapToLocalist(of=SnapToLocalist(of=DifferenceInMeans())), "finds subspaces"),
        (lambda: SnapToLocalist(of="DAS"), "of is 'DAS'"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_cannot_be_are_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make()


def test_greatest_entries_go_first_and_take_their_row_and_column() -> None:
    left, right = np.array([[0.1], [-0.9], [0.2], [0.0]]), np.array([[0.3, 0.0], [0.8, 0.1], [0.0, 0.5], [0.4, 0.6]])
    assert greatest_entries([left, right]) == [(1,), (0, 3)]  # .9 at 1, .6 at 3 in the last, .3 at 0 in the middle


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10_000))
def test_snapping_gives_each_variable_its_own_neurons(a: int, b: int, seed: int) -> None:
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((8, 8)))[0]
    for rule in (greatest_entries, greatest_rows):
        owned = rule([q[:, :a], q[:, a : a + b]])
        assert [len(x) for x in owned] == [a, b]
        assert len({i for x in owned for i in x}) == a + b


@given(st.permutations(range(6)), st.tuples(*[st.sampled_from([-1.0, 1.0])] * 6))
def test_subspaces_of_neurons_snap_to_these_whatever_their_signs(order: list[int], signs: tuple[float, ...]) -> None:
    columns = np.eye(6)[:, order] * signs
    for rule in (greatest_entries, greatest_rows):
        assert rule([columns[:, :2], columns[:, 2:5]]) == [tuple(sorted(order[:2])), tuple(sorted(order[2:5]))]


@given(st.integers(0, 10_000))
def test_neurons_by_weight_do_not_depend_on_the_directions_that_span_a_subspace(seed: int) -> None:
    q, inner = turn(7, seed), turn(3, seed + 1)
    assert greatest_rows([q[:, :3], q[:, 3:5]]) == greatest_rows([q[:, :3] @ inner, q[:, 3:5]])
    (alone,) = greatest_rows([q[:, :3]])
    assert set(alone) == set(np.argsort(-np.linalg.norm(q[:, :3], axis=1))[:3].tolist())


def test_a_method_snapped_gives_the_neurons_nearest_to_what_it_finds() -> None:
    q = turn(8, 1)
    where = problem(claim(q, "left", "right"), network(q))
    (found,) = DifferenceInMeans().fits(where)
    sites = {v: s for v, (s,) in found.alignment.items()}
    ((snapped),) = neurons(SnapToLocalist(of=DifferenceInMeans()), where)
    directions = np.stack([s.basis.columns[:, 0] for s in sites.values() if s.basis is not None], axis=1)
    first = np.unravel_index(np.abs(directions).argmax(), directions.shape)
    assert snapped[["left", "right"][first[1]]] == (first[0],)


def test_what_is_no_subspace_cannot_be_snapped() -> None:
    with pytest.raises(SiteError, match="is no subspace"):
        localised({"left": (LAYER[0:4],)}, greatest_entries)
    with pytest.raises(SiteError, match="is no subspace"):
        localised({"left": (LAYER[0:4].along([1.0, 0, 0, 0]),)}, greatest_entries)


def test_comparisons_are_interchange_tests_of_simpler_places() -> None:
    """On the pairs that judged: the numbers are those that the tests of these places give."""
    q = turn(16, 2)
    found = align(claim(q, "left"), network(q), method=DifferenceInMeans(), n=1024, controls=[ShuffledSources()])
    (place,) = found.hypothesis.sites("left")
    assert place.basis is not None
    largest = int(np.abs(place.basis.columns).argmax())
    simpler = {
        "snapped to neurons": site.module("h")[largest : largest + 1],
        "as many neurons, chosen by weight": site.module("h")[largest : largest + 1],
        "the whole place": site.module("h"),
    }
    assert found.iia is not None and found.iia.value == 1.0
    for name, where in simpler.items():
        claimed = cm.Hypothesis(claim=name, task=found.hypothesis.task, alignment={"left": where})
        assert found.test.subject is not None
        test = interchange_test(claimed, network(q), data=found.test.subject.pairs, controls=[ShuffledSources()])
        assert test.iia == found.comparisons[name]
        assert test.iia is not None and test.iia.value < 0.7


def test_comparisons_that_make_no_sense_have_a_reason_instead() -> None:
    claimed = equality(HALVES, n=256)
    found = align(claimed, method=BruteForceNeurons(size=4, contiguous=True), n=256, controls=[ShuffledSources()])
    assert found.hypothesis.sites("left") == (LAYER[0:4],)
    assert found.hypothesis.sites("right") == (LAYER[4:8],)
    assert found.iia is not None and found.iia.value == 1.0
    assert "no subspace" in str(found.comparisons["snapped to neurons"])
    assert "share a place" in str(found.comparisons["the whole place"])
    assert "share a place" in str(found)


def test_pairs_may_have_sources_for_variables_that_are_not_claimed() -> None:
    q = turn(8, 0)
    both = claim(q, "left", "right").task.pairs(512, vary=["left", "right"], seed=3)
    found = align(claim(q, "left"), network(q), method=DifferenceInMeans(), data=both, controls=[ShuffledSources()])
    assert [f.variables for f in found.test.findings] == [("left",)]
    assert found.iia is not None and found.iia.value == 1.0
    assert found.test.accuracy is not None and found.test.accuracy.value == 1.0
