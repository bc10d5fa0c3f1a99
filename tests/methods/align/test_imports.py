"""What another tool trained exchanges the same here: files that pyvene 0.1.8 wrote, with what it computed with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal
from transformers import GPT2Config, GPT2LMHeadModel

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, SiteError
from causalmi.methods.align.imports import from_causalab, from_pyvene
from tests.networks import seeded

FOLDER = Path(__file__).parents[2] / "data" / "pyvene"
PLACE = site.resid_post(0, at=2)


@pytest.fixture(scope="module")
def sample() -> dict[str, Tensor]:
    return load_file(FOLDER / "sample.safetensors")


@pytest.fixture(scope="module")
def model(sample: dict[str, Tensor]) -> cm.Model:
    config = GPT2Config(n_embd=4, n_layer=1, n_head=2, n_positions=6, vocab_size=10, bos_token_id=0, eos_token_id=0)
    net = GPT2LMHeadModel(config).eval()
    weights = {name: value for name, value in sample.items() if not name.startswith("run ")}
    net.load_state_dict({**weights, "lm_head.weight": weights["transformer.wte.weight"]})
    return cm.load_model(net)


@pytest.mark.parametrize(
    ("kind", "columns", "numbers"),
    [("low", None, 2), ("rot", range(2), 2), ("sigrot", None, 2), ("mask", None, None)],
)
def test_the_interchange_is_that_of_pyvene(
    kind: str, columns: Any, numbers: int | None, sample: dict[str, Tensor], model: cm.Model
) -> None:
    place = from_pyvene(FOLDER / f"{kind}.bin", PLACE, columns=columns)
    assert numbers is None or (place.basis is not None and place.basis.dims == numbers)
    base, source = sample["run base"], sample["run source"]
    given = model.run(source, read=[place])[place]
    found = model.run(base, edits={place: given}).logits[:, 2]
    torch.testing.assert_close(found, sample[f"run {kind}"], atol=2e-5, rtol=1e-4)
    whole = model.run(base, edits={PLACE: model.run(source, read=[PLACE])[PLACE]}).logits[:, 2]
    for other in (whole, model.run(base).logits[:, 2]):
        assert float((found - other).abs().max()) > 1e-2  # else this shows little


def test_columns_are_those_of_the_trained_rotation() -> None:
    state = torch.load(FOLDER / "rot.bin", weights_only=True)
    base, original = (state[f"rotate_layer.parametrizations.weight.{name}"].double() for name in ("0.base", "original"))
    skew = original.tril() - original.tril().T
    rotation = base @ torch.matrix_exp(skew)
    for columns in ([0], [3, 1], range(4)):
        place = from_pyvene(FOLDER / "rot.bin", PLACE, columns=columns)
        assert place.basis is not None
        np.testing.assert_allclose(place.basis.columns, rotation[:, list(columns)].numpy(), atol=1e-6)


@pytest.mark.parametrize(("boundary", "dims"), [(0.5, 2), (0.51, 3), (0.0, 1), (1.0, 4), (7.0, 4)])
def test_a_boundless_one_has_what_is_below_its_boundary(boundary: float, dims: int, tmp_path: Path) -> None:
    state = torch.load(FOLDER / "rot.bin", weights_only=True)
    state |= {"intervention_boundaries": torch.tensor([boundary]), "temperature": torch.tensor(0.1)}
    torch.save(state, tmp_path / "intkey_a.bin")
    place = from_pyvene(tmp_path, PLACE)
    assert place.basis is not None and place.basis.dims == dims
    assert place == from_pyvene(FOLDER / "rot.bin", PLACE, columns=range(dims))


def test_half_precision_and_a_plain_weight(tmp_path: Path) -> None:
    state = torch.load(FOLDER / "low.bin", weights_only=True)
    full = from_pyvene(FOLDER / "low.bin", PLACE)
    assert full.basis is not None
    torch.save({k: v.bfloat16() if v.is_floating_point() else v for k, v in state.items()}, tmp_path / "half.bin")
    torch.save({"rotate_layer.weight": torch.tensor(full.basis.columns)}, tmp_path / "plain.bin")
    for name, off in (("half", 0.05), ("plain", 1e-6)):
        found = from_pyvene(tmp_path / f"{name}.bin", PLACE)
        assert found.basis is not None
        np.testing.assert_allclose(found.basis.columns, full.basis.columns, atol=off)


class Subspace(nn.Module):
    """A layer with the names that causalab's subspaces are saved under."""

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        self.rotate = nn.Module()
        self.rotate.weight = nn.Parameter(torch.linalg.qr(torch.randn(width, dims))[0])
        orthogonal(self.rotate)


