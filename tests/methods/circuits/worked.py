"""Scores of edges and nodes worked out on the textbook's network, one derivative for each receiver's own copy of its input."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

import causalmi as cm
from causalmi.spec.graph import Graph
from tests import family_networks as families
from tests.methods.circuits import books
from tests.methods.circuits.textbook import Book, masked
from tests.networks import exact_norms, reference

ANSWER, FOIL = 1, 2
MAKE: dict[str, tuple[Callable[[], Any], Callable[[Any], Book]]] = {
    "reference": (lambda: families.perturbed(reference(n_layers=2)), books.reference),
    "gpt2": (lambda: families.gpt2(n_layer=2), books.gpt2),
    "llama": (lambda: exact_norms(families.llama(num_hidden_layers=2)), books.llama),
    "neox": (lambda: families.gpt_neox(num_hidden_layers=2), books.neox),
}


@cache
def network(name: str) -> tuple[cm.Model, Book]:
    make, book = MAKE[name]
    net = make()
    return cm.load_model(net), book(net.requires_grad_(False))


def pairs(n: int = 3, length: int = 4) -> cm.CounterfactualPairs:
    draw = torch.Generator().manual_seed(0)
    base, source = torch.randint(0, 10, (2, n, length), generator=draw)
    return cm.CounterfactualPairs.from_tokens(base, source, answer=ANSWER, foil=FOIL)


def loss(logits: Tensor) -> Tensor:
    return logits[:, FOIL] - logits[:, ANSWER]


@dataclass
class Worked:
    """The senders of ``base`` and what they are when ablated, by name; ``classes`` [b, pos]."""

    book: Book
    graph: Graph
    base: Tensor
    ablated: dict[str, Tensor]
    classes: Tensor

    def senders(self, tokens: Tensor) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}
        self.book.run(tokens, self.graph, touch=lambda name, x: seen.setdefault(name, x))
        return {name: seen[name] for name in self.graph.senders}

    def losses(self, keep: Any) -> Tensor:
        return loss(
            self.book.run(self.base, self.graph, masked(self.graph, np.asarray(keep), self.ablated, self.classes))
        )

    def slopes(self, fixed: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The derivative at each receiver's own copy, where some senders have given values."""
        fixed, copies = fixed or {}, dict[str, Tensor]()

        def read(name: str, outs: list[Tensor], bias: Tensor) -> Tensor:
            copies[name] = (sum(outs) + bias) * 1
            return copies[name]

        def touch(name: str, x: Tensor) -> Tensor:
            return fixed.get(name, x).clone().requires_grad_() if name in self.graph.inputs else fixed.get(name, x)

        value = loss(self.book.run(self.base, self.graph, read, touch)).sum()
        found = torch.autograd.grad(value, list(copies.values()), allow_unused=True)
        return {name: torch.zeros_like(self.ablated["m0" if "m0" in self.ablated else "m0.n0"]) if g is None else g
                for name, g in zip(copies, found, strict=True)}  # fmt: skip

    def products(self, slopes: dict[str, Tensor]) -> Tensor:
        """(ablated - clean) times the slope, for every edge: [b, class, receiver, sender]."""
        clean, graph = self.senders(self.base), self.graph
        found = torch.zeros(len(self.base), *graph.shape, dtype=torch.float64)
        for p, r, s in zip(*np.nonzero(graph.exists), strict=True):
            name = graph.senders[s]
            each = ((self.ablated[name] - clean[name]) * slopes[graph.receivers[r]]).sum(-1)
            found[:, p, r, s] = (each * (self.classes == p)).sum(-1)
        return found


def _zero(book: Book, sender: str, clean: Tensor) -> Tensor:
    """Nothing, but for the bias of a whole MLP, which Zero() keeps."""
    bias = book.layers[int(sender[1:])].down_bias if sender.startswith("m") and "." not in sender else torch.zeros(())
    return bias.expand_as(clean)


def worked(name: str, ablation: str = "paired", **how: Any) -> tuple[Worked, Any]:
    """What is worked out by hand, and the same problem as the library has it."""
    from causalmi.methods.circuits.problem import Problem
    from causalmi.models.graph import graph_of

    model, book = network(name)
    positions = how.pop("positions", ())
    direction = how.pop("direction", "ablate")
    graph = graph_of(
        model.adapter,
        positions=positions,
        **{k: how.pop(k) for k in [*how] if k in ("neurons", "split_qkv", "split_embeddings")},
    )
    given = pairs()
    base, source = given.base.values, given.source.values
    if direction == "restore":
        base, source = source, base
    classes = torch.zeros_like(base)
    if positions:
        assert positions == ("1", "rest")
        classes = torch.ones_like(base)
        classes[:, 1] = 0
    hand = Worked(book, graph, base, {}, classes)
    clean, other = hand.senders(base), hand.senders(source)
    rules = {
        "paired": lambda s: other[s],
        "zero": lambda s: _zero(book, s, clean[s]),
        "mean": lambda s: clean[s].mean((0, 1), keepdim=True).expand_as(clean[s]),
        "positional": lambda s: clean[s].mean(0, keepdim=True).expand_as(clean[s]),
    }
    hand.ablated = {s: rules[ablation](s) for s in graph.senders}
    kinds = {"paired": None, "zero": cm.Zero(), "mean": cm.Mean(), "positional": cm.MeanPositional()}
    problem = Problem.of(
        model, given, metric="logit_diff", ablation=kinds[ablation], graph=graph, direction=direction, **how
    )
    return hand, problem
