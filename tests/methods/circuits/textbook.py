"""A transformer as a textbook writes it: every head by itself, every receiver with its own sum over senders. Slow and plain."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor, nn

from causalmi.spec.graph import Graph

Read = Callable[[str, list[Tensor], Tensor], Tensor]  # receiver, what senders before it add, biases -> what it reads
Touch = Callable[[str, Tensor], Tensor]  # name of what a node gives, its value -> the value that goes on


@dataclass
class Layer:
    """W[h] [d, d_head] and b[h] of queries, keys and values; W_O[h] [d_head, d]."""

    norm1: nn.Module
    qkv: dict[str, list[tuple[Tensor, Tensor]]]
    o: list[Tensor]
    o_bias: Tensor
    norm2: nn.Module
    hidden: Callable[[Tensor], Tensor]  # the neurons, of what norm2 gives
    down: Tensor  # [neurons, d]
    down_bias: Tensor


@dataclass
class Book:
    """The network; ``turn`` is its rotary embedding of [b, pos, d_head]."""

    layers: list[Layer]
    embeds: Callable[[Tensor], list[Tensor]]  # token and position embeddings
    tail: Callable[[Tensor], Tensor]
    turn: Callable[[Tensor], Tensor]
    parallel: bool = False
    causal: bool = True

    def run(self, tokens: Tensor, graph: Graph, read: Read | None = None, touch: Touch = lambda name, x: x) -> Tensor:
        """Logits [b, d_out] at the last position."""
        read = read or (lambda name, outs, bias: sum(outs) + bias)
        inputs = self.embeds(tokens)
        inputs = inputs if len(graph.inputs) > 1 else [sum(inputs)]
        outs = [touch(name, x) for name, x in zip(graph.inputs, inputs, strict=True)]
        bias = torch.zeros_like(outs[0])
        for number, layer in enumerate(self.layers):
            heads = self.heads(number, layer, graph, partial(_late, read, outs, bias), touch)
            known, biases = (outs, bias) if self.parallel else (outs + heads, bias + layer.o_bias)
            mlp = self.mlp(number, layer, graph, read(f"m{number}", known, biases), touch)
            outs, bias = outs + heads + mlp, bias + layer.o_bias + (layer.down_bias if graph.neurons else 0)
        return self.tail(read("logits", outs, bias)[:, -1])

    def heads(
        self, number: int, layer: Layer, graph: Graph, read: Callable[[str], Tensor], touch: Touch
    ) -> list[Tensor]:
        qkv, once = {}, cache(read)
        for which in "qkv":
            for h, (w, b) in enumerate(layer.qkv[which]):
                kind = "h" if len(layer.qkv[which]) == graph.n_heads else "g"
                name = f"a{number}.{kind}{h}<{which}>"
                x = layer.norm1(once(name if graph.split_qkv else f"a{number}.h{h}"))
                qkv[which, h] = touch(name, x @ w + b)
        found = []
        for h, w in enumerate(layer.o):
            g = h * len(layer.qkv["k"]) // len(layer.o)
            pattern = touch(f"a{number}.h{h} pattern", self.pattern(qkv["q", h], qkv["k", g]))
            found.append(touch(f"a{number}.h{h}", pattern @ qkv["v", g] @ w))
        return found

    def pattern(self, q: Tensor, k: Tensor) -> Tensor:
        scores = self.turn(q) @ self.turn(k).transpose(1, 2) / q.shape[-1] ** 0.5
        future = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).triu(1)
        return (scores.masked_fill(future, -torch.inf) if self.causal else scores).softmax(-1)

    def mlp(self, number: int, layer: Layer, graph: Graph, x: Tensor, touch: Touch) -> list[Tensor]:
        hidden = layer.hidden(layer.norm2(x))
        if not graph.neurons:
            return [touch(f"m{number}", hidden @ layer.down + layer.down_bias)]
        return [touch(f"m{number}.n{i}", hidden[..., i, None] * row) for i, row in enumerate(layer.down)]


def _late(read: Read, outs: list[Tensor], bias: Tensor, name: str) -> Tensor:
    return read(name, outs, bias)


def masked(graph: Graph, keep: np.ndarray, ablated: dict[str, Tensor], classes: Tensor) -> Read:
    """Each receiver reads, of each sender, keep times what it adds now and 1 - keep times its ablated value."""

    def read(name: str, outs: list[Tensor], bias: Tensor) -> Tensor:
        row, x = graph.receivers.index(name), bias
        for column, out in enumerate(outs):
            share = torch.as_tensor(keep[:, row, column], dtype=out.dtype)[classes][..., None]
            x = x + share * out + (1 - share) * ablated[graph.senders[column]]
        return x

    return read
