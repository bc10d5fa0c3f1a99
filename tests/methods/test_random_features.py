"""Features in the methods: others as a control, no place elsewhere; ablations, attribution and paths know them."""

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.engine.featurizers.linear import Rotation
from causalmi.engine.featurizers.sparse import SparseAutoencoder
from causalmi.errors import SiteError, SpecError
from causalmi.methods.ablation import AblationData
from causalmi.methods.ablations import output_bias
from causalmi.methods.controls import RandomSite, RandomSubspace, ShuffledSources
from causalmi.methods.feature_draw import changing
from causalmi.methods.patched_sites import as_z
from causalmi.methods.path_order import one_name, reaches
from causalmi.methods.site_draw import SiteDraw
from causalmi.methods.swap import Swap
from causalmi.rng import stream
from causalmi.spec.site import Site
from tests.featurizers import numbers, orthonormal, sparse
from tests.methods.test_interchange import HALVES, equality
from tests.methods.test_random_subspace import TURN, halves, swap_of

PLACE = site.resid_post(1, at=2)


def drawn(swap: Swap, seed: int = 0, subset: tuple[str, ...] = ("source",)) -> list[Site]:
    found = SiteDraw(swap, stream(seed, "x")).subspaces(subset)
    return [s for v in subset for s in found[v]]


def test_others_of_the_same_featurizer() -> None:
    featurizer = sparse(24)
    place = PLACE.features(featurizer, (3, 7, 11))
    swap = swap_of(place)
    found = [drawn(swap, seed)[0] for seed in range(8)]
    for other in found:
        assert other.featurizer is featurizer and len(other.chosen or ()) == 3
        assert not set(other.chosen or ()) & {3, 7, 11}
        assert (other.kind, other.layer, other.at) == (PLACE.kind, PLACE.layer, PLACE.at)
    assert len(set(found)) > 1 and drawn(swap)[0] == found[0]


def test_of_those_that_fire() -> None:
    """In a dictionary of which few features ever fire, the others are no control."""
    width, size = 24, 200
    bias = torch.full((size,), -1e6, dtype=torch.float64)
    bias[:12] = 1.0
    one = SparseAutoencoder(
        W_enc=numbers(width, size), W_dec=numbers(size, width, seed=1), b_dec=numbers(width), b_enc=bias
    )
    swap = swap_of(PLACE.features(one, (0, 1)))
    alive = changing(swap, PLACE.features(one, (0, 1)))
    assert alive <= set(range(12)) and len(alive) >= 6
    for seed in range(5):
        assert set(drawn(swap, seed)[0].chosen or ()) <= alive - {0, 1}
    many = swap_of(PLACE.features(one, range(12)))
    assert not set(drawn(many)[0].chosen or ()) & set(range(12))  # of the dead, where no others are left


def test_two_that_share_a_place_stay_apart() -> None:
    featurizer = Rotation(orthonormal(24, 24))
    swap = swap_of(PLACE.features(featurizer, range(8)), PLACE.features(featurizer, range(8, 16)))
    for seed in range(5):
        a, b = (set(s.chosen or ()) for s in drawn(swap, seed))
        assert not a & b and len(a) == len(b) == 8 and not a & set(range(8))
    assert drawn(swap_of(PLACE.features(featurizer, range(20))))[0].chosen != tuple(range(20))  # mostly its own


def test_where_there_are_no_others() -> None:
    featurizer = sparse(24)
    for which in (None, range(48)):
        with pytest.raises(SiteError, match="is all the features there are"):
            drawn(swap_of(PLACE.features(featurizer, which)))
    with pytest.raises(SiteError, match="has its featurizer for this place alone.* use RandomSubspace"):
        SiteDraw(swap_of(PLACE.features(featurizer, 0)), stream(0, "x")).alignment(("source",))


def test_a_true_claim_about_features() -> None:
    """Exactly as good as the neurons that they are a turn of; other features do worse; another place is refused."""
    turn = np.zeros((8, 8))
    turn[:4, :4], turn[4:, 4:] = TURN, TURN
    featurizer = Rotation(turn)
    layer = site.module("layer1")
    mine = {"left": layer.features(featurizer, range(4)), "right": layer.features(featurizer, range(4, 8))}
    plain = cm.interchange_test(equality(HALVES), seed=0, controls=[ShuffledSources()])
    found = cm.interchange_test(equality(mine), seed=0, controls=[RandomSubspace(), RandomSite()])
    assert [f.iia for f in found.findings] == [f.iia for f in plain.findings]
    assert "its featurizer for this place alone" in str(found.findings[0].controls["random site"])
    for one, other in ((mine, HALVES), ({"left": mine["right"]}, {"left": HALVES["right"]})):
        swaps = [halves(alignment) for alignment in (one, other)]
        assert torch.equal(*(s.hits(("left",), s.interchange(("left",))) for s in swaps))


def test_paths_do_not_take_features_of_a_head_for_its_z() -> None:
    head = site.head_out(1, 0).features(sparse(24), 1)
    assert one_name(head) == head == as_z(head)
    assert one_name(site.resid_pre(2).features(f := sparse(24), 1)) == site.resid_post(1).features(f, 1)
    assert reaches(head, site.resid_post(1)) and not reaches(site.attn_out(1), head)
    model = swap_of(PLACE).model
    pairs = swap_of(PLACE).pairs
    with pytest.raises(SpecError, match=r"leave out at=, neurons=, along\(\), features\(\)"):
        cm.paths_explained(model, pairs, [[site.mlp_in(1).features(sparse(24), 1), site.logits()]])
    for part in (site.mlp_in(1).features(sparse(24), 1), site.mlp_in(1).along(np.eye(24)[:2])):
        with pytest.raises(SpecError, match="ln='frozen' sets what follows the norm"):
            cm.path_patching(model, pairs, sender=site.z(0, 0), receivers=[part], frozen="attn+mlp", ln="frozen")


@pytest.mark.parametrize("some", [False, True])
def test_zero_keeps_the_features_of_the_output_bias(some: bool) -> None:
    swap, featurizer = swap_of(PLACE), sparse(24)
    data = AblationData.of(swap.model, swap.pairs)
    every = featurizer.encode(output_bias(data, site.attn_out(1)))[0]
    which = tuple(every.argsort(descending=True)[[1, 0, 40]].tolist()) if some else None
    place = site.attn_out(1).features(featurizer, which)
    torch.testing.assert_close(output_bias(data, place), every[list(which or range(48))])
    assert float(every.max()) > 1e-3
    frame = cm.ablate(
        swap.model, swap.pairs, [place, PLACE.features(featurizer, which)], ablation=cm.Mean(), metric="kl"
    )
    assert len(frame) == 2 and frame["effect"].notna().all()
