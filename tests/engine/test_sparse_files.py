"""Dictionaries come from files as those files mean them, and nothing in a file is executed."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from causalmi.engine.featurizers.sparse import SparseAutoencoder
from causalmi.errors import CausalmiError, DataError
from tests.featurizers import numbers

MATRICES = {"W_enc": numbers(3, 5), "W_dec": numbers(5, 3, seed=1), "b_dec": numbers(3, seed=2)}
STANDARD = MATRICES | {"b_enc": numbers(5, seed=3)}
THRESHOLD = STANDARD | {"threshold": 0.5 * numbers(5, seed=4).abs()}
GATED = MATRICES | {"b_gate": numbers(5, seed=5), "r_mag": numbers(5, seed=6), "b_mag": numbers(5, seed=7)}
X = 2 * numbers(6, 3, seed=8)
NEW = {  # as version 6 writes it
    "d_in": 3, "d_sae": 5, "dtype": "float32", "device": "cuda", "apply_b_dec_to_input": True, "architecture": "standard",
    "normalize_activations": "none", "reshape_activations": "none", "metadata": {"sae_lens_version": "6.5.0"},
}  # fmt: skip
OLD = {  # as versions 3 to 5 did
    "architecture": "standard", "d_in": 3, "d_sae": 5, "activation_fn_str": "relu", "activation_fn_kwargs": {},
    "apply_b_dec_to_input": False, "finetuning_scaling_factor": False, "hook_name": "blocks.1.hook_resid_pre",
    "normalize_activations": "none", "dtype": "torch.float32", "context_size": 128, "prepend_bos": True,
}  # fmt: skip


def folder(path: Path, config: Any, weights: dict[str, Tensor]) -> Path:
    (path / "cfg.json").write_text(json.dumps(config))
    save_file({name: x.contiguous() for name, x in weights.items()}, path / "sae_weights.safetensors")
    return path


def same(found: SparseAutoencoder, wanted: SparseAutoencoder) -> None:
    for a, b in zip(found.encode(X), wanted.encode(X), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("config", "weights", "options"),
    [
        (NEW, STANDARD, {"centred": True}),
        (OLD, STANDARD, {}),
        ({}, STANDARD, {"centred": True}),  # what the oldest files do not say
        (NEW | {"apply_b_dec_to_input": False}, STANDARD, {}),
        (NEW | {"normalize_activations": "layer_norm"}, STANDARD, {"centred": True, "norm": "layer_norm"}),
        (OLD | {"normalize_activations": "constant_norm_rescale"}, STANDARD, {"norm": "constant_norm_rescale"}),
        (OLD | {"normalize_activations": False}, STANDARD, {}),
        (NEW | {"architecture": "jumprelu"}, THRESHOLD, {"centred": True, "activation": "jumprelu"}),
        (NEW | {"architecture": "gated"}, GATED, {"centred": True, "activation": "gated"}),
        (NEW | {"architecture": "topk", "k": 2}, STANDARD, {"centred": True, "activation": "topk", "k": 2}),
        (
            OLD | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}},
            STANDARD,
            {"activation": "topk", "k": 2},
        ),
        (OLD | {"activation_fn": "relu"}, STANDARD | {"scaling_factor": torch.ones(5).double()}, {}),
    ],
    ids=str,
)
def test_folders_of_sae_lens(tmp_path: Path, config: Any, weights: dict[str, Tensor], options: dict[str, Any]) -> None:
    same(
        SparseAutoencoder.load(folder(tmp_path, config, weights)), SparseAutoencoder(**weights_only(weights), **options)
    )
    same(SparseAutoencoder.load(str(tmp_path / "cfg.json")), SparseAutoencoder(**weights_only(weights), **options))


def weights_only(weights: dict[str, Tensor]) -> dict[str, Any]:
    return {name: x for name, x in weights.items() if name != "scaling_factor"}


def test_what_is_rescaled_is_made_part_of_the_weights(tmp_path: Path) -> None:
    log = STANDARD | {"log_threshold": THRESHOLD["threshold"].log()}
    found = SparseAutoencoder.load(folder(tmp_path, OLD | {"architecture": "jumprelu"}, log))
    same(found, SparseAutoencoder(**THRESHOLD, activation="jumprelu"))
    scale = numbers(5, seed=9)
    scaled = STANDARD | {"scaling_factor": scale}
    found = SparseAutoencoder.load(folder(tmp_path, OLD | {"finetuning_scaling_factor": True}, scaled))
    same(found, SparseAutoencoder(**STANDARD | {"W_dec": scale[:, None] * STANDARD["W_dec"]}))
    with pytest.raises(DataError, match="scaling_factor that cfg.json does not say to use"):
        SparseAutoencoder.load(folder(tmp_path, OLD, scaled))
    topk = NEW | {"architecture": "topk", "k": 2, "rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": False}
    found = SparseAutoencoder.load(folder(tmp_path, topk, STANDARD))
    raw = (X @ STANDARD["W_enc"] + STANDARD["b_enc"]) * STANDARD["W_dec"].norm(dim=1)
    kept = raw.relu() * (raw >= raw.sort(dim=1).values[:, -2:-1])
    features, rest = found.encode(X)
    torch.testing.assert_close(features, kept)
    out = (kept / STANDARD["W_dec"].norm(dim=1)) @ STANDARD["W_dec"] + STANDARD["b_dec"]
    torch.testing.assert_close(rest[:, :3], X - out)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_of_any_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = {name: x.to(dtype) for name, x in STANDARD.items()}
    found = SparseAutoencoder.load(folder(tmp_path, OLD, weights))
    same(found, SparseAutoencoder(**{name: x.double() for name, x in weights.items()}))
    assert found.W_enc.dtype == torch.float32 and found.encode(X)[0].dtype == torch.float64


@pytest.mark.parametrize("lower", [False, True])
def test_arrays_of_gemma_scope(tmp_path: Path, lower: bool) -> None:
    arrays = {name.lower() if lower and name.startswith("W") else name: x.numpy() for name, x in THRESHOLD.items()}
    np.savez(tmp_path / "params.npz", **arrays)
    for path in (tmp_path, tmp_path / "params.npz", str(tmp_path)):
        found = SparseAutoencoder.load(path)
        same(found, SparseAutoencoder(**THRESHOLD, activation="jumprelu"))
        assert str(found) == "SparseAutoencoder(3 -> 5, jumprelu)"


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_is_executed(tmp_path: Path) -> None:
    proof, here = tmp_path / "executed", tmp_path / "params.npz"
    np.savez(here, W_enc=np.array([Bomb(proof)], dtype=object))
    with pytest.raises(DataError, match="no archive of arrays of numbers"):
        SparseAutoencoder.load(here)
    buffer = io.BytesIO()
    torch.save(Bomb(proof), buffer)
    for name in ("params.npz", "sae_weights.safetensors"):
        (tmp_path / name).write_bytes(buffer.getvalue())
    (tmp_path / "cfg.json").write_text(json.dumps(NEW))
    for path in (here, tmp_path):
        with pytest.raises(DataError):
            SparseAutoencoder.load(path)
    import pickle

    here.write_bytes(pickle.dumps(Bomb(proof)))
    with pytest.raises(DataError):
        SparseAutoencoder.load(here)
    other = tmp_path / "other"
    other.mkdir()
    (other / "ae.pt").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match=r"\(ae\.pt\).*pickled weights .* are not opened"):
        SparseAutoencoder.load(other)
    assert not proof.exists()
    pickle.loads(pickle.dumps(Bomb(proof)))
    assert proof.exists()  # so that it would have


@pytest.mark.parametrize(
    ("config", "weights", "says"),
    [
        (NEW | {"architecture": "transcoder"}, STANDARD, "architecture 'transcoder'"),
        (NEW | {"architecture": "batchtopk"}, STANDARD, "architecture 'batchtopk'"),
        (OLD | {"activation_fn_str": "tanh-relu"}, STANDARD, "'tanh-relu'"),
        (OLD | {"architecture": "jumprelu", "activation_fn_str": "topk"}, THRESHOLD, "with 'topk'"),
        (NEW | {"normalize_activations": "expected_average_only_in"}, STANDARD, "whose factor is not in the file"),
        (NEW | {"normalize_activations": True}, STANDARD, "normalised by True"),
        (NEW | {"normalize_activations": ["none"]}, STANDARD, "normalised by"),
        (NEW, STANDARD | {"W_skip": numbers(3, 3)}, "holds W_skip, whose use is not known"),
        (NEW, {k: x for k, x in STANDARD.items() if k != "W_dec"}, "lacks W_dec"),
        (NEW, {k: x for k, x in STANDARD.items() if k != "b_enc"}, "b_enc must be tensors"),
        (NEW | {"d_sae": 6}, STANDARD, r"says \[3, 6\], and W_enc has shape \[3, 5\]"),
        (NEW | {"architecture": "topk"}, STANDARD, "k is None"),
        (NEW | {"architecture": "jumprelu"}, STANDARD, "threshold must be tensors"),
        (NEW, STANDARD | {"b_dec": torch.full((3,), float("inf")).double()}, "NaN, infinite"),
        ([1], STANDARD, "holds a list"),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused(tmp_path: Path, config: Any, weights: dict[str, Tensor], says: str) -> None:
    with pytest.raises(CausalmiError, match=says):
        SparseAutoencoder.load(folder(tmp_path, config, weights))


def test_damaged_files(tmp_path: Path) -> None:
    folder(tmp_path, NEW, STANDARD)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        SparseAutoencoder.load(tmp_path)
    folder(tmp_path, NEW, STANDARD)
    whole = (tmp_path / "sae_weights.safetensors").read_bytes()
    (tmp_path / "sae_weights.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        SparseAutoencoder.load(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        SparseAutoencoder.load(tmp_path / "nowhere")
    here = tmp_path / "params.npz"
    np.savez(here, **{name: x.numpy() for name, x in THRESHOLD.items()})
    here.write_bytes(here.read_bytes()[:300])
    with pytest.raises(DataError, match="no archive"):
        SparseAutoencoder.load(here)
    with zipfile.ZipFile(here, "w") as archive:
        archive.writestr("W_enc.npy", b"no array")
    with pytest.raises(DataError):
        SparseAutoencoder.load(here)
    np.savez(here, **{name: x.numpy() for name, x in STANDARD.items()})
    with pytest.raises(CausalmiError, match="threshold must be tensors"):
        SparseAutoencoder.load(here)
