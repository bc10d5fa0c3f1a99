"""Which edits and reads cannot be had in one run? Two edits of the same numbers, and reads of heads beside an edit."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from causalmi.engine.hooks import Step
from causalmi.engine.joint import joined
from causalmi.errors import SiteError
from causalmi.spec.site import Site

ORTHOGONAL = 1e-6  # the largest cosine between two subspaces that are edited together; float32 directions have as much


def refuse_clashes(writes: Sequence[Step], reads: Sequence[Step]) -> None:
    """Raise SiteError for two edits that share numbers, and for a read of heads' contributions beside an edit."""
    for a, b in combinations(writes, 2):
        if a.where == b.where and _meet(a, b):
            raise SiteError(_clash(a.site, b.site))
    heads = {w.site.layer for w in writes if w.site.kind == "head_out"}
    for step in reads:
        if step.site.kind == "head_out" and step.site.layer in heads:
            raise SiteError(f"{step.site} is read while head_out of its layer is edited; read attn_out, or run twice")


def _clash(a: Site, b: Site) -> str:
    if a.featurizer is not None and b.featurizer is not None:
        return f"{a} and {b} write the same numbers: {_apart(a, b)}"
    if a.basis is None or b.basis is None:
        return f"{a} and {b} write the same numbers; edit them once"
    return (
        f"{a} and {b} write the same numbers: their directions are not orthogonal, the largest cosine between the two "
        f"subspaces is {_cosine(a, b):.2g}; edit once along all the directions"
    )


def _apart(a: Site, b: Site) -> str:
    """Why features cannot be edited together."""
    if a.featurizer != b.featurizer:
        return "features of two featurizers cannot be set together; edit those of one, or run twice"
    if a.chosen is None or b.chosen is None:
        return "one of them is all of the features; edit them once"
    if shared := sorted(set(a.chosen) & set(b.chosen)):
        return f"both set feature {shared[0]}; edit it once"
    return (
        "features are set together where they are at exactly the same positions, heads and neurons; "
        "edit them at the same ones, or at ones that lie apart"
    )


def _meet(a: Step, b: Step) -> bool:
    """Whether two edits at one place share numbers; one that sees the place in another layout may share any."""
    x, y = a.selection, b.selection
    positions = (x.positions, y.positions)
    if positions[0] is not None and positions[1] is not None:
        apart = positions[0][:, :, None] != positions[1][:, None, :]
        if bool(apart.all()):
            return False
    if joined(a, b):
        return False
    if a.layout != b.layout:
        return True
    if x.heads is not None and y.heads is not None and not set(x.heads) & set(y.heads):
        return False
    return _cosine(a.site, b.site) > ORTHOGONAL


def _cosine(a: Site, b: Site) -> float:
    """The largest cosine between what two sites mean of one vector, neurons being directions too; 1 for all of it."""
    x, y = _numbers(a), _numbers(b)
    if x is None or y is None:
        return 1.0
    shared = x.keys() & y.keys()
    parts = [s.basis.columns[[rows[i] for i in shared]] for s, rows in ((a, x), (b, y)) if s.basis is not None]
    if not parts or not shared:
        return float(bool(shared))
    return float(np.linalg.norm(parts[0] if len(parts) == 1 else parts[0].T @ parts[1], 2))


def _numbers(site: Site) -> dict[int, int] | None:
    """Which numbers of the vector a site means, and which row of its directions each is; None for simply all."""
    if site.neurons is None and site.basis is None:
        return None
    numbers = range(site.basis.width) if site.neurons is None and site.basis is not None else site.neurons or ()
    return {number: row for row, number in enumerate(numbers)}
