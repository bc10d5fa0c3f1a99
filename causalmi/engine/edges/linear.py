"""How fast does a loss change with what each receiver reads? One forward and one backward pass, no inputs split.

The gradient at the input of a head's queries is that at the queries, through their weights and the norm's derivative.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.edges.forward import Forward, Point
from causalmi.engine.edges.scene import Scene
from causalmi.engine.state import evaluating
from causalmi.errors import DataError
from causalmi.models.norms import Pullback

Loss = Callable[[Tensor], Tensor]


class Slopes:
    """The derivative of sum(loss) with respect to what each receiver reads, at a ``point`` (None: the clean run).

    ``value`` is the loss [b] there, ``outputs`` what the senders add.
    """

    def __init__(self, scene: Scene, loss: Loss, point: Point | None = None) -> None:
        self.scene, self.parts = scene, scene.parts
        if torch.is_inference_mode_enabled():
            raise DataError("gradients are off in torch.inference_mode(); call this outside of it")
        with torch.enable_grad(), evaluating(self.parts.adapter.module):
            done = Forward(scene, point)
            value = loss(self.parts.tail(done.read))
            if not value.requires_grad:
                raise DataError(
                    "the metric has no derivative, which attribution needs; use 'logit_diff', or ExactPatching()"
                )
            found = torch.autograd.grad(value.sum(), done.leaves)
        self.value, self.outputs, self.streams = value.detach(), done.outputs, done.streams
        self._found = [g.detach() for g in found]

    def receivers(self) -> Iterator[tuple[int, Float[Tensor, "r b pos d_model"]]]:
        """For the receivers in their order, all of one input at a time: the number of the first, and their gradients.

        Of the logits only the position that is read counts; elsewhere their gradient is 0.
        """
        graph, at, row = self.scene.graph, 0, 0
        for layer in range(graph.n_layers):
            slopes = self._attention(layer, self._found[at : at + 3])
            yield row, slopes
            at, row = at + 3, row + len(slopes)
            if graph.has_mlp:
                yield row, self._found[at][None]
                at, row = at + 1, row + 1
        whole = torch.zeros_like(self.streams[0]).index_put((self.scene.every, self.scene.at), self._found[at])
        yield row, whole[None]

    def _attention(self, layer: int, slopes: list[Tensor]) -> Float[Tensor, "r b pos d_model"]:
        parts = self.parts
        norm = parts.blocks[layer].get_submodule(parts.family.attn_norm)
        back = Pullback(norm, parts.family.norm, self.streams[layer])
        heads = [len(g) for g in slopes]
        found = slopes[0].new_empty(sum(heads), *self.streams[layer].shape)
        read = found.split(heads)
        for which, g, out in zip("qkv", slopes, read, strict=True):
            back(g, parts.project(which, layer).weight, out)
        return found if self.scene.graph.split_qkv else read[0] + read[1] + read[2]
