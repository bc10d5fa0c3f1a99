"""How fast does a loss change with what nodes inside a block give? A clean run, differentiated block by block."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.edges.scene import Scene
from causalmi.engine.state import evaluating
from causalmi.errors import DataError

Slopes = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Block:
    """A block that was entered by ``entry`` and added ``added``, both [b, pos, d_model].

    ``parts``: "q" [head, b, pos, d_head], "k", "v" [group, ...] as projected, "pattern" [head, b, query, key], and what
    attention ("attention") and MLP ("mlp") add.
    """

    entry: Tensor
    added: Tensor
    parts: dict[str, Tensor]

    def back(self, slope: Float[Tensor, "b pos d_model"]) -> Slopes:
        """The derivatives with respect to the parts and "entry", from that with respect to what leaves the block."""
        entry, *rest = torch.autograd.grad(self.added, [self.entry, *self.parts.values()], slope, retain_graph=True)
        return {"entry": slope + entry, **dict(zip(self.parts, rest, strict=True))}


class NodeRun:
    """The clean run of a scene; ``slope`` [b, pos, d_model] is the loss's derivative at what leaves the last block."""

    def __init__(self, scene: Scene, loss: Callable[[Tensor], Tensor]) -> None:
        self.scene, self.blocks = scene, list[Block]()
        with torch.enable_grad(), evaluating(scene.parts.adapter.module):
            stream = scene.start.sum(0)
            for layer in range(scene.graph.n_layers):
                self.blocks.append(self._block(layer, stream.detach().requires_grad_()))
                stream = self.blocks[-1].entry + self.blocks[-1].added
            read = stream.detach()[scene.every, scene.at].requires_grad_()
            (slope,) = torch.autograd.grad(_sloped(loss(scene.parts.tail(read)).sum()), read)
        self.slope = torch.zeros_like(stream.detach()).index_put((scene.every, scene.at), slope)

    def pattern(self, layer: int, q: Tensor, k: Tensor) -> Float[Tensor, "head b query key"]:
        """Where heads look, by queries and keys as projected: what attention gives if a position's value is itself."""
        scene, parts = self.scene, self.scene.parts
        q, k = (parts.turn(which, layer, x, scene.sights[layer], scene.every) for which, x in (("q", q), ("k", k)))
        k = spread(k, len(q))
        itself = torch.eye(q.shape[2], dtype=q.dtype, device=q.device).expand(*q.shape[:2], -1, -1)
        return parts.attend(layer, (q, k, itself), scene.sights[layer], scene.every)

    def _block(self, layer: int, entry: Tensor) -> Block:
        scene, parts = self.scene, self.scene.parts
        q, k, v = (parts.read(which, layer, entry[None]) for which in "qkv")
        pattern = self.pattern(layer, q, k)
        weight, bias = parts.output(layer)
        z = pattern @ spread(v, len(q))
        out = z.permute(1, 2, 0, 3).flatten(2) @ weight.flatten(0, 1)
        attention = out if bias is None else out + bias
        found = {"q": q, "k": k, "v": v, "pattern": pattern, "attention": attention}
        if not scene.graph.has_mlp:
            return Block(entry, attention, found)
        mlp = parts.mlp(layer, entry if scene.graph.parallel else entry + attention)
        return Block(entry, attention + mlp, found | {"mlp": mlp})


def _sloped(value: Tensor) -> Tensor:
    if not value.requires_grad:
        raise DataError("the metric has no derivative, which attribution needs; use 'logit_diff' or ExactPatching()")
    return value


def spread(x: Float[Tensor, "group ..."], heads: int) -> Float[Tensor, "head ..."]:
    """Keys or values of groups, for each head of the group."""
    return x if len(x) == heads else x.repeat_interleave(heads // len(x), dim=0)
