"""How much do nodes change when ablated, and what is that times a derivative? Senders, queries, keys and values."""

from collections.abc import Callable
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from causalmi.engine.edges.contract import changes
from causalmi.engine.edges.forward import Outputs
from causalmi.engine.edges.senders import Senders
from causalmi.methods.circuits.node_run import NodeRun, Slopes

Products = Callable[[Slopes], Float[Tensor, "b class node"]]


class NodeChanges:
    """The changes (ablated - clean) of all nodes of a batch; of queries, keys and values when all they read is ablated.

    ``fixed`` puts the change of attention in place of that of queries and keys (the QK fix of AtP*).
    """

    def __init__(self, run: NodeRun, clean: Outputs, *, fixed: bool) -> None:
        self.run, self.scene, self.fixed = run, run.scene, fixed
        self.senders = dict(changes(self.scene, clean))
        self.entries = self._entries()

    def inputs(self, slopes: Slopes) -> Float[Tensor, "b class node"]:
        """The products of the inputs' changes."""
        return self._dot(self.senders[0], slopes["entry"])

    def layer(self, layer: int) -> Products:
        """A function from the slopes in a layer to the products of its heads, MLP or neurons, and q, k and v."""
        graph, first = self.scene.graph, self.scene.graph.first(layer)
        inside = self._inside(layer) if graph.split_qkv else None

        def products(slopes: Slopes) -> Tensor:
            found = [self._dot(self.senders[first], slopes["attention"])]
            if graph.has_mlp:
                found.append(self._dot(self.senders[first + graph.n_heads], slopes["mlp"]))
            return torch.cat(found if inside is None else [*found, inside(slopes)], dim=-1)

        return products

    def _dot(self, part: Senders, slope: Tensor) -> Tensor:
        return part.dot(slope[None], self.scene.classes, self.scene.graph.shape[0], part.count)[:, :, 0]

    def _inside(self, layer: int) -> Products:
        block = self.run.blocks[layer]
        clean = {which: block.parts[which].detach() for which in ("q", "k", "v", "pattern")}
        with torch.no_grad():
            x = (block.entry + self.entries[layer])[None]
            ablated = {which: self.scene.parts.read(which, layer, x) for which in "qkv"}
            moved = self._looks(layer, clean, ablated) if self.fixed else None
        change = {which: ablated[which] - clean[which] for which in "qkv"}

        def products(slopes: Slopes) -> Tensor:
            v = self._by_class((change["v"] * slopes["v"]).sum(-1))
            if moved is not None:
                return torch.cat([*self._looked(moved, slopes["pattern"], len(clean["k"])), v], dim=-1)
            q, k = (self._by_class((change[which] * slopes[which]).sum(-1)) for which in "qk")
            return torch.cat([q, k, v], dim=-1)

        return products

    def _looks(self, layer: int, clean: Slopes, ablated: Slopes) -> tuple[Tensor, Tensor]:
        """The change of attention [head, b, query, key] by all queries, and [class, ...] by the keys of each class."""
        queries = self.run.pattern(layer, ablated["q"], clean["k"]) - clean["pattern"]
        which = self._classes.movedim(-1, 0)[:, None, :, :, None].bool()
        keys = [torch.where(w, ablated["k"], clean["k"]) for w in which]
        return queries, torch.stack([self.run.pattern(layer, clean["q"], k) - clean["pattern"] for k in keys])

    def _looked(self, moved: tuple[Tensor, Tensor], slope: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        queries = self._by_class((moved[0] * slope).sum(-1))
        keys = (moved[1] * slope).sum((-1, -2))  # [class, head, b]
        return queries, keys.unflatten(1, (groups, -1)).sum(2).permute(2, 0, 1)

    def _by_class(self, x: Float[Tensor, "node b pos"]) -> Float[Tensor, "b class node"]:
        return torch.einsum("nbp,bpc->bcn", x, self._classes)

    @cached_property
    def _classes(self) -> Float[Tensor, "b pos class"]:
        start = self.scene.start
        if self.scene.classes is None:
            return start.new_ones(*start.shape[1:3], 1)
        return one_hot(self.scene.classes, self.scene.graph.shape[0]).to(start)

    def _entries(self) -> list[Tensor]:
        """How far the stream that enters each block moves when all senders before it are ablated."""
        graph, found = self.scene.graph, list[Tensor]()
        total, layer = torch.zeros_like(self.scene.start[0]), 0
        for first, part in self.senders.items():
            if layer < graph.n_layers and first == graph.first(layer):
                found.append(total)
                layer += 1
            ones = total.new_ones(1, 1, part.count)
            total = total + part.mix(ones, None)[0]
        return found
