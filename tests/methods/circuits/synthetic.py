"""Problems with known answers: the score of n examples is a given function of which edges are kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from causalmi.methods.circuits.case import Case
from causalmi.methods.circuits.rule import How
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Edge, Graph

GRAPH = Graph(n_layers=2, n_heads=2)
Score = Callable[[Tensor], Tensor]  # kept shares [class, receiver, sender] -> [n]


@dataclass
class Synthetic:
    """What :class:`Problem` offers, for a ``score`` of which higher is better."""

    score: Score
    clusters: np.ndarray
    graph: Graph = GRAPH
    better: str = "higher"
    floor: bool = False
    batch_size: int = 1000
    ablation: str = "sources"
    restore: bool = False
    seed: int = 0
    noise: float = 0.0

    @property
    def metric(self) -> Any:
        return SimpleNamespace(name="score", better=self.better, floor=self.floor)

    def losses(self, keeps: Any) -> np.ndarray:
        return np.stack([-self.score(torch.as_tensor(keep, dtype=torch.float64)).numpy() for keep in keeps])

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        full, empty = self.losses([np.ones(self.graph.shape), np.zeros(self.graph.shape)])
        return full, empty

    def batches(self) -> Iterator[Any]:
        for first in range(0, len(self.clusters), self.batch_size):
            rows = slice(first, min(first + self.batch_size, len(self.clusters)))
            run = lambda keep, rows=rows: self.score(keep)[rows, None]  # noqa: E731
            yield SimpleNamespace(rows=rows, loss=lambda logits: -logits[:, 0], net=SimpleNamespace(run=run))


def additive(weights: dict[str, float], n: int = 40, noise: float = 0.1, graph: Graph = GRAPH, **how: Any) -> Synthetic:
    """A score that is a sum over kept edges, each with its weight times a number around 1 of the example."""
    around = torch.from_numpy(1 + noise * np.random.default_rng(0).normal(size=n))
    table = weigh(weights, graph)
    return Synthetic(lambda keep: around * (keep * table).sum(), np.arange(n), graph, **how)


def either(n: int = 40) -> Synthetic:
    """A score that is there while one of two edges is: input->m0 or input->m1; nothing else matters."""
    around = torch.from_numpy(1 + 0.1 * np.random.default_rng(0).normal(size=n))
    one, other = (GRAPH.place(Edge("input", m)) for m in ("m0", "m1"))
    return Synthetic(lambda keep: around * (1 - (1 - keep[one]) * (1 - keep[other])), np.arange(n))


def weigh(weights: dict[str, float], graph: Graph = GRAPH) -> Tensor:
    table = torch.zeros(graph.shape, dtype=torch.float64)
    for name, weight in weights.items():
        table[graph.place(edge(name))] = weight
    return table


def edge(name: str) -> Edge:
    return Edge(*name.split("->"))


def case(problem: Synthetic, edges: Any, **how: Any) -> Case:
    return Case(problem, Circuit(problem.graph, [edge(e) if isinstance(e, str) else e for e in edges]), How(**how))
