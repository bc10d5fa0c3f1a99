"""What does a file say of a sparse autoencoder? sae-lens folders and Gemma Scope's arrays, read as numbers alone."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from causalmi.errors import DataError

CONFIG, WEIGHTS, ARRAYS = "cfg.json", "sae_weights.safetensors", "params.npz"
ARCHITECTURES = {"standard": "relu", "jumprelu": "jumprelu", "topk": "topk", "gated": "gated"}
SCALES = ("scaling_factor", "finetuning_scaling_factor")  # of features, as they are decoded
NAMES = ("W_enc", "W_dec", "b_dec", "b_enc", "threshold", "b_gate", "r_mag", "b_mag")
NORMS = {  # as files say it, by what it is; False and None are from before version 6
    "none": "none", None: "none", False: "none", "layer_norm": "layer_norm",
    "constant_norm_rescale": "constant_norm_rescale",
}  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    """The weights and options that are in a folder or file, by name; raises DataError for what cannot be used."""
    if path.is_file() and path.suffix == ".npz":
        return _arrays(path)
    if path.is_file() and path.name in (CONFIG, WEIGHTS):
        path = path.parent
    if (path / CONFIG).is_file() and (path / WEIGHTS).is_file():
        return _folder(path)
    if (path / ARRAYS).is_file():
        return _arrays(path / ARRAYS)
    there = ", ".join(sorted(p.name for p in path.iterdir())[:12]) if path.is_dir() else "no such folder"
    raise DataError(
        f"{path} holds no sparse autoencoder ({there}); give a folder with {CONFIG} and {WEIGHTS}, or with {ARRAYS}; "
        "pickled weights (.pt, .bin, .pkl) are not opened, save them as safetensors"
    )


def _arrays(path: Path) -> dict[str, Any]:
    """Gemma Scope's: JumpReLU without centring or norm. Its transcoders look the same, and are none of this."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            weights = {_name(name): torch.tensor(np.asarray(found[name])) for name in found.files}
    except (ValueError, TypeError, AttributeError, EOFError, OSError, BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is no archive of arrays of numbers: {error}") from error
    return {**_weights(path, weights, "jumprelu"), "activation": "jumprelu"}


def _folder(path: Path) -> dict[str, Any]:
    try:
        config, weights = json.loads((path / CONFIG).read_text("utf-8")), load_file(path / WEIGHTS)
    except (ValueError, OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise DataError(f"{path / CONFIG} holds a {type(config).__name__}, it must be an object")
    options = _options(path, config)
    weights = {_name(name): x for name, x in weights.items()}
    if "log_threshold" in weights:
        weights["threshold"] = weights.pop("log_threshold").exp()
    kept = _rescaled(path, config, weights, options["activation"])
    sizes = [config.get("d_in"), config.get("d_sae")]
    if any(said is not None and said != real for said, real in zip(sizes, kept["W_enc"].shape, strict=False)):
        raise DataError(f"{path}: {CONFIG} says {sizes}, and W_enc has shape {list(kept['W_enc'].shape)}")
    return kept | options


def _options(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Activation, centring and norm; raises DataError for those whose meaning is not known."""
    kwargs = config.get("activation_fn_kwargs") or {}
    function = config.get("activation_fn", config.get("activation_fn_str", "relu"))
    architecture = config.get("architecture", "standard")
    if function == "topk" and architecture in ("standard", "topk"):  # as it was said before version 6
        architecture, function = "topk", "relu"
    if architecture not in ARCHITECTURES or function != "relu" or set(kwargs) - {"k"}:
        raise DataError(
            f"{path} is of the architecture {architecture!r} with {function!r}; those read are "
            f"{', '.join(ARCHITECTURES)} with 'relu', in which features are read and written at one place"
        )
    norm = config.get("normalize_activations")
    if not isinstance(norm, str | bool | None) or norm not in NORMS:
        raise DataError(
            f"{path} takes inputs normalised by {norm!r}, whose factor is not in the file; fold it into the weights "
            f"and say 'none', or use one of {', '.join(n for n in NORMS if isinstance(n, str))}"
        )
    options: dict[str, Any] = {"activation": ARCHITECTURES[architecture], "norm": NORMS[norm]}
    options["centred"] = bool(config.get("apply_b_dec_to_input", True))
    return options | ({"k": config.get("k", kwargs.get("k"))} if architecture == "topk" else {})


def _rescaled(path: Path, config: Mapping[str, Any], found: Mapping[str, Tensor], activation: str) -> dict[str, Tensor]:
    """The weights with what rescales features while they are decoded, or chosen, made part of them."""
    weights = _weights(path, {name: x for name, x in found.items() if name not in SCALES}, activation)
    for name in SCALES:
        if name in found and not bool((found[name] == 1).all()):
            if not config.get("finetuning_scaling_factor"):
                raise DataError(f"{path} holds a {name} that {CONFIG} does not say to use; say which of them is right")
            weights["W_dec"] = found[name].to(weights["W_dec"])[:, None] * weights["W_dec"]
    if config.get("rescale_acts_by_decoder_norm"):
        length = weights["W_dec"].norm(dim=-1)
        weights |= {name: weights[name] * length for name in ("W_enc", "b_enc") if name in weights}
        weights["W_dec"] = weights["W_dec"] / torch.where(length == 0, 1, length)[:, None]
    return weights


def _name(name: str) -> str:
    """Some files write the matrices in lower case."""
    return f"W_{name[2:]}" if name.startswith("w_") else name


def _weights(path: Path, weights: Mapping[str, Tensor], activation: str) -> dict[str, Tensor]:
    """Those that are known; raises DataError for others, which would change what is computed."""
    if unknown := sorted(set(weights) - set(NAMES)):
        raise DataError(f"{path} holds {', '.join(unknown)}, whose use is not known; there may be {', '.join(NAMES)}")
    if missing := [name for name in ("W_enc", "W_dec", "b_dec") if name not in weights]:
        raise DataError(f"{path} lacks {', '.join(missing)}, which a sparse autoencoder with {activation} needs")
    return {name: x.float() if x.element_size() < 4 else x for name, x in weights.items()}