def triplet(path: Path, dims: int, indices: Any, **info: Any) -> Tensor:
    layer = seeded(lambda: Subspace(4, dims))
    info = {"featurizer_class": "SubspaceFeaturizerModule", "n_features": dims, **info}
    content = {"model_info": info, "state_dict": layer.state_dict()}
    for part in ("featurizer", "inverse_featurizer"):
        torch.save(content, f"{path}_{part}")
    Path(f"{path}_indices").write_text(json.dumps(indices))
    return layer.rotate.weight.detach()  # type: ignore[no-any-return, union-attr]


@pytest.mark.parametrize(("dims", "indices"), [(2, None), (3, [2, 0]), (4, [1])])
def test_a_featurizer_of_causalab(dims: int, indices: Any, tmp_path: Path) -> None:
    path = tmp_path / "ResidualStream(Layer:0,Token:last_token)"
    weight = triplet(path, dims, indices)
    found = from_causalab(path, PLACE)
    assert found.basis is not None
    expected = weight if indices is None else weight[:, indices]
    np.testing.assert_allclose(found.basis.columns, expected.numpy(), atol=1e-6)


def test_neurons_of_causalab(tmp_path: Path) -> None:
    triplet(tmp_path / "a", 2, [3, 1], featurizer_class="IdentityFeaturizerModule")
    assert from_causalab(tmp_path / "a", PLACE) == site.resid_post(0, at=2, neurons=[3, 1])
    triplet(tmp_path / "a", 2, None, featurizer_class="IdentityFeaturizerModule")
    assert from_causalab(tmp_path / "a", PLACE) == PLACE


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    torch.save({"rotate_layer.weight": Hostile()}, tmp_path / "hostile.bin")
    torch.save({"rotate_layer.weight": torch.ones(4, 2)}, tmp_path / "skew.bin")
    torch.save({"pca_components": torch.eye(4)}, tmp_path / "pca.bin")
    (tmp_path / "text.bin").write_text("text")
    torch.save(torch.eye(4), tmp_path / "tensor.bin")
    for name, words in {
        "hostile": "no file of plain tensors", "skew": "off orthonormal by", "pca": "has no rotation",
        "text": "no file of plain tensors", "tensor": "holds a Tensor", "none": "cannot be read",
    }.items():  # fmt: skip
        with pytest.raises(DataError, match=words):
            from_pyvene(tmp_path / f"{name}.bin", PLACE)
    assert not (tmp_path / "touched").exists()
    with pytest.raises(DataError, match="give columns="):
        from_pyvene(FOLDER / "rot.bin", PLACE)
    for columns in ([4], [0, 0], [-1], [0.5]):
        with pytest.raises(DataError, match="names the features"):
            from_pyvene(FOLDER / "rot.bin", PLACE, columns=columns)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"should hold one intkey_\*.bin and has none"):
        from_pyvene(tmp_path, PLACE)
    with pytest.raises(SiteError, match="already"):
        from_pyvene(FOLDER / "low.bin", PLACE.along([1.0, 0, 0, 0]))


def test_what_causalab_has_and_cannot_be_said(tmp_path: Path) -> None:
    triplet(tmp_path / "a", 2, None, featurizer_class="SAEFeaturizerModule")
    with pytest.raises(DataError, match="of the kind 'SAEFeaturizerModule'; only subspaces"):
        from_causalab(tmp_path / "a", PLACE)
    for indices in ([2], [], "all", {"a": 1}):
        triplet(tmp_path / "b", 2, indices)
        with pytest.raises(DataError, match="names the features"):
            from_causalab(tmp_path / "b", PLACE)
    with pytest.raises(DataError, match="cannot be read"):
        from_causalab(tmp_path / "c", PLACE)


def test_nothing_is_drawn_from_the_users_generator() -> None:
    before = torch.get_rng_state()
    from_pyvene(FOLDER / "low.bin", PLACE)
    assert torch.equal(torch.get_rng_state(), before)
