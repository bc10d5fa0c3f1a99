"""Where in a block does each kind of site pass? One function for each kind, which reads the family's table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from causalmi.models.family import Family
from causalmi.models.shape import Shape
from causalmi.models.tap import Contribution, Direct, Share, Tap

MLP_KINDS = ("resid_mid", "mlp_in", "mlp_hidden", "mlp_out")


@dataclass(frozen=True)
class Block:
    """One block, the table and sizes of its network, and how many examples and positions are passing just now."""

    module: nn.Module
    family: Family
    shape: Shape
    passing: Callable[[], tuple[int, int]]

    def part(self, path: str) -> Any:
        """The submodule at ``path``."""
        return self.module.get_submodule(path)

    @property
    def positions(self) -> bool:
        """Whether the network's positions are those of its inputs."""
        return not self.family.pixels

    def stream(self, module: nn.Module, end: Any, *, flat: bool = False, in_place: bool = False) -> Tap:
        """A place with d_model numbers at each position; ``flat`` if it lies in the MLP."""
        lead = self.passing if flat and self.family.flat else None
        width = self.shape.d_model if self.positions else None
        return Direct(module=module, end=end, width=width, positions=self.positions, in_place=in_place, lead=lead)


def absent(family: Family, shape: Shape) -> dict[str, str]:
    """The kinds of sites that a network of this family does not have, and why."""
    gone: dict[str, str] = {}
    if family.parallel:
        gone["resid_mid"] = (
            "has no stream between attention and MLP, which both read resid_pre; use that, or resid_post"
        )
    if family.parallel and family.one_norm:
        gone["mlp_in"] = (
            "has one norm for attention and MLP, so the MLP alone reads nothing; use resid_pre or mlp_hidden"
        )
    if family.final_norm is None:
        gone["final_norm"] = "has no norm after its last block; use resid_post of the last layer"
    if family.pixels:
        gone["pattern"] = "has attention weights between patches, which cannot be addressed; use z"
    if not shape.has_mlp:
        gone |= dict.fromkeys(MLP_KINDS, "has attention only, no MLP; resid_post and attn_out are there")
    return gone


def _resid_pre(b: Block) -> Tap:
    return b.stream(b.module, "input")


def _resid_post(b: Block) -> Tap:
    return b.stream(b.module, "output")


def _resid_mid(b: Block) -> Tap:
    if b.family.post_norm:
        return b.stream(b.part(b.family.attn_norm), "output")
    # The block keeps this very tensor to add the MLP to, so it is overwritten where the norm first sees it.
    return b.stream(b.part(b.family.mlp_norm), "input", flat=True, in_place=True)


def _attn_out(b: Block) -> Tap:
    return b.stream(b.part(b.family.attn_out), "output")


def _mlp_in(b: Block) -> Tap:
    return b.stream(b.part(b.family.mlp_in or b.family.mlp_norm), "input", flat=True)


def _mlp_out(b: Block) -> Tap:
    return b.stream(b.part(b.family.mlp_out), "output", flat=True)


def _mlp_hidden(b: Block) -> Tap:
    down = b.part(b.family.mlp_down)
    width = int(matrix(down).shape[0]) if b.positions else None
    lead = b.passing if b.family.flat else None
    return Direct(module=down, end="input", width=width, positions=b.positions, lead=lead)


def _z(b: Block) -> Tap:
    return _heads(b, b.family.o, b.shape.n_heads, end="input")


def _head_out(b: Block) -> Tap:
    o, s = b.part(b.family.o), b.shape
    weight, width = matrix(o).unflatten(0, (s.n_heads, s.d_head)), s.d_model if b.positions else None
    return Contribution(module=o, end="output", heads=s.n_heads, width=width, positions=b.positions, weight=weight)


def _projection(b: Block, which: str) -> Tap:
    heads = b.shape.n_heads if which == "q" else b.shape.n_kv_heads
    number, size = "qkv".index(which), heads * b.shape.d_head
    columns: slice | Share | None = None
    if b.family.fused is not None:
        beside = b.family.fused == "side by side"
        columns = slice(number * size, (number + 1) * size) if beside else Share(number, of=3)
    return _heads(b, getattr(b.family, which), heads, end="output", columns=columns)


def _pattern(b: Block) -> Tap:
    assert b.family.pattern is not None
    return opened(b.part(b.family.pattern), b.shape)


def opened(module: nn.Module, shape: Shape) -> Tap:
    """The place of attention weights, [batch, head, query, key], that pass through ``module``."""
    return Direct(module=module, end="output", heads=shape.n_heads, head_first=True, needs_pattern=True)


def _heads(b: Block, path: str, heads: int, *, end: Any, columns: slice | Share | None = None) -> Tap:
    width = b.shape.d_head if b.positions else None
    return Direct(module=b.part(path), end=end, heads=heads, width=width, positions=b.positions, columns=columns)


PLACES: dict[str, Callable[[Block], Tap]] = {
    "resid_pre": _resid_pre,
    "q": lambda b: _projection(b, "q"),
    "k": lambda b: _projection(b, "k"),
    "v": lambda b: _projection(b, "v"),
    "pattern": _pattern,
    "z": _z,
    "head_out": _head_out,
    "attn_out": _attn_out,
    "resid_mid": _resid_mid,
    "mlp_in": _mlp_in,
    "mlp_hidden": _mlp_hidden,
    "mlp_out": _mlp_out,
    "resid_post": _resid_post,
}


def matrix(linear: Any) -> Tensor:
    """The weight as [in, out]; GPT-2's Conv1D keeps it so, nn.Linear keeps the transpose."""
    weight: Tensor = linear.weight.detach()
    return weight.T if isinstance(linear, nn.Linear) else weight
