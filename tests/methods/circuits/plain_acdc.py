"""The search as its paper has it: for each edge one run of the whole network. Slow, and nothing of it is the fast one's."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

import causalmi as cm
from causalmi.methods.circuits.order import order_of
from causalmi.methods.circuits.problem import Problem

TIE = 5 * np.finfo(float).eps  # nearer to the threshold an effect is equal to it, and equality keeps
Loss = Callable[[np.ndarray], float]  # kept [class, receiver, sender] -> mean loss
Walk = list[tuple[str, list[tuple[int, str]]]]  # (receiver, [(class, sender), ...])


@dataclass
class Plain:
    """``visited``: (class, receiver, sender), kept, effect (None where the receiver's node was dead); ``loss`` at the end."""

    kept: np.ndarray
    loss: float
    visited: list[tuple[tuple[int, int, int], bool, float | None]] = field(default_factory=list)


def losses_of(problem: Problem) -> Loss:
    return lambda kept: float(problem.losses([kept])[0].mean())


def plain_acdc(loss: Loss, graph: cm.Graph, method: cm.ACDC, seed: int = 0, among: np.ndarray | None = None) -> Plain:
    """From the logits to the inputs: an edge goes if the loss rises by less than the threshold, strictly."""
    kept = np.array(graph.exists if among is None else graph.exists & among)
    for name in reversed(graph.receivers[:-1]):  # nothing that a dead node reads is there at the start
        if dead(graph, kept, name):
            kept[:, graph.receivers.index(name)] = False
    now, visited = loss(kept), []
    for receiver, senders in walk_of(graph, method, seed):
        row = graph.receivers.index(receiver)
        unseen = receiver != "logits" and dead(graph, kept, receiver)
        for p, sender in senders:
            place = (p, row, graph.senders.index(sender))
            if not kept[place]:
                continue
            kept[place] = False
            effect = None if unseen else (without := loss(kept)) - now
            if effect is not None and not (abs(effect) if method.absolute else effect) < method.threshold - TIE * max(
                1, abs(now)
            ):
                kept[place] = True
            elif effect is not None:
                now = without
            visited.append((place, bool(kept[place]), effect))
    return Plain(kept, loss(kept), visited)


def walk_of(graph: cm.Graph, method: cm.ACDC, seed: int) -> Walk:
    """The recorded order where chance is in it, else the order written out by names."""
    if "random" in (method.senders, method.heads):
        names = graph.receivers, graph.senders
        found = order_of(graph, method.senders, method.heads, seed)
        return [(names[0][r], [(p, names[1][s]) for p, s in edges]) for r, edges in found]
    receivers = ["logits"]
    for layer in reversed(range(graph.n_layers)):
        receivers += [f"m{layer}"] if graph.has_mlp else []
        groups = "h" if graph.n_kv_heads == graph.n_heads else "g"
        kinds = [(groups, graph.n_kv_heads, "<v>"), (groups, graph.n_kv_heads, "<k>"), ("h", graph.n_heads, "<q>")]
        for letter, count, slot in kinds if graph.split_qkv else [("h", graph.n_heads, "")]:
            numbers = range(count) if method.heads == "low" else reversed(range(count))
            receivers += [f"a{layer}.{letter}{i}{slot}" for i in numbers]
    classes = [*reversed(range(graph.shape[0]))]
    found = []
    for receiver in receivers:
        senders = [*graph.senders[: graph.reads[graph.receivers.index(receiver)]]]
        senders = senders if method.senders == "earliest" else senders[::-1]
        found.append((receiver, [(p, sender) for sender in senders for p in classes]))
    return found


def dead(graph: cm.Graph, kept: np.ndarray, receiver: str) -> bool:
    """Whether no kept edge leaves what ``receiver`` feeds: the head, any head of the group, or the MLP."""
    node = receiver.split("<")[0]
    nodes = [node]
    if ".g" in node:
        layer, group = node.split(".g")
        size = graph.n_heads // graph.n_kv_heads
        nodes = [f"{layer}.h{int(group) * size + i}" for i in range(size)]
    return not kept[:, :, [graph.senders.index(name) for name in nodes]].any()
