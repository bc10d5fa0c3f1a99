"""A divergence from the clean run has no p where that run is what is patched, and has one where the other is."""

import pytest

import causalmi as cm
from causalmi import site
from tests.networks import draw_tokens, gpt2


@pytest.mark.parametrize("direction", ["noise", "denoise"])
@pytest.mark.parametrize("method", ["activation", "path"])
def test_a_divergence_is_tested_only_where_it_can_fall(method: str, direction: str) -> None:
    pairs = cm.CounterfactualPairs.from_tokens(draw_tokens(6, 1), draw_tokens(6, 2), answer=3, foil=4)
    how = {"metric": "kl", "direction": direction}
    if method == "activation":
        frame = cm.activation_patching(gpt2(), pairs, site.z(1, 0), **how)
    else:
        frame = cm.path_patching(gpt2(), pairs, sender=site.z(1, 0), receivers=[site.q(2, 1)], **how)
    assert frame[["p", "p_adjusted"]].isna().all(axis=None) == (direction == "noise")
    assert ("untested" in frame.attrs) == (direction == "noise")


def test_an_ablation_moves_a_divergence_one_way_only() -> None:
    frame = cm.ablate(gpt2(), draw_tokens(6, 1), site.z(1, 0), ablation=cm.Zero(), metric="kl")
    assert frame["p"].isna().all()
    assert "untested" in frame.attrs
