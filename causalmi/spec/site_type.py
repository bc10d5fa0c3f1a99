"""What is a place in a network? A typed address: what, which layer, which positions, heads, neurons, directions.

Values at a site have the axes [batch, position, head, width]; an axis that the kind does not have, or that a single
index selects, is absent. A network's own adapter says whether it has the site.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from causalmi.errors import SiteError
from causalmi.spec.basis import Basis
from causalmi.spec.site_checks import (
    bad_basis,
    bad_features,
    bad_indices,
    is_position,
    named,
    show_indices,
    show_position,
)

Position = int | str | Callable[[Any], Any] | tuple[Any, ...] | None

HEAD_KINDS = ("head_out", "z", "q", "k", "v", "pattern")
LAYER_KINDS = (
    "resid_pre", "q", "k", "v", "pattern", "z", "head_out", "attn_out",
    "resid_mid", "mlp_in", "mlp_hidden", "mlp_out", "resid_post",
)  # fmt: skip
KINDS = ("embed", *LAYER_KINDS, "final_norm", "logits", "module")  # in the order in which a network computes them


@dataclass(frozen=True)
class Site:
    """A place in a network; made by the functions of `causalmi.site`, e.g. ``resid_post(3, at="last")``.

    ``at`` selects positions, ``head`` attention heads (for k and v: key-value heads), ``neurons`` entries of the last
    axis, ``basis`` directions through these: the coordinates x R along them are the site's numbers, and the rest of x
    is none of it. ``featurizer`` and the ``chosen`` features of it are the same with features instead of coordinates.
    A single ``at`` or an int ``head`` drops its axis; a tuple keeps it, as does the last axis, whatever its size. None
    means all. Raises SiteError when the fields do not go together.
    """

    kind: str
    layer: int | None = None
    head: int | tuple[int, ...] | None = None
    at: Position = None
    neurons: tuple[int, ...] | None = None
    path: str | None = None
    basis: Basis | None = None
    featurizer: Any = None
    chosen: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if problem := _problem(self):
            raise SiteError(f"{self.kind}: {problem}")

    def __str__(self) -> str:
        args = [str(x) for x in (self.layer,) if x is not None]
        args += [repr(x) for x in (self.path, self.head) if x is not None]
        if self.at is not None:
            args.append(f"at={show_position(self.at)}")
        if self.neurons is not None:
            args.append(f"neurons={show_indices(self.neurons)}")
        shown = f"{self.kind}({', '.join(args)})" + ("" if self.basis is None else f".along({self.basis})")
        if self.featurizer is None:
            return shown
        which = "" if self.chosen is None else f", {show_indices(self.chosen)}"
        return f"{shown}.features({named(self.featurizer)}{which})"

    __repr__ = __str__

    def __getitem__(self, neurons: slice) -> "Site":
        """The same place, only the entries ``start:stop`` of its last axis.

        >>> make("module", path="layer1")[0:3]
        module('layer1', neurons=range(0, 3))
        """
        if not isinstance(neurons, slice) or neurons.stop is None:
            raise SiteError(f"{self}[{neurons}]: give a slice with an end, such as [0:8]")
        if self.projected:
            raise SiteError(f"{self} is a subspace; choose its neurons first, as in place[0:8].along(directions)")
        return replace(self, neurons=tuple(range(neurons.start or 0, neurons.stop, neurons.step or 1)))

    def along(self, directions: Any) -> "Site":
        """The same place, only its coordinates along these directions, [..., dims].

        ``directions`` are one [width] or a row for each [dims, width], which :meth:`Basis.of` makes orthonormal, or a
        `Basis`. They run over the last axis, after ``neurons``; a single one keeps that axis, of size 1. An edit sets
        the coordinates c of x and leaves what is orthogonal to them: x + (c - x R) R^T.
        Raises SiteError for what is no basis, for attention weights, and for a site that has directions already.

        >>> make("module", path="layer1").along([0.0, 2.0]).basis.dims
        1
        """
        if self.projected:
            raise SiteError(
                f"{self} is a subspace already; begin with the whole place, and give all directions at once"
            )
        return replace(self, basis=directions if isinstance(directions, Basis) else Basis.of(directions))

    def features(self, featurizer: Any, which: Any = None) -> "Site":
        """The same place, only its features in the terms of ``featurizer``, or ``which`` of them, [..., features].

        ``featurizer`` writes vectors of ``width`` numbers, the last axis after ``neurons``, as ``size`` features and a
        rest: ``encode(x) -> (features, rest)``, ``decode(features, rest) -> x``. ``which`` is one index or several, in
        the order in which they are read. An edit sets these features of x, and leaves the others and the rest: decode
        (f', rest). A read sees encode(x) of what is there, which need not be what an edit before it has set. Sites are
        equal when their featurizers are; most are when they are the same object. For linear subspaces use
        :meth:`along`. Raises SiteError for what is no featurizer, for features that it does not have, for attention
        weights, and for a site that has directions or features already.
        """
        if self.projected:
            raise SiteError(f"{self} is a subspace already; begin with the whole place, and give all features at once")
        which = which.tolist() if hasattr(which, "tolist") else which
        several = which if isinstance(which, Iterable) else () if which is None else (which,)
        chosen = None if which is None else tuple(i.item() if hasattr(i, "item") else i for i in several)
        return replace(self, featurizer=featurizer, chosen=chosen)

    @property
    def projected(self) -> bool:
        """Whether its numbers are coordinates or features of vectors instead of their entries."""
        return self.basis is not None or self.featurizer is not None


def make(
    kind: str, layer: Any = None, head: Any = None, *, at: Any = None, neurons: Any = None, path: Any = None
) -> Site:
    """The site of these fields, lists and ranges turned into tuples."""
    if isinstance(head, Iterable):
        head = tuple(head)
    if isinstance(neurons, Iterable):
        neurons = tuple(neurons)
    return Site(kind, layer, head, tuple(at) if isinstance(at, list) else at, neurons, path)


def _problem(site: Site) -> str | None:
    if site.kind not in KINDS:
        return f"no such kind of site; there are {', '.join(KINDS)}"
    if (site.kind in LAYER_KINDS) != (site.layer is not None):
        return "needs a layer" if site.layer is None else "has no layers, leave the layer out"
    if (site.kind == "module") != (site.path is not None):
        return "needs the path of a submodule, such as module('encoder.0')"
    if site.head is not None and site.kind not in HEAD_KINDS:
        return f"has no heads; {', '.join(HEAD_KINDS)} have"
    indices = [("layer", (site.layer,)), ("head", _as_tuple(site.head)), ("neurons", site.neurons)]
    for name, values in indices:
        if problem := bad_indices(name, values):
            return problem
    if problem := _bad_terms(site):
        return problem
    return None if is_position(site.at) else (
        f"at={site.at!r} is no position; give an int, 'last', a name of the template such as 'z', 'z:first', 'z:all', "
        "'before:z' or 'after:z', a callable, or a list of these"
    )  # fmt: skip


def _bad_terms(site: Site) -> str | None:
    """What is wrong with the terms in which a site's vectors are written."""
    if site.basis is not None and site.featurizer is not None:
        return "it has both directions and features; give one of them"
    if site.basis is not None:
        return bad_basis(site.kind, site.neurons, site.basis)
    if site.featurizer is not None:
        return bad_features(site.kind, site.neurons, site.featurizer, site.chosen)
    return None if site.chosen is None else "features are chosen of no featurizer; use .features(featurizer, which)"


def _as_tuple(x: Any) -> Any:
    return x if x is None or isinstance(x, tuple) else (x,)
