"""Random subspaces: of the same size, at the same place, apart from each other, and what a true claim must beat."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.errors import SiteError, SpecError
from causalmi.methods.controls import RandomSite, RandomSubspace, Redrawn, ShuffledSources
from causalmi.methods.site_draw import SiteDraw
from causalmi.methods.swap import Alignment, Swap
from causalmi.rng import stream
from causalmi.spec.basis import Basis
from causalmi.spec.site import Site
from tests.methods.test_interchange import HALVES, SWAPPED, equality
from tests.networks import draw_numbers, draw_tokens, gpt2, mlp

AXES = np.eye(8)
TURN = np.linalg.qr(np.random.default_rng(5).standard_normal((4, 4)))[0]
LAYER = site.module("layer1")
SUBSPACES = {"left": LAYER.along(TURN @ AXES[:4]), "right": LAYER.along(TURN @ AXES[4:])}  # what HALVES are, turned


@cache
def model_of() -> cm.Model:
    return cm.load_model(gpt2())


def swap_of(*source: Site) -> Swap:
    """Interchanges in GPT-2, for drawing sites alone."""
    pairs = cm.CounterfactualPairs.from_tokens(draw_tokens(4, 0), draw_tokens(4, 1), answer=0)
    return Swap(model_of(), pairs, {"source": source})


def halves(alignment: dict[str, Site], n: int = 300) -> Swap:
    claim = equality(alignment, n=n)
    pairs = claim.task.pairs(n, vary=["left", "right"], seed=0)
    return Swap(cm.load_model(claim.model), pairs, {v: claim.sites(v) for v in alignment})


def basis_of(place: Site) -> Basis:
    assert place.basis is not None
    return place.basis


def test_a_subspace_carries_what_its_neurons_carry() -> None:
    """Exactly as claimed, in coordinates that no neuron has; not in random ones."""
    neurons, turned, wrong = (
        cm.interchange_test(
            equality(a), seed=0, controls=[RandomSubspace()] if a is not HALVES else [ShuffledSources()]
        )
        for a in (HALVES, SUBSPACES, {"left": SUBSPACES["right"], "right": SUBSPACES["left"]})
    )
    assert [f.iia for f in turned.findings] == [f.iia for f in neurons.findings]
    assert turned.verdict == "supported"
    control = [f.controls["random subspace"] for f in turned.findings]
    assert all(c.high < 0.9 for c in control)
    swapped = cm.interchange_test(equality(SWAPPED), seed=0, controls=[ShuffledSources()])
    assert [f.iia for f in wrong.findings] == [f.iia for f in swapped.findings] and wrong.verdict == "rejected"


def test_they_are_of_the_same_size_at_the_same_place() -> None:
    places = (
        site.resid_post(1, at=2).along(np.eye(24)[:3]),
        site.z(1, 2, at="last").along(np.ones(6)),
        site.q(0, [0, 1]).along(np.eye(6)[:2]),
        site.mlp_hidden(2, neurons=[1, 5, 7]).along(np.eye(3)[1:]),
    )
    for place in places:
        swap = swap_of(place)
        draws = [SiteDraw(swap, stream(0, str(i))).subspaces(("source",))["source"] for i in range(5)]
        again = SiteDraw(swap, stream(0, "0")).subspaces(("source",))["source"]
        for (other,) in draws:
            assert (basis_of(other).dims, basis_of(other).width) == (basis_of(place).dims, basis_of(place).width)
            assert other != place and (other.kind, other.layer, other.head, other.at, other.neurons) == (
                place.kind, place.layer, place.head, place.at, place.neurons,
            )  # fmt: skip
        assert len({other for (other,) in draws}) == 5 and again == draws[0]


def test_they_are_drawn_without_a_preference() -> None:
    """The expected share of a random k-dimensional subspace in any other of d is k/d of each direction, E|R^T S|^2 = k^2/d."""
    place = site.resid_post(1, at=2).along(np.eye(24)[:6])
    draw = SiteDraw(swap_of(place), stream(0, "shares"))
    columns = [basis_of(draw.subspaces(("source",))["source"][0]).columns for _ in range(200)]
    shares = np.array([(c[:6] ** 2).sum() for c in columns])
    assert abs(shares.mean() - 36 / 24) < 4 * shares.std() / np.sqrt(200)
    firsts = np.array([c[0] for c in columns]).ravel()
    assert abs(firsts.mean()) < 4 * firsts.std() / np.sqrt(len(firsts))  # neither of a sign


def test_those_that_share_a_place_stay_apart() -> None:
    swap = halves(SUBSPACES)
    for i in range(5):
        drawn = SiteDraw(swap, stream(i, "x")).subspaces(("left", "right"))
        left, right = (basis_of(drawn[v][0]).columns for v in ("left", "right"))
        np.testing.assert_allclose(left.T @ right, 0, atol=1e-12)
        assert drawn["left"][0].path == drawn["right"][0].path == "layer1"
        shared = basis_of(SUBSPACES["left"]).columns.T @ left
        assert np.linalg.norm(shared) < 1.99  # 2 if it were the claimed one


def test_those_at_different_places_are_drawn_each_for_itself() -> None:
    swap = swap_of(*(site.resid_post(1, at=at).along(np.eye(24)[:3]) for at in (1, 2)))
    first, second = SiteDraw(swap, stream(0, "x")).subspaces(("source",))["source"]
    assert (first.at, second.at) == (1, 2)
    assert np.linalg.norm(basis_of(first).columns.T @ basis_of(second).columns) > 1e-3


def test_random_sites_in_a_network_of_modules() -> None:
    place = LAYER.along(np.eye(8)[:3])
    pairs = cm.CounterfactualPairs.from_tokens(draw_numbers(9, 0), draw_numbers(9, 1), answer=0)
    draw = SiteDraw(Swap(cm.load_model(mlp()), pairs, {"source": (place,)}), stream(0, "x"))
    drawn = [draw.alignment(("source",))["source"][0] for _ in range(12)]
    assert {other.path for other in drawn} == {"layer1.0", "layer2.0", "layer2.1", "layer2"}
    assert {(basis_of(other).dims, basis_of(other).width) for other in drawn} == {(3, 8)}


def test_what_is_no_subspace_has_no_others() -> None:
    draw = SiteDraw(swap_of(site.resid_post(1, at=2)), stream(0, "x"))
    with pytest.raises(SiteError, match=r"resid_post\(1, at=2\) is no subspace"):
        draw.subspaces(("source",))
    draw = SiteDraw(swap_of(site.z(1, 0, at=2).along(np.eye(6))), stream(0, "x"))
    with pytest.raises(SiteError, match="is the whole space"):
        draw.subspaces(("source",))
    result = cm.interchange_test(equality(HALVES, n=100), controls=[RandomSubspace(), ShuffledSources()])
    assert "no subspace" in str(result.findings[0].controls["random subspace"])
    assert result.iia.value == 1.0


def test_random_sites_carry_the_dimensions_over() -> None:
    for place in (
        site.resid_post(1, at=2).along(np.eye(24)[:3]),
        site.z(1, 2, at="last").along(np.ones(6)),
        site.mlp_hidden(2, neurons=[1, 5, 7], at=1).along(np.eye(3)[1:]),
        site.resid_post(1).along(np.eye(24)[:3]),  # of which there are three others
    ):
        swap = swap_of(place)
        draw, seen = SiteDraw(swap, stream(0, "x")), {place.basis}
        for _ in range(12):
            (other,) = draw.alignment(("source",))["source"]
            assert other.kind == place.kind and (basis_of(other).dims, basis_of(other).width) == (
                basis_of(place).dims, basis_of(place).width,
            )  # fmt: skip
            assert other.basis not in seen
            seen.add(other.basis)
            at = 4 if place.at == "last" else place.at
            assert (other.layer, other.head, other.at, other.neurons) != (place.layer, place.head, at, place.neurons)
            value = swap.model.run(swap.pairs.base, read=[other])[other]
            assert value.shape == swap.model.run(swap.pairs.base, read=[place])[place].shape


@dataclass(frozen=True)
class InTurn(Redrawn):
    """The two halves right, then swapped, and so on."""

    name = "in turn"

    def drawn(self, draw: SiteDraw, subset: tuple[str, ...]) -> Alignment:
        right = len(TURNS) % 2 == 0
        TURNS.append(right)
        return {v: ((HALVES if right else SWAPPED)[v],) for v in subset}


TURNS: list[bool] = []


def test_the_pairs_are_shared_out_among_the_draws() -> None:
    TURNS.clear()
    swap, subset = halves(HALVES, n=100), ("left",)
    right, wrong = (Swap(swap.model, swap.pairs, {v: (s,) for v, s in a.items()}) for a in (HALVES, SWAPPED))
    answers = [s.hits(subset, s.interchange(subset)) for s in (right, wrong)]
    found = InTurn(4).hits(swap, subset, seed=0)
    even = torch.arange(100) % 2 == 0
    assert torch.equal(found, torch.where(even, *answers)) and not torch.equal(*answers)
    assert len(TURNS) == 4 and InTurn(4).clusters(swap).tolist() == [i % 4 for i in range(100)]


def test_the_same_seed_gives_the_same_for_every_batch_size() -> None:
    """In a random network: the handcrafted one says that all mixtures of entities are different."""
    graph = cm.CausalModel(
        {"a": range(4), "b": range(4)}, {"sum": lambda a, b: a + b, "odd": lambda sum: sum % 2}, output="odd"
    )
    task = cm.Task(
        graph, encode=lambda s: [5.0 * (s[v] == i) for v in "ab" for i in range(3)], label=lambda s: s["odd"]
    )
    pairs, hits = task.pairs(200, vary=["sum"], seed=0), []
    for seed, batch_size in ((0, 7), (0, None), (1, None)):
        swap = Swap(cm.load_model(mlp()), pairs, {"sum": (LAYER.along(np.eye(8)[:4]),)}, batch_size)
        hits.append(RandomSubspace(5).hits(swap, ("sum",), seed))
    assert torch.equal(hits[0], hits[1]) and not torch.equal(hits[0], hits[2])


@pytest.mark.parametrize("control", [RandomSite, RandomSubspace])
@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_how_many_draws_must_be_a_number(control: Any, n: Any) -> None:
    with pytest.raises(SpecError, match="whole number from 1"):
        control(n)
