"""An alignment comes back from its folder as it was, to the last bit; and a folder that is none says so."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import causalmi as cm
from causalmi import site
from causalmi.engine.featurizers.principal import PCA, StandardisedPCA
from causalmi.engine.featurizers.saved import load_alignment
from causalmi.engine.featurizers.sparse import SparseAutoencoder
from causalmi.errors import DataError, SiteError
from causalmi.spec.alignment_file import save_alignment

POSITIONS = st.none() | st.integers(-3, 3) | st.sampled_from(["last", "z:all", "ä"])
POSITIONS = POSITIONS | st.lists(st.integers(0, 3) | st.just("z"), min_size=1, max_size=3).map(tuple)


@st.composite
def sites(draw: Any) -> cm.Site:
    at = draw(POSITIONS)
    heads = st.none() | st.integers(0, 5) | st.sets(st.integers(0, 5), min_size=1).map(lambda x: tuple(sorted(x)))
    place = draw(
        st.sampled_from([site.embed(at=at), site.resid_post(3, at=at), site.module("a.0", at=at), site.logits()])
        | heads.map(lambda h: site.z(1, h, at=at))
        | st.permutations(range(4)).map(lambda n: site.mlp_out(0, at=at, neurons=n))
    )
    dims, seed = draw(st.integers(0, 4)), draw(st.integers(0, 2**16))
    width = 4
    return place.along(np.random.default_rng(seed).standard_normal((dims, width))) if dims else place


ALIGNMENTS = st.dictionaries(st.text(min_size=1), st.lists(sites(), min_size=1, max_size=3).map(tuple), min_size=1)


@settings(max_examples=60, deadline=None)
@given(ALIGNMENTS)
def test_what_is_loaded_is_what_was_saved(alignment: dict[str, tuple[cm.Site, ...]]) -> None:
    with TemporaryDirectory() as folder:
        save_alignment(alignment, folder)
        found = load_alignment(folder)
    assert found == alignment and list(found) == list(alignment)
    for one, other in zip(sum(found.values(), ()), sum(alignment.values(), ()), strict=True):
        assert (one.basis is None) == (other.basis is None)
        if one.basis is not None and other.basis is not None:
            assert one.basis.columns.tobytes() == other.basis.columns.tobytes()


def claim() -> cm.Hypothesis:
    model = cm.CausalModel(inputs={"a": range(3)}, mechanisms={"b": lambda a: a, "c": lambda b: b}, output="c")
    task = cm.Task(model, encode=lambda v: [v["a"], 0], label=lambda v: v["c"])
    return cm.Hypothesis(claim="b is there", task=task, alignment={"b": site.resid_post(0, at=1).along([[1.0, 2.0]])})


def test_a_hypothesis_is_saved_by_its_alignment_and_an_earlier_one_replaced(tmp_path: Path) -> None:
    there, told = tmp_path / "a" / "b", claim()
    save_alignment({"b": site.embed()}, there)
    save_alignment(told, there)
    again = replace(told, alignment=load_alignment(there))
    assert again.alignment == told.alignment
    assert sorted(p.name for p in there.iterdir()) == ["alignment.json", "alignment.safetensors"]


class Terms:
    width = size = 4
    linear = True

    def encode(self, x: Any) -> Any:
        return x, None

    def decode(self, features: Any, rest: Any) -> Any:
        return features


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (site.embed(at=lambda tokens: 0), "function as its position"),
        (site.embed(at=[0, len]), "function as its position"),
        (replace(site.embed(), featurizer=Terms(), chosen=(1,)), "in terms of a Terms"),
    ],
)
def test_code_is_not_saved(place: cm.Site, words: str, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=words):
        save_alignment({"a": site.embed(), "b": [site.embed(), place]}, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def changed(**fields: Any) -> Any:
    def change(table: dict[str, Any]) -> dict[str, Any]:
        table["alignment"]["b"][0] |= fields
        return table

    return change


DAMAGES: dict[str, Any] = {
    "version": lambda table: {**table, "version": 2},
    "variables": lambda table: {**table, "alignment": {}},
    "no sites": lambda table: {**table, "alignment": {"b": []}},
    "sites": lambda table: {**table, "alignment": {"b": 3}},
    "a list": lambda table: [table],
    "kind": changed(kind="__import__"),
    "layer": changed(layer="0"),
    "code": changed(at={"__reduce__": "os.system"}),
    "path": changed(kind="module", layer=None, path=["a"]),
    "more": changed(featurizer="os.system"),
    "basis": changed(basis="../../secret"),
    "neurons": changed(neurons=[0, 1, 2]),
    "hash": lambda table: {**table, "numbers": "0" * 64},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_gives_one_error(damage: str, tmp_path: Path) -> None:
    save_alignment(claim(), tmp_path)
    file = tmp_path / "alignment.json"
    file.write_text(json.dumps(DAMAGES[damage](json.loads(file.read_text()))))
    with pytest.raises(DataError, match="cannot be read"):
        load_alignment(tmp_path)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_cut_or_turned_byte_gives_one_error_or_the_alignment(data: Any) -> None:
    with TemporaryDirectory() as folder:
        save_alignment(claim(), folder)
        file = Path(folder) / data.draw(st.sampled_from(["alignment.json", "alignment.safetensors"]))
        content = bytearray(file.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place:] = b"" if data.draw(st.booleans()) else bytes([content[place] ^ 1]) + content[place + 1 :]
        file.write_bytes(content)
        try:
            load_alignment(folder)
        except DataError:
            return
        assert file.suffix == ".json"  # a name or an index is another one; numbers never are


def test_a_folder_without_an_alignment(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no alignment"):
        load_alignment(tmp_path / "none")
    save_alignment(claim(), tmp_path)
    (tmp_path / "alignment.safetensors").unlink()
    with pytest.raises(DataError, match="holds no alignment"):
        load_alignment(tmp_path)


def featurizers() -> list[Any]:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sparse = SparseAutoencoder(
        W_enc=draw(4, 6), W_dec=draw(6, 4), b_dec=draw(4), b_enc=draw(6), activation="topk", k=2, centred=True
    )
    return [sparse, PCA.of(draw(20, 4), 3), StandardisedPCA.of(draw(20, 4))]


def test_featurizers_that_are_numbers_come_back_and_are_shared(tmp_path: Path) -> None:
    places = [site.embed().features(x, [2, 0]) for x in featurizers()]
    save_alignment({"a": places, "b": site.embed().features(places[0].featurizer)}, tmp_path)
    found = load_alignment(tmp_path)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for new, old in zip(found["a"], places, strict=True):
        assert new.chosen == (2, 0) and type(new.featurizer) is type(old.featurizer)
        for one, other in zip(new.featurizer.encode(x), old.featurizer.encode(x), strict=True):
            assert torch.equal(one, other)
    assert found["b"][0].featurizer is found["a"][0].featurizer and found["b"][0].chosen is None
    table = json.loads((tmp_path / "alignment.json").read_text())
    for change in ({"kind": "eval"}, {"options": {"activation": "relu", "k": 2, "eval": 1}}, {"tensors": ["W_enc"]}):
        damaged = {**table, "featurizers": [{**table["featurizers"][0], **change}, *table["featurizers"][1:]]}
        (tmp_path / "alignment.json").write_text(json.dumps(damaged))
        with pytest.raises(DataError, match="cannot be read"):
            load_alignment(tmp_path)
