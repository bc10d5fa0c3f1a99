"""What is a place in a network? A typed address: what, which layer, which positions, heads, neurons, directions.

Values at a site have the axes [batch, position, head, width]; an axis that the kind does not have, or that a single
index selects, is absent. A network's own adapter says whether it has the site.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from causalmi.errors import SiteError
from causalmi.spec.basis import Basis

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
    is none of it. A single ``at`` or an int ``head`` drops its axis; a tuple keeps it, as does the last axis, whatever
    its size. None means all. Raises SiteError when the fields do not go together.
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
            args.append(f"at={_show_position(self.at)}")
        if self.neurons is not None:
            args.append(f"neurons={_show_indices(self.neurons)}")
        return f"{self.kind}({', '.join(args)})" + ("" if self.basis is None else f".along({self.basis})")

    __repr__ = __str__

    def __getitem__(self, neurons: slice) -> "Site":
        """The same place, only the entries ``start:stop`` of its last axis.

        >>> make("module", path="layer1")[0:3]
        module('layer1', neurons=range(0, 3))
        """
        if not isinstance(neurons, slice) or neurons.stop is None:
            raise SiteError(f"{self}[{neurons}]: give a slice with an end, such as [0:8]")
        if self.basis is not None:
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
        if self.basis is not None:
            raise SiteError(
                f"{self} is a subspace already; begin with the whole place, and give all directions at once"
            )
        return replace(self, basis=directions if isinstance(directions, Basis) else Basis.of(directions))


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
        if problem := _bad_indices(name, values):
            return problem
    if site.basis is not None and (problem := _bad_basis(site)):
        return problem
    return None if _is_position(site.at) else (
        f"at={site.at!r} is no position; give an int, 'last', a name of the template such as 'z', 'z:first', 'z:all', "
        "'before:z' or 'after:z', a callable, or a list of these"
    )  # fmt: skip


def _bad_basis(site: Site) -> str | None:
    if not isinstance(site.basis, Basis):
        return f"its basis is a {type(site.basis).__name__}; use .along(directions)"
    if site.kind == "pattern":
        return "attention weights are no vector with directions; take .along of z or head_out"
    if site.neurons is not None and len(site.neurons) != site.basis.width:
        return f"its directions have {site.basis.width} numbers, and {len(site.neurons)} neurons are chosen"
    return None


def _bad_indices(name: str, values: Sequence[Any] | None) -> str | None:
    if values is None or values == (None,):
        return None
    if not isinstance(values, tuple) or not values or not all(type(x) is int and x >= 0 for x in values):
        return f"{name} is {values!r}, it must be one or more whole numbers from 0"
    return f"{name} names the same index twice: {values}" if len(set(values)) < len(values) else None


def _is_position(at: Any) -> bool:
    if isinstance(at, tuple):
        return bool(at) and all(_is_position(p) and p is not None for p in at)
    return at is None or type(at) is int or (isinstance(at, str) and bool(at)) or callable(at)


def _as_tuple(x: Any) -> Any:
    return x if x is None or isinstance(x, tuple) else (x,)


def _show_position(at: Any) -> str:
    if isinstance(at, tuple):
        return "[" + ", ".join(map(_show_position, at)) + "]"
    return getattr(at, "__name__", repr(at)) if callable(at) else repr(at)


def _show_indices(indices: tuple[int, ...]) -> str:
    span = range(indices[0], indices[-1] + 1)
    return repr(span) if len(indices) > 1 and indices == tuple(span) else repr(list(indices))
