"""Which linear maps read a place? Of some places the network's weights say so, of the others only the user can."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.locate import locate
from causalmi.engine.model import Model
from causalmi.errors import ModelError, SpecError
from causalmi.methods.swap import Swap, widened
from causalmi.models.decoder import DecoderAdapter
from causalmi.models.places import matrix
from causalmi.models.weights import checked, output
from causalmi.spec.hypothesis import Hypothesis
from causalmi.spec.site import Site

Readers = Mapping[Any, Any]
Declared = Mapping[tuple[str, Site], Tensor]


def readers_of(model: Model, site: Site, declared: Tensor | None) -> Float[Tensor, "width k"] | str:
    """The maps x -> x M through which alone the numbers at ``site`` act, side by side; or why they are not known.

    Those ``declared``, else the down projection for an MLP's neurons and a head's slice of the output projection for
    its z. Rows are the numbers that the site's directions run over.
    """
    found = declared if declared is not None else _known(model, site)
    if isinstance(found, str) or site.neurons is None:
        return found
    return found[list(site.neurons)]


def _known(model: Model, site: Site) -> Tensor | str:
    adapter = model.adapter
    if not isinstance(adapter, DecoderAdapter) or site.kind not in ("mlp_hidden", "z"):
        return (
            f"what reads {widened(site)} is not known: only an MLP's neurons and a head's z have one linear reader; "
            "declare all of its readers with readers={variable: matrix [width, k]}"
        )
    assert site.layer is not None
    try:
        if site.kind == "mlp_hidden":
            return matrix(checked(adapter.blocks[site.layer].get_submodule(adapter.family.mlp_down)))
        if not isinstance(site.head, int):
            return f"{site} spans several heads, each with a reader of its own; name one head"
        return output(adapter, site.layer)[0][site.head]
    except ModelError as reason:
        return str(reason)


def declared_by(hypothesis: Hypothesis, readers: Readers | None) -> dict[tuple[str, Site], Tensor]:
    """By variable and site, what ``readers`` says of it; raises SpecError for what does not fit the hypothesis."""
    found: dict[tuple[str, Site], Tensor] = {}
    left = dict(readers or {})
    for variable in hypothesis.variables:
        for site in hypothesis.sites(variable):
            for key in (variable, site, widened(site)):
                if key in left:
                    found[variable, site] = _stacked(key, left[key])
    used = {k for v in hypothesis.variables for s in hypothesis.sites(v) for k in (v, s, widened(s))}
    if unknown := [str(key) for key in left if key not in used]:
        raise SpecError(
            "diagnose_illusion",
            [f"readers names {', '.join(unknown)}; give variables of the hypothesis, or sites of its alignment"],
        )
    return found


def check_widths(swap: Swap, declared: Declared) -> None:
    """Raises SpecError for matrices that do not have a row for each number at their place."""
    places = locate(swap.model.adapter, swap.pairs.base, {widened(site) for _, site in declared})
    for (_, site), readers in declared.items():
        if len(readers) != (width := places[widened(site)].shape[-1]):
            said = f"the readers of {widened(site)} have {len(readers)} rows, the place has {width} numbers"
            raise SpecError("diagnose_illusion", [f"{said}; give a matrix [{width}, k]"])


def _stacked(key: Any, given: Any) -> Tensor:
    """One matrix, or several side by side."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    try:
        matrices = [torch.as_tensor(np.asarray(m) if not isinstance(m, Tensor) else m).detach().cpu() for m in several]
    except (TypeError, ValueError, RuntimeError):
        matrices = []
    sizes = {m.shape[0] for m in matrices if m.ndim == 2}
    fine = matrices and all(m.ndim == 2 and m.is_floating_point() and bool(m.isfinite().all()) for m in matrices)
    if not fine or len(sizes) != 1:
        raise SpecError(
            "diagnose_illusion",
            [f"the readers of {key} are no matrices of finite floats, all [width, k]; x @ matrix is what they read"],
        )
    return torch.cat([m.to(matrices[0].dtype) for m in matrices], dim=1)
