"""How is an alignment kept? Sites as plain fields in JSON, and directions as exact numbers beside them, no code.

A folder holds ``alignment.json`` with each variable's sites and ``alignment.safetensors`` with the float64 columns of
their bases; the first names the second by its hash, so that files of two alignments are never read as one.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from causalmi.errors import DataError, SiteError
from causalmi.spec.basis import Basis
from causalmi.spec.files import write, write_bytes
from causalmi.spec.hypothesis import Hypothesis
from causalmi.spec.site_type import Site

VERSION = 1
TABLE, NUMBERS = "alignment.json", "alignment.safetensors"
PLAIN = ("kind", "layer", "head", "at", "neurons", "path")

SAVED = ("SparseAutoencoder", "PCA", "StandardisedPCA")  # featurizers that are numbers and options alone

Arrays = dict[str, NDArray[Any]]
Makers = Mapping[str, Callable[..., Any]]


def save_alignment(claim: Hypothesis | Mapping[str, Site | Sequence[Site]], folder: str | Path) -> None:
    """Write which sites carry which variable, of a hypothesis or a mapping, into ``folder``, made where it is missing.

    Directions are written exactly, as float64, and so are sparse autoencoders and principal components, each once.
    Raises SiteError, before anything is written, for a position that is a function and for features of any other
    featurizer: neither is plain data. An alignment in the folder is replaced.
    """
    alignment = claim.alignment if isinstance(claim, Hypothesis) else claim
    arrays, terms = Arrays(), dict[int, Any]()
    table = {v: [_written(s, f"{v} {i}", arrays, terms) for i, s in enumerate(_sites(x))] for v, x in alignment.items()}
    featurizers = [_numbers(f"featurizer {i}", x, arrays) for i, x in enumerate(terms.values())]
    content, path = save(arrays), Path(folder)
    head = {"version": VERSION, "numbers": hashlib.sha256(content).hexdigest(), "alignment": table}
    head |= {"featurizers": featurizers} if featurizers else {}
    path.mkdir(parents=True, exist_ok=True)
    write_bytes(path / NUMBERS, content)
    write(path / TABLE, json.dumps(head, indent=1))


def read_alignment(folder: str | Path, makers: Makers) -> dict[str, tuple[Site, ...]]:
    """The sites in ``folder``; ``makers`` make featurizers of options and arrays. See :func:`load_alignment`."""
    path = Path(folder)
    try:
        table, content = json.loads((path / TABLE).read_bytes()), (path / NUMBERS).read_bytes()
        if table["version"] != VERSION:
            raise ValueError(f"it is of version {table['version']!r}, and this package reads {VERSION}")
        if table["numbers"] != hashlib.sha256(content).hexdigest():
            raise ValueError(f"{NUMBERS} is not the file that {TABLE} was written with")
        arrays = load(content)
        terms = [_made(f"featurizer {i}", x, arrays, makers) for i, x in enumerate(table.get("featurizers", []))]
        found = {_name(v): tuple(_read(one, arrays, terms) for one in sites) for v, sites in table["alignment"].items()}
        if not found or not all(found.values()):
            raise ValueError("a variable has no site" if found else "it has no variable")
    except OSError as error:
        raise DataError(f"{path} holds no alignment: {error.strerror}; give a folder of save_alignment") from error
    except (SafetensorError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise DataError(f"the alignment in {path} cannot be read ({type(error).__name__}: {error})") from error
    return found


def _sites(given: Site | Sequence[Site]) -> Sequence[Site]:
    return (given,) if isinstance(given, Site) else given


def _written(site: Site, name: str, arrays: Arrays, terms: dict[int, Any]) -> dict[str, Any]:
    """The fields of a site that are not None; its directions go into ``arrays`` as ``name``, a featurizer to others."""
    kind = type(site.featurizer)
    if site.featurizer is not None and not (kind.__name__ in SAVED and kind.__module__.startswith("causalmi.")):
        raise SiteError(f"{site} is in terms of a {kind.__name__}, which is code and cannot be saved")
    if _computed(site.at):
        raise SiteError(f"{site} has a function as its position, which cannot be saved; give indices or a name")
    found = {key: getattr(site, key) for key in PLAIN if getattr(site, key) is not None}
    if site.basis is not None:
        arrays[name] = site.basis.columns
        found["basis"] = name
    if site.featurizer is not None:
        terms.setdefault(id(site.featurizer), site.featurizer)
        found |= {"featurizer": list(terms).index(id(site.featurizer)), "chosen": site.chosen}
    return found


def _numbers(name: str, featurizer: Any, arrays: Arrays) -> dict[str, Any]:
    """A featurizer's kind and options; its tensors go into ``arrays``."""
    own = {f.name: getattr(featurizer, f.name) for f in fields(featurizer) if f.init}
    tensors = {key: value for key, value in own.items() if hasattr(value, "detach")}
    arrays |= {f"{name} {key}": np.ascontiguousarray(value.detach().cpu().numpy()) for key, value in tensors.items()}
    return {
        "kind": type(featurizer).__name__,
        "options": {key: value for key, value in own.items() if key not in tensors and value is not None},
        "tensors": list(tensors),
    }


def _made(name: str, told: dict[str, Any], arrays: Arrays, makers: Makers) -> Any:
    tensors = {str(key): arrays[f"{name} {key}"] for key in told["tensors"]}
    return makers[told["kind"]](**told["options"], **tensors)


def _read(told: dict[str, Any], arrays: Arrays, terms: list[Any]) -> Site:
    """The site of these fields; Site itself says what they must be."""
    if unknown := set(told) - {*PLAIN, "basis", "featurizer", "chosen"}:
        raise ValueError(f"a site has {', '.join(sorted(unknown))}")
    plain = {key: _tuple(value) for key, value in told.items() if key not in ("basis", "featurizer")}
    basis = Basis(arrays[told["basis"]]) if "basis" in told else None
    featurizer = terms[told["featurizer"]] if "featurizer" in told else None
    if "path" in plain and not isinstance(plain["path"], str):
        raise ValueError(f"path is {plain['path']!r}")
    return Site(**plain, basis=basis, featurizer=featurizer)


def _name(variable: Any) -> str:
    if not variable:
        raise ValueError("a variable has no name")
    return str(variable)


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


def _computed(at: Any) -> bool:
    return any(map(_computed, at)) if isinstance(at, tuple) else callable(at)
