"""Which edges stand out before any derivative? Shares of what is read, sizes of changes, and chance to compare with.

Ferrando & Voita 2024 for information-flow routes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from causalmi.engine.edges.contract import changes
from causalmi.engine.edges.forward import Forward, Outputs
from causalmi.engine.edges.scene import Scene
from causalmi.engine.edges.senders import Neurons, Senders, Whole
from causalmi.methods.circuits.moments import Moments
from causalmi.methods.circuits.problem import Batch, Problem, Progress, silent
from causalmi.methods.circuits.scores import PerExample, Scorer
from causalmi.models.places import matrix
from causalmi.rng import stream

EPSILON = 1e-12  # of the summed proximities: where no sender is near what is read, every share is 0


@dataclass(frozen=True)
class InformationFlow(PerExample):
    """A sender's share of what a receiver reads, on the clean run alone: it ignores the metric and the ablation.

    With y what is read and f the sender's part of it, proximity = max(0, |y|_1 - |f - y|_1); the score is its share
    among the receiver's senders (0 where all are 0), averaged over the real positions (of the edge's class); for the
    logits, that at the position that is read. It orders edges and estimates no effect.
    """

    def examples(self, batch: Batch, problem: Problem) -> Tensor:
        """[b, class, receiver, sender]."""
        scene = batch.net.scene
        parts = [*_added(scene, batch.net.outputs)]
        shares = scene.start.new_zeros(len(scene.at), *problem.graph.shape)
        for rows, y in _read(scene, batch.net.clean):
            reads = problem.graph.reads[rows.start]
            near = torch.cat([_near(part, y) for first, part in parts if first < reads], dim=-1)[..., :reads]
            share = near / (near.sum(-1, keepdim=True) + EPSILON)
            last = rows.stop == len(problem.graph.receivers)
            shares[:, :, rows, :reads] = (_weights(scene, last) @ share)[:, :, None]
        return shares


@dataclass(frozen=True)
class Magnitude(PerExample):
    """|ablated - clean output of the sender|_2, averaged over the real positions (of the edge's class).

    All edges of a sender have one score: neither metric nor receiver matters. It orders edges and estimates no effect.
    """

    def examples(self, batch: Batch, problem: Problem) -> Tensor:
        """[b, class, receiver, sender]."""
        scene = batch.net.scene
        sizes = torch.cat([_size(part) for _, part in changes(scene, batch.net.outputs)], dim=-1)
        scores = _weights(scene, last=False) @ sizes
        return scores[:, :, None].expand(-1, -1, problem.graph.shape[1], -1)


@dataclass(frozen=True)
class RandomScores(Scorer):
    """Uniform numbers in (0, 1) that know nothing of the network, drawn by the search's seed: what chance gives."""

    def moments(self, problem: Problem, progress: Progress = silent) -> Moments:
        """The same for every metric, ablation and batch size."""
        drawn = stream(problem.seed, "random scores of edges").random(problem.graph.shape)
        n = len(problem.pairs)
        return Moments(drawn * problem.graph.exists * n, None, n)


def _added(scene: Scene, clean: Outputs) -> Iterator[tuple[int, Senders]]:
    """What the senders add on the clean run, each part with the number of its first."""
    graph, parts = scene.graph, scene.parts
    yield 0, Whole(scene.start)
    for layer in range(graph.n_layers):
        yield graph.first(layer), Whole(parts.write(layer, clean.z[layer]))
        if graph.neurons:
            down = matrix(parts.blocks[layer].get_submodule(parts.family.mlp_down))
            yield graph.first(layer) + graph.n_heads, Neurons(clean.mlp[layer], down)
        elif graph.has_mlp:
            yield graph.first(layer) + graph.n_heads, Whole(clean.mlp[layer][None])


def _read(scene: Scene, clean: Forward) -> Iterator[tuple[slice, Float[Tensor, "b pos d_model"]]]:
    """The receivers that read alike, and what they read."""
    graph, row = scene.graph, 0
    count = graph.n_heads + 2 * graph.n_kv_heads if graph.split_qkv else graph.n_heads
    for layer, entering in enumerate(clean.streams):
        yield slice(row, row + count), entering
        row += count
        if graph.has_mlp:
            yield slice(row, row + 1), clean.middles[layer]
            row += 1
    yield slice(row, row + 1), clean.final


def _near(part: Senders, y: Float[Tensor, "b pos d_model"]) -> Float[Tensor, "b pos s"]:
    """The proximities, a sender at a time: all at once would take as many numbers as senders have entries."""
    whole = y.abs().sum(-1)
    if isinstance(part, Neurons):
        vectors = (part.change[..., i, None] * row for i, row in enumerate(part.down))
    else:
        assert isinstance(part, Whole)
        vectors = iter(part.change)
    return torch.stack([(whole - (f - y).abs().sum(-1)).clamp(min=0) for f in vectors], dim=-1)


def _size(part: Senders) -> Float[Tensor, "b pos s"]:
    if isinstance(part, Neurons):
        lengths: Tensor = torch.linalg.vector_norm(part.down, dim=-1)
        return part.change.abs() * lengths
    assert isinstance(part, Whole)
    sizes: Tensor = torch.linalg.vector_norm(part.change, dim=-1)
    return sizes.movedim(0, -1)


def _weights(scene: Scene, last: bool) -> Float[Tensor, "b class pos"]:
    """Of each class, what a mean over its real positions takes of each; ``last``: of the position that is read."""
    n, length = scene.start.shape[1:3]
    real = one_hot(scene.at, length) if last else scene.real
    k = scene.graph.shape[0]
    classes = torch.zeros(n, length, dtype=torch.long, device=real.device) if scene.classes is None else scene.classes
    weights = (one_hot(classes, k) * real[..., None]).transpose(1, 2).to(scene.start)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1)
