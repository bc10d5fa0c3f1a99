"""In which order does a search visit edges? A total order, the same in every process: results depend on it."""

from typing import TypeAlias

from causalmi.rng import stream
from causalmi.spec.graph import Graph
from causalmi.spec.wiring import Wiring

Walk: TypeAlias = list[tuple[int, list[tuple[int, int]]]]  # (receiver, [(class, sender), ...])


def order_of(graph: Graph, senders: str, heads: str, seed: int) -> Walk:
    """Every receiver from the logits to the first layer, with the edges into it in the order of their visit.

    ``senders`` is "latest", "earliest" or "random", ``heads`` "high", "low" or "random"; of one sender the last class
    of positions comes first.
    """
    wiring, classes = Wiring(graph), range(graph.shape[0] - 1, -1, -1)
    receivers = [len(graph.receivers) - 1]
    for layer in range(graph.n_layers - 1, -1, -1):
        receivers += [wiring.mlps[layer].receiver] if wiring.mlps else []
        receivers += _attention(wiring, layer, heads, seed)
    return [(r, [(p, s) for s in _senders(graph, r, senders, seed) for p in classes]) for r in receivers]


def _attention(wiring: Wiring, layer: int, heads: str, seed: int) -> list[int]:
    """The receivers of values, keys, then queries."""
    found: list[int] = []
    for slot in "vkq":
        some = sorted({getattr(head, slot) for head in wiring.heads[layer]} - set(found))
        if heads == "random":
            some = stream(seed, "order", slot, str(layer)).permutation(some).tolist()
        found += some if heads == "low" else some[::-1]
    return found


def _senders(graph: Graph, receiver: int, senders: str, seed: int) -> list[int]:
    some = list(range(graph.reads[receiver]))
    if senders == "random":
        return [int(s) for s in stream(seed, "order", graph.receivers[receiver]).permutation(some)]
    return some if senders == "earliest" else some[::-1]
