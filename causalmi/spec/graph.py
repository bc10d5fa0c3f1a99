"""Which edges does a network have? Senders add to the residual stream, receivers read what was added before them.

Names are those of EAP-IG and MIB (Hanna et al. 2024; Mueller et al. 2025).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import SpecError

Bools = NDArray[np.bool_]
INPUTS = (("input",), ("embed", "pos_embed"))


@dataclass(frozen=True, order=True)
class Edge:
    """What ``receiver`` reads of what ``sender`` adds to the stream; ``at`` one class of positions, or everywhere.

    >>> str(Edge("a0.h1", "a3.h5<q>"))
    'a0.h1->a3.h5<q>'
    """

    sender: str
    receiver: str
    at: str | None = None

    def __str__(self) -> str:
        return f"{self.sender}->{self.receiver}" + ("" if self.at is None else f" at {self.at}")


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The edges of a transformer: each sender to each receiver that comes after it.

    Senders in the order in which a network computes them: ``inputs``, then in each layer its heads ``a0.h1`` and its
    MLP ``m0`` (or its ``neurons``, ``m0.n17``). Receivers: in each layer the inputs of queries ``a0.h1<q>``, keys and
    values (of a group of heads ``a0.g1<k>`` where they share them), or with ``split_qkv=False`` of whole heads
    ``a0.h1``; the MLP's ``m0``; and ``logits``. In ``parallel`` blocks an MLP does not read its own layer's heads.
    ``positions`` names classes of positions, each with edges of its own. All arrays over edges are [class, receiver,
    sender]. Raises SpecError for sizes that no network has.

    >>> len(Graph(n_layers=12, n_heads=12).edges)
    32491
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int = 0  # 0: as many as heads
    has_mlp: bool = True
    parallel: bool = False
    split_qkv: bool = True
    inputs: tuple[str, ...] = ("input",)
    neurons: int = 0
    positions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_kv_heads", self.n_kv_heads or self.n_heads)
        given: object = self.positions
        names = (given,) if isinstance(given, str) else tuple(self.positions)  # a name, not its letters
        object.__setattr__(self, "positions", names)
        if problems := self._problems():
            raise SpecError("Graph", problems)

    @cached_property
    def senders(self) -> tuple[str, ...]:
        """All senders, in the order in which they are computed."""
        return (*self.inputs, *(name for layer in range(self.n_layers) for name in self._layer_senders(layer)))

    @cached_property
    def receivers(self) -> tuple[str, ...]:
        """All receivers, in the order in which they are computed."""
        return (*(name for layer in range(self.n_layers) for name in self._layer_receivers(layer)), "logits")

    @cached_property
    def reads(self) -> tuple[int, ...]:
        """For each receiver how many of the senders come before it; they are the first ones."""
        found: list[int] = []
        for layer in range(self.n_layers):
            before = self.first(layer)
            mlp = before if self.parallel else before + self.n_heads
            found += [mlp if name == f"m{layer}" else before for name in self._layer_receivers(layer)]
        return (*found, len(self.senders))

    def first(self, layer: int) -> int:
        """How many senders come before ``layer``."""
        return len(self.inputs) + layer * (self.n_heads + self.mlp_senders)

    @property
    def mlp_senders(self) -> int:
        """How many senders an MLP has."""
        return (self.neurons or 1) if self.has_mlp else 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Classes of positions, receivers, senders."""
        return (max(1, len(self.positions)), len(self.receivers), len(self.senders))

    @cached_property
    def exists(self) -> Bools:
        """Which sender comes before which receiver: bool [class, receiver, sender]."""
        one = np.arange(len(self.senders)) < np.array(self.reads)[:, None]
        return np.broadcast_to(one, self.shape)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, by class of positions, receiver and sender."""
        return self.named(self.exists)

    def named(self, chosen: Bools) -> tuple[Edge, ...]:
        """The edges where ``chosen``, bool [class, receiver, sender], holds, in their order."""
        at = self.positions or (None,)
        found = zip(*np.nonzero(chosen & self.exists), strict=True)
        return tuple(Edge(self.senders[s], self.receivers[r], at[p]) for p, r, s in found)

    def place(self, edge: Edge) -> tuple[int, int, int]:
        """Where ``edge`` is in arrays over edges; raises SpecError for one that is not there."""
        p, r, s = self._classes.get(edge.at), self._rows.get(edge.receiver), self._columns.get(edge.sender)
        if p is None or r is None or s is None or s >= self.reads[r]:
            raise SpecError("edge", [f"there is no {edge} in {self}; its edges are in graph.edges"])
        return p, r, s

    def array(self, edges: object) -> Bools:
        """Bool [class, receiver, sender], True for ``edges``; raises SpecError for one that is not there."""
        found = np.zeros(self.shape, dtype=bool)
        for edge in edges:  # type: ignore[attr-defined]
            found[self.place(edge)] = True
        return found

    def __str__(self) -> str:
        n = int(self.exists.sum())
        return f"the graph of {self.n_layers} layers of {self.n_heads} heads with {n:,} edges"

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.receivers)}

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.senders)}

    @cached_property
    def _classes(self) -> dict[str | None, int]:
        return {name: i for i, name in enumerate(self.positions or (None,))}

    def _layer_senders(self, layer: int) -> list[str]:
        heads = [f"a{layer}.h{h}" for h in range(self.n_heads)]
        mlp = [f"m{layer}.n{n}" for n in range(self.neurons)] if self.neurons else [f"m{layer}"]
        return heads + (mlp if self.has_mlp else [])

    def _layer_receivers(self, layer: int) -> list[str]:
        mlp = [f"m{layer}"] if self.has_mlp else []
        if not self.split_qkv:
            return [f"a{layer}.h{h}" for h in range(self.n_heads)] + mlp
        group = "h" if self.n_kv_heads == self.n_heads else "g"
        queries = [f"a{layer}.h{h}<q>" for h in range(self.n_heads)]
        return queries + [f"a{layer}.{group}{g}<{s}>" for s in "kv" for g in range(self.n_kv_heads)] + mlp

    def _problems(self) -> list[str]:
        sizes = {"n_layers": self.n_layers, "n_heads": self.n_heads, "n_kv_heads": self.n_kv_heads}
        problems = [f"{name} is {n!r}, it must be at least 1" for name, n in sizes.items() if n < 1]
        if self.n_heads % self.n_kv_heads:
            problems.append(f"{self.n_heads} heads cannot share {self.n_kv_heads} keys and values evenly")
        if self.n_kv_heads != self.n_heads and not self.split_qkv:
            problems.append("heads that share keys and values have no one input; use split_qkv=True")
        if self.inputs not in INPUTS:
            problems.append(f"inputs is {self.inputs!r}, it must be one of {', '.join(map(repr, INPUTS))}")
        if self.neurons < 0 or (self.neurons and not self.has_mlp):
            problems.append(f"neurons is {self.neurons!r}; give the number of each MLP's, or 0 for whole MLPs")
        if bad := [name for name in self.positions if not isinstance(name, str)]:
            problems.append(f"positions has {bad[0]!r}; give names: '0', '-1', a span of the prompt, or 'rest'")
        if len(set(self.positions)) < len(self.positions):
            problems.append(f"positions has a name twice: {', '.join(self.positions)}")
        return problems
