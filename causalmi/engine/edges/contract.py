"""How much would ablating each edge change the loss, to first order? Products of changes and gradients, per example."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.edges.forward import Outputs
from causalmi.engine.edges.scene import Scene
from causalmi.engine.edges.senders import Classes, Neurons, Senders, Whole
from causalmi.models.places import matrix
from causalmi.spec.graph import Graph
from causalmi.spec.site import Site

TOGETHER = 2**22  # numbers of a block of senders: larger ones do not fit into what a backward pass has just given back


def changes(scene: Scene, clean: Outputs) -> Iterator[tuple[int, Senders]]:
    """What ablating the senders adds, (ablated - clean), some at a time, each with the number of the first.

    Heads are kept as z and expanded here, a layer at a time.
    """
    graph, parts = scene.graph, scene.parts
    yield 0, Whole(scene.start_replaced() - scene.start)
    for layer in range(graph.n_layers):
        first = graph.first(layer)
        z = scene.replaced[Site("z", layer)].permute(2, 0, 1, 3) - clean.z[layer]
        yield first, Whole(parts.write(layer, z))
        if graph.neurons:
            down = matrix(parts.blocks[layer].get_submodule(parts.family.mlp_down))
            yield first + graph.n_heads, Neurons(scene.replaced[Site("mlp_hidden", layer)] - clean.mlp[layer], down)
        elif graph.has_mlp:
            yield first + graph.n_heads, Whole((scene.replaced[Site("mlp_out", layer)] - clean.mlp[layer])[None])


@dataclass(frozen=True, eq=False)
class Flat:
    """Senders with a vector each, all their positions side by side."""

    change: Float[Tensor, "b s posd"]

    @property
    def count(self) -> int:
        """How many senders."""
        return int(self.change.shape[1])

    def dot(self, slopes: Float[Tensor, "r b pos d_model"], classes: Classes, k: int, n: int) -> Tensor:
        """A matrix product for each example, over positions and entries, with the first ``n`` senders."""
        product: Tensor = slopes.transpose(0, 1).flatten(2) @ self.change[:, :n].transpose(1, 2)
        return product[:, None]


class Contraction:
    """Products of what ablating ``senders`` adds, each part with the number of its first, with gradients at receivers.

    Senders are expanded once and kept, for there are fewer of them than receivers, [b, sender, pos d_model]; receivers
    pass by, some at a time.
    """

    def __init__(self, scene: Scene, senders: Iterable[tuple[int, Senders]]) -> None:
        self.scene, self.parts = scene, _joined(senders, scene)

    def __call__(self, receivers: Iterable[tuple[int, Tensor]]) -> Tensor:
        """Scores [b, class, receiver, sender] = sum over positions and entries of change(sender) slope(receiver).

        Receivers' gradients [r, b, pos, d_model] come with the number of the first; edges that do not exist have 0.
        """
        graph, scene = self.scene.graph, self.scene
        scores = scene.start.new_zeros(len(scene.at), *graph.shape)
        for row, slopes in receivers:
            for first, part in self.parts:
                reads = min(graph.reads[row] - first, part.count)
                if reads > 0:
                    product = part.dot(slopes, scene.classes, graph.shape[0], reads)
                    scores[:, :, row : row + len(slopes), first : first + reads] = product
        return scores


def _joined(senders: Iterable[tuple[int, Senders]], scene: Scene) -> list[tuple[int, Senders | Flat]]:
    """Neighbours with a vector each as one part, laid out for products, each written into its place at once."""
    parts, room, begun, end = list[tuple[int, Senders | Flat]](), torch.empty(0), 0, 0
    for first, part in senders:
        if scene.classes is not None or not isinstance(part, Whole):
            parts.append((first, part))
            continue
        follows = first == end and bool(parts) and isinstance(parts[-1][1], Flat)
        if not follows or first - begun + part.count > room.shape[1]:
            b, pos, width = part.change.shape[1:]
            size = max(part.count, min(_together(scene.graph, first), TOGETHER // part.change[0].numel()))
            room, begun = part.change.new_empty(b, size, pos, width), first
        end = first + part.count
        room[:, first - begun : end - begun] = part.change.transpose(0, 1)
        joined = (begun, Flat(room[:, : end - begun].flatten(2)))
        parts = [*parts[: -1 if begun < first else None], joined]
    return parts


def _together(graph: Graph, first: int) -> int:
    """How many senders with a vector each there are from ``first`` on, up to one layer's neurons."""
    return graph.n_heads + len(graph.inputs) if graph.neurons else len(graph.senders) - first
