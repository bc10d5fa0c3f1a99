"""Which receivers feed which senders? The nodes of a graph: what a head or an MLP reads, and what it adds."""

from dataclasses import dataclass
from functools import cached_property

from causalmi.spec.graph import Graph


@dataclass(frozen=True)
class Head:
    """A head: the number of its sender, and of the receivers of its queries, keys and values."""

    layer: int
    index: int
    sender: int
    q: int
    k: int
    v: int


@dataclass(frozen=True)
class MLP:
    """An MLP: its layer, the numbers of its senders (its neurons, or the one), and of its receiver."""

    layer: int
    senders: range
    receiver: int


@dataclass(frozen=True)
class Wiring:
    """The nodes of ``graph``, by layer, with the numbers of their senders and receivers in its arrays.

    >>> Wiring(Graph(n_layers=1, n_heads=2, n_kv_heads=1)).heads[0][1]
    Head(layer=0, index=1, sender=2, q=1, k=2, v=3)
    """

    graph: Graph

    @cached_property
    def heads(self) -> tuple[tuple[Head, ...], ...]:
        """Each layer's heads."""
        return tuple(self._heads(layer) for layer in range(self.graph.n_layers))

    @cached_property
    def mlps(self) -> tuple[MLP, ...]:
        """Each layer's MLP; none where there are none."""
        g = self.graph
        if not g.has_mlp:
            return ()
        return tuple(
            MLP(
                layer,
                range(g.first(layer) + g.n_heads, g.first(layer) + g.n_heads + g.mlp_senders),
                (layer + 1) * self.inputs_a_layer - 1,
            )
            for layer in range(g.n_layers)
        )

    @cached_property
    def inputs_a_layer(self) -> int:
        """How many receivers a layer has."""
        return (len(self.graph.receivers) - 1) // self.graph.n_layers

    @cached_property
    def nodes(self) -> dict[int, tuple[int, ...]]:
        """For each receiver but the logits the senders that compute from it."""
        found = dict[int, list[int]]()
        for layer in self.heads:
            for head in layer:
                for receiver in {head.q, head.k, head.v}:
                    found.setdefault(receiver, []).append(head.sender)
        return {r: tuple(s) for r, s in found.items()} | {m.receiver: tuple(m.senders) for m in self.mlps}

    def _heads(self, layer: int) -> tuple[Head, ...]:
        g, first = self.graph, layer * self.inputs_a_layer
        group = g.n_heads // g.n_kv_heads
        made = []
        for h in range(g.n_heads):
            q = first + h
            k = first + g.n_heads + h // group if g.split_qkv else q
            v = k + g.n_kv_heads if g.split_qkv else q
            made.append(Head(layer, h, g.first(layer) + h, q, k, v))
        return tuple(made)
