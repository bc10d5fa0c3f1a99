"""What does every sender add, on a run in which all edges are kept? One stream, as the network has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.edges.heard import heard
from causalmi.engine.edges.scene import Scene
from causalmi.engine.state import evaluating
from causalmi.spec.site import Site


@dataclass(frozen=True, eq=False)
class Point:
    """Other values than the clean ones: of inputs, heads' z, or MLPs' outputs, by layer; they are constants."""

    start: Float[Tensor, "input b pos d_model"] | None = None
    z: Mapping[int, Float[Tensor, "head b pos d_head"]] = field(default_factory=dict)
    mlp: Mapping[int, Float[Tensor, "b pos d_model"]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the senders add: heads' z [head, b, pos, d_head], MLPs' outputs [b, pos, d_model] or neurons, by layer."""

    z: tuple[Tensor, ...]
    mlp: tuple[Tensor, ...]


class Forward:
    """One such run; of the ``final`` stream ``read`` [b, d_model] is unembedded.

    ``leaves`` are queries, keys, values and MLPs' inputs by layer, then ``read``; ``streams`` and
    ``middles`` what enters blocks and MLPs.
    """

    def __init__(self, scene: Scene, point: Point | None = None) -> None:
        self.scene, self.parts, self.point = scene, scene.parts, point or Point()
        self.leaves, self.streams, self.middles = list[Tensor](), list[Tensor](), list[Tensor]()
        self._z, self._mlp = list[Tensor](), list[Tensor]()
        start = scene.start if self.point.start is None else self.point.start
        stream = start.sum(0).detach().requires_grad_(torch.is_grad_enabled())
        for layer in range(scene.graph.n_layers):
            self.streams.append(stream.detach())
            stream = self._block(layer, stream)
        self.final, self.read = stream.detach(), stream[scene.every, scene.at]
        if point is None:
            scene.agrees([*self.streams, self.final])
        self.leaves.append(self.read)

    @cached_property
    def outputs(self) -> Outputs:
        """What the senders added."""
        return Outputs(tuple(z.detach() for z in self._z), tuple(out.detach() for out in self._mlp))

    def _block(self, layer: int, stream: Tensor) -> Tensor:
        after = stream + self._attention(layer, stream)
        if not self.scene.graph.has_mlp:
            return after
        read = (stream if self.scene.graph.parallel else after).clone()  # a leaf of its own
        self.leaves.append(read)
        self.middles.append(read.detach())
        return after + self._mlp_out(layer, read)

    def _attention(self, layer: int, stream: Tensor) -> Tensor:
        """What attention adds, [b, pos, d_model]."""
        sight, every = self.scene.sights[layer], self.scene.every
        qkv = [self.parts.read(which, layer, stream[None]) for which in "qkv"]
        self.leaves += qkv
        q, k = (self.parts.turn(which, layer, x, sight, every) for which, x in zip("qk", qkv[:2], strict=True))
        group = len(q) // len(k)
        k, v = (x.repeat_interleave(group, dim=0) if group > 1 else x for x in (k, qkv[2]))
        z = _instead(self.parts.attend(layer, (q, k, v), sight, every), self.point.z.get(layer))
        self._z.append(z)
        weight, bias = self.parts.output(layer)
        out = z.permute(1, 2, 0, 3).flatten(2) @ weight.flatten(0, 1)
        return out if bias is None else out + bias

    def _mlp_out(self, layer: int, read: Tensor) -> Tensor:
        if not self.scene.graph.neurons:
            out = _instead(self.parts.mlp(layer, read), self.point.mlp.get(layer))
            self._mlp.append(out)
            return out
        site = Site("mlp_hidden", layer)
        with heard(self.parts.adapter, site, read) as values:
            out = self.parts.mlp(layer, read)
        self._mlp.append(values[site])
        return out


def forward(scene: Scene) -> Forward:
    """The clean run, without gradients."""
    with torch.no_grad(), evaluating(scene.parts.adapter.module):
        return Forward(scene)


def _instead(computed: Tensor, given: Tensor | None) -> Tensor:
    """The constant ``given``, on the way to which gradients are 0 rather than missing."""
    return computed if given is None else given + 0 * computed
