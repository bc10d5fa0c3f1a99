"""What does the loss become when one edge is removed alone? Many edges at once; only nodes downstream are run again."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.edges.net import EdgeNet
from causalmi.engine.edges.state import State
from causalmi.engine.edges.trial import Trial
from causalmi.engine.state import evaluating

Place = tuple[int, int, int]  # class, receiver and sender of an edge
AT_ONCE = 64
NUMBERS = 2**21  # entries of the streams of all that is tried at once


def each_alone(
    net: EdgeNet, loss: Callable[[Tensor], Tensor]
) -> Iterator[tuple[Sequence[Place], Float[Tensor, "edge b"]]]:
    """Some edges at a time, and the losses with each of them removed alone; ``loss`` takes logits [n, d_out] to [n]."""
    alone = _whole_runs if net.restore or net.scene.graph.neurons else _downstream
    return alone(net, loss)


def _whole_runs(net: EdgeNet, loss: Callable[[Tensor], Tensor]) -> Iterator[tuple[Sequence[Place], Tensor]]:
    """By a run of the network for each: what is restored is not clean, and neurons are no nodes that are kept apart."""
    keep = torch.ones(net.scene.graph.shape, dtype=torch.bool)
    for p, r, s in _places(net):
        keep[p, r, s] = False
        yield [(p, r, s)], loss(net.run(keep))[None]
        keep[p, r, s] = True


def _downstream(net: EdgeNet, loss: Callable[[Tensor], Tensor]) -> Iterator[tuple[Sequence[Place], Tensor]]:
    scene, every = net.scene, _places(net)
    state = State(net, np.array(scene.graph.exists))
    size = max(1, min(AT_ONCE, NUMBERS // scene.start[0].numel()))
    for receiver in range(len(scene.graph.receivers)):
        mine = [place for place in every if place[1] == receiver]
        for first in range(0, len(mine), size):
            some = mine[first : first + size]
            with torch.no_grad(), evaluating(scene.parts.adapter.module):
                trial = Trial(state, {receiver: torch.cat([_read(state, *place) for place in some])})
                yield some, loss(scene.parts.tail(trial.read)).view(len(some), -1)


def _read(state: State, p: int, receiver: int, sender: int) -> Float[Tensor, "b pos d_model"]:
    """What ``receiver`` reads without ``sender`` at the positions of class ``p``."""
    change = state.fit(state.of_clean[sender], receiver)
    return state.input(receiver) + state.of_class(change, p, receiver)


def _places(net: EdgeNet) -> list[Place]:
    p, r, s = (index.tolist() for index in np.nonzero(net.scene.graph.exists))
    return list(zip(p, r, s, strict=True))
