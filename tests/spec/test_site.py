"""Sites are typed addresses: valid once they exist, printed and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalmi import site
from causalmi.errors import SiteError
from causalmi.spec.site import HEAD_KINDS, KINDS, LAYER_KINDS, Site

indices = st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True).map(tuple)
names = st.sampled_from(["last", "z", "z:first", "z:all", "before:z", "after:z"])
one = st.integers(-9, 9) | names
positions = st.none() | one | st.lists(one, min_size=1, max_size=3).map(tuple)


@st.composite
def sites(draw: st.DrawFn) -> Site:
    kind = draw(st.sampled_from(KINDS))
    neurons = kind not in ("head_out", "pattern")
    return Site(
        kind,
        layer=draw(st.integers(0, 50)) if kind in LAYER_KINDS else None,
        head=draw(st.none() | st.integers(0, 9) | indices) if kind in HEAD_KINDS else None,
        at=draw(positions),
        neurons=draw(st.none() | indices) if neurons else None,
        path="a.0.b" if kind == "module" else None,
    )


@given(sites())
def test_every_site_reads_back_from_its_printed_form(place: Site) -> None:
    assert site.parse(str(place)) == place
    assert hash(site.parse(str(place))) == hash(place)


@pytest.mark.parametrize(
    ("hook", "place"),
    [
        ("blocks.3.attn.hook_z", site.z(3)),
        ("blocks.0.hook_resid_mid", site.resid_mid(0)),
        ("blocks.11.mlp.hook_post", site.mlp_hidden(11)),
        ("blocks.2.attn.hook_result", site.head_out(2)),
        ("blocks.2.attn.hook_pattern", site.pattern(2)),
        ("hook_embed", site.embed()),
        ("ln_final.hook_normalized", site.final_norm()),
    ],
)
def test_hook_names_of_transformer_lens(hook: str, place: Site) -> None:
    assert site.parse(hook) == place


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("blocks.3.attn.hook_attn_scores", "no counterpart"),
        ("resid_post", "no site"),
        ("resid_post(1", "no site"),
        ("__import__('os')", "no site"),
        ("resid_post(print(1))", "no site"),
        ("module()", "no site"),
        ("resid_post()", "needs a layer"),
        ("logits(3)", "leave the layer out"),
        ("resid_post(-1)", "whole numbers"),
        ("resid_post(1, 2)", "has no heads"),
        ("z(1, [2, 2])", "twice"),
        ("z(1, at=1.5)", "is no position"),
        ("z(1, at=[])", "is no position"),
        ("z(1, neurons=[])", "whole numbers"),
    ],
)
def test_what_is_no_site_is_refused(text: str, says: str) -> None:
    with pytest.raises(SiteError, match=says):
        site.parse(text)


def test_lists_ranges_and_slices_are_one_thing() -> None:
    a = site.module("layer1")[0:4]
    assert a == site.module("layer1", neurons=range(4)) == site.module("layer1", neurons=[0, 1, 2, 3])
    assert str(a) == "module('layer1', neurons=range(0, 4))"
    assert site.z(0, [1, 2]) == site.z(0, (1, 2))
    with pytest.raises(SiteError, match="slice"):
        site.module("layer1")[3]  # type: ignore[index]


def test_a_grid_spans_layers_heads_and_positions_in_order() -> None:
    got = site.grid("z", layers=[0, 2], heads=[1], at=["last", 0]).expand(n_layers=9, n_heads=9)
    assert got == (site.z(0, 1, at="last"), site.z(0, 1, at=0), site.z(2, 1, at="last"), site.z(2, 1, at=0))
    assert len(site.grid("pattern").expand(n_layers=2, n_heads=3)) == 6
    assert site.grid("embed").expand(n_layers=2) == (site.embed(),)
    with pytest.raises(SiteError, match="no grid"):
        site.grid("module")
