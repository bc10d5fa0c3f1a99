"""What enters the logits when receivers do not read some senders as they are? One run, layer by layer.

Nodes from which no kept edge leads to the logits are not computed: nobody reads what they would add.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.edges.heard import heard
from causalmi.engine.edges.scene import Scene
from causalmi.engine.edges.senders import Neurons, Senders, Whole
from causalmi.models.places import matrix
from causalmi.spec.site import Site
from causalmi.spec.wiring import Head, Wiring


class Walk:
    """One run under ``removed`` [class, receiver, sender], shares of each sender that are ablated where it is read.

    The ``stream`` [b, pos, d_model] is that of nodes that read what they are told; ``senders`` are those so far.
    """

    def __init__(self, scene: Scene, removed: Tensor) -> None:
        self.scene, self.parts, self.graph, self.removed = scene, scene.parts, scene.graph, removed
        self.wiring, start = Wiring(scene.graph), scene.start
        self.stream = start.sum(0) if len(start) > 1 else start[0]
        self.senders: list[Senders] = [Whole(scene.start_replaced() - start)]

    def through(self) -> Float[Tensor, "b d_model"]:
        """The stream that is unembedded."""
        for layer in range(self.graph.n_layers):
            self._block(layer)
        last = [len(self.graph.receivers) - 1]
        return self._reads(last, self.stream, self.senders, at=self.scene.at)[0, :, 0]

    def _block(self, layer: int) -> None:
        heads = self._heads(layer)
        bias = self.parts.output(layer)[1]
        after = self.stream + heads.sum(0) + (0 if bias is None else bias)
        changed: list[Senders] = [Whole(self.scene.heads_replaced(layer) - heads)]
        if self.graph.has_mlp:
            before, known = (self.stream, self.senders) if self.graph.parallel else (after, self.senders + changed)
            mlp, change = self._mlp(layer, before, known)
            after, changed = after + mlp, [*changed, change]
        self.stream, self.senders = after, self.senders + changed

    def _heads(self, layer: int) -> Float[Tensor, "head b pos d_model"]:
        """What the heads add; those that nobody reads what they add when ablated."""
        heads = [head for head in self.wiring.heads[layer] if self._live[head.sender]]
        if not heads:
            return self.scene.heads_replaced(layer)
        some = [head.index for head in heads]
        added = self.parts.write(layer, self._z(layer, heads), some)
        if len(some) == self.graph.n_heads:
            return added
        return self.scene.heads_replaced(layer).index_copy(0, torch.tensor(some, device=added.device), added)

    def _z(self, layer: int, heads: Sequence[Head]) -> Float[Tensor, "head b pos d_head"]:
        sight, every = self.scene.sights[layer], self.scene.every
        group, slots = self.graph.n_heads // self.graph.n_kv_heads, []
        for which in "qkv":
            size = 1 if which == "q" else group
            wanted = {head.index // size: getattr(head, which) for head in heads}
            x = self._reads([*wanted.values()], self.stream, self.senders)
            y = self.parts.read(which, layer, x, [*wanted])
            y = y if which == "v" else self.parts.turn(which, layer, y, sight, every)
            order = {index: i for i, index in enumerate(wanted)}
            slots.append(y if size == 1 else y[[order[head.index // size] for head in heads]])
        return self.parts.attend(layer, (slots[0], slots[1], slots[2]), sight, every)

    def _mlp(self, layer: int, stream: Tensor, senders: list[Senders]) -> tuple[Tensor, Senders]:
        mlp = self.wiring.mlps[layer]
        if not self.graph.neurons:
            replaced = self.scene.replaced[Site("mlp_out", layer)]
            if not self._live[mlp.senders[0]]:
                return replaced, Whole(torch.zeros_like(replaced)[None])
            out = self.parts.mlp(layer, self._reads([mlp.receiver], stream, senders)[0])
            return out, Whole((replaced - out)[None])
        site, x = Site("mlp_hidden", layer), self._reads([mlp.receiver], stream, senders)[0]
        with heard(self.parts.adapter, site, x) as values:
            out = self.parts.mlp(layer, x)
        down = matrix(self.parts.blocks[layer].get_submodule(self.parts.family.mlp_down))
        return out, Neurons(self.scene.replaced[site] - values[site], down)

    def _reads(self, rows: list[int], stream: Tensor, senders: list[Senders], at: Tensor | None = None) -> Tensor:
        """What the receivers ``rows`` read, [row, b, pos, d_model]; [1, ...] where all read the stream as it is."""
        removed, classes = self.removed[:, rows], self.scene.classes
        if at is not None:
            every = self.scene.every
            stream, senders = stream[every, at][:, None], [each.at(every, at) for each in senders]
            classes = None if classes is None else classes[every, at][:, None]
        x, first = stream[None], 0
        for each in senders:
            weight = removed[..., first : first + each.count]
            first += each.count
            if weight.requires_grad or bool(weight.any()):
                x = x + each.mix(weight, classes)
        return x

    @cached_property
    def _live(self) -> list[bool]:
        """Of each sender whether a kept edge leads from it towards the logits."""
        if self.removed.requires_grad:
            return [True] * len(self.graph.senders)
        kept = (self.removed < 1).cpu().numpy().any(0) & self.graph.exists[0]
        live = kept[-1].copy()
        for receiver in range(len(kept) - 2, -1, -1):
            if live[list(self.wiring.nodes[receiver])].any():
                live |= kept[receiver]
        found: list[bool] = np.asarray(live).tolist()
        return found
