"""Which place do the files of other tools mean? Trained rotations and masks of pyvene, and featurizers of causalab.

Both keep what torch's orthogonal parametrization is computed from, not the directions; they are computed again here.
Files are read as plain tensors: nothing in them is executed. Wu et al. 2024, "pyvene"; Mueller et al. 2025, "MIB".
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

from causalmi.errors import DataError
from causalmi.rng import forked
from causalmi.spec.site import Site

ROUNDED = 0.05  # how far columns kept in half precision may be from orthonormal
SUBSPACE, IDENTITY = "SubspaceFeaturizerModule", "IdentityFeaturizerModule"


def from_pyvene(path: str | Path, place: Site, *, columns: Iterable[int] | None = None) -> Site:
    """The part of ``place`` that a trained pyvene intervention exchanges.

    ``path`` is its ``intkey_*.bin``, or a folder with one. ``columns`` are the rotated coordinates that are meant,
    pyvene's ``subspaces``; without them, all of a low-rank rotation, the first ``interchange_dim`` of a whole one,
    those below the boundary of a boundless one, those whose mask is positive. pyvene's own soft masks agree at
    temperature 0, but for a boundless one's first coordinate, of which it exchanges a half.
    Raises DataError for a file that is none or cannot be said as a place, SiteError for a place that is a part already.
    """
    file = _only(Path(path))
    state = _loaded(file)
    state = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if "mask" in state and "rotate_layer" not in " ".join(state):
        return replace(place, neurons=_chosen(file, _listed(columns) or _positive(state["mask"]), len(state["mask"])))
    rotation = _rotation(file, state, "rotate_layer.")
    wanted = _listed(columns) or _meant(file, state, rotation)
    return place.along(rotation[:, list(_chosen(file, wanted, rotation.shape[1]))].T)


def from_causalab(path: str | Path, place: Site) -> Site:
    """The part of ``place`` that a featurizer of causalab or of the MIB benchmark exchanges.

    ``path`` is what its files ``{path}_featurizer`` and ``{path}_indices`` begin with; without the second, or with
    null in it, all features are meant. Subspaces and single neurons can be said as a place.
    Raises DataError for files that are none or have other features, SiteError for a place that is a part already.
    """
    file, indices = Path(f"{path}_featurizer"), Path(f"{path}_indices")
    found = _loaded(file)
    kind = dict(found.get("model_info", {})).get("featurizer_class")
    which = _indices(indices)
    if kind == IDENTITY:
        return place if which is None else replace(place, neurons=_chosen(indices, which, None))
    if kind != SUBSPACE:
        raise DataError(f"{file} has features of the kind {kind!r}; only subspaces and neurons can be read")
    rotation = _rotation(file, dict(found.get("state_dict", {})), "rotate.")
    every = range(rotation.shape[1])
    return place.along(rotation[:, list(_chosen(indices, every if which is None else which, len(every)))].T)


def _only(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("intkey_*.bin"))
    if len(files) != 1:
        names = ", ".join(f.name for f in files) or "none"
        raise DataError(f"{path} should hold one intkey_*.bin and has {names}; give the path of the file itself")
    return files[0]


def _loaded(file: Path) -> dict[str, Any]:
    """The dictionary in a file that torch wrote, tensors on the CPU; code in it is refused."""
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise DataError(f"{file} is no file of plain tensors that torch wrote ({reason})") from error
    if not isinstance(found, Mapping):
        raise DataError(f"{file} holds a {type(found).__name__}, not a table of tensors")
    return dict(found)


def _rotation(file: Path, state: Mapping[str, Any], prefix: str) -> Tensor:
    """The orthonormal columns, float64 [width, size], of the layer whose state has this prefix."""
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    original = own.get("weight", own.get("parametrizations.weight.original"))
    if not isinstance(original, Tensor) or original.ndim != 2 or original.shape[0] < original.shape[1]:
        raise DataError(f"{file} has no rotation; it has {', '.join(state) or 'nothing'}")
    try:
        weight = original.float() if "weight" in own else _parametrized(own, original)
    except (RuntimeError, KeyError) as error:
        raise DataError(f"{file}: the rotation cannot be computed ({str(error).splitlines()[0]})") from error
    columns = weight.double()
    off = float((columns.T @ columns - torch.eye(columns.shape[1], dtype=torch.float64)).abs().max())
    if not off <= ROUNDED:  # NaN is no rotation either
        raise DataError(f"{file}: the columns of the rotation are off orthonormal by {off:.2g}")
    return columns


def _parametrized(own: Mapping[str, Tensor], original: Tensor) -> Tensor:
    """The weight under torch's orthogonal parametrization, by torch itself."""
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.eye(*original.shape))
    with forked(0, "orthogonal"):  # it draws what the state then replaces
        orthogonal(layer, use_trivialization="parametrizations.weight.0.base" in own)
    layer.load_state_dict({name: value.float() for name, value in own.items()})
    with torch.no_grad():
        return layer.weight.detach().clone()


def _meant(file: Path, state: Mapping[str, Tensor], rotation: Tensor) -> list[int]:
    """Which coordinates the intervention exchanges when it is not told."""
    width, size = rotation.shape
    if "masks" in state:
        return _positive(state["masks"])
    if "intervention_boundaries" in state:
        return list(range(math.ceil(float(state["intervention_boundaries"].clamp(1e-3, 1)) * width)))
    first = int(state.get("interchange_dim", torch.tensor(size))) if size == width else size
    if first >= width:
        raise DataError(f"{file} exchanges all {width} coordinates unless told; give columns=, such as range(4)")
    return list(range(first))


def _positive(mask: Tensor) -> list[int]:
    return torch.nonzero(mask > 0)[:, 0].tolist()


def _listed(columns: Iterable[int] | None) -> list[int]:
    return [] if columns is None else list(columns)


def _indices(file: Path) -> Any:
    try:
        return json.loads(file.read_text()) if file.exists() else None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no list of features: {error}") from error


def _chosen(file: Path, which: Any, size: int | None) -> tuple[int, ...]:
    """The indices of features, which must be there."""
    if not isinstance(which, list | range) or not which or not all(type(i) is int and i >= 0 for i in which):
        raise DataError(f"{file} names the features {which!r}; they must be one or more whole numbers from 0")
    if len(set(which)) < len(which) or (size is not None and max(which) >= size):
        raise DataError(f"{file} names the features {list(which)}, each of 0 to {size and size - 1} once at most")
    return tuple(which)
