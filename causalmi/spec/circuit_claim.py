"""What does a circuit claim of a network? That its edges carry the answer, and that nothing else matters.

Edges as the direct paths of a hypothesis, its rest resampled: Chan et al. 2022, "Causal scrubbing".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from causalmi.errors import SpecError
from causalmi.spec.circuit_model import INPUT, LOGITS, CircuitModel
from causalmi.spec.donor import Exact
from causalmi.spec.graph import Graph
from causalmi.spec.hypothesis import AtLeast, Hypothesis, Resample
from causalmi.spec.route import Route
from causalmi.spec.site_type import Site, make
from causalmi.spec.wiring import Head, Wiring

if TYPE_CHECKING:
    from causalmi.spec.circuit import Circuit

ONE = Resample(share="node", name="circuit")
DIRECT = Route(direct=True)


def circuit_hypothesis(  # noqa: PLR0913  (the public call: which circuit, of what, and the fields of a Hypothesis)
    circuit: "Circuit",
    task: Any,
    model: Any = None,
    *,
    rule: AtLeast = AtLeast(),  # noqa: B008  (a frozen value)
    unmapped: Resample | Mapping[str, Resample] = ONE,
    n: int = 1024,
    name: str = "circuit",
) -> Hypothesis:
    """The claim that the edges of ``circuit``, pruned, carry the answers to ``task``, for every test of a claim.

    Each node is a variable of which nothing is claimed but the inputs that it is computed from: ``input_``, ``a3_h5``,
    ``a3_h5_q`` for what a head reads, ``a1_g0_k`` where heads share keys, ``m3`` (of neurons ``m3_n17``). An edge is
    the direct path from sender to receiver; all other edges carry what ``unmapped`` gives. Nodes are not resampled
    themselves, so scrubbing the claim is running the circuit with all other edges ablated, bias and norms alike:

    - Resample(share="node", name=...), the default: one random donor for all ablated edges of a reference. Without a
      name each path from a node to the logits draws its own, of which there may be too many.
    - "paired", with ``data=`` pairs: each base's own source, the same as that ablation of the circuit.
    - "zero" is the ablation Zero(bias="ablate"), "mean" is MeanPositional() over all data of the scrub.
    - "term": a donor for each head and MLP, where the ablation draws one for all heads of a layer.

    Under the last three, edges that pruning removes change a circuit: a node to which nothing comes computes something.

    Interchange sets all that the logits read from one source; of less than that the claim predicts nothing.
    Raises SpecError for a circuit without a path from the inputs to the logits, of classes of positions, of embeddings
    apart, or of neurons whose rest is not a datum; and for a task one of whose variables is named like a node.
    """
    found = _Nodes(_checked(circuit, unmapped, name))
    direct = {(s, r): DIRECT for r, senders in found.direct.items() for s in senders if r != LOGITS}
    direct |= {(s, task.model.output): DIRECT for s in found.direct[LOGITS]}
    told = task.retold(CircuitModel(task.model, found.read), LOGITS)
    size, of = len(circuit.pruned()), len(circuit.graph.edges)
    return Hypothesis(
        claim=f"{size:,} of {of:,} edges carry the answer, and nothing else matters",
        task=told,
        model=model,
        alignment=found.sites,
        rule=rule,
        unmapped=unmapped,
        donors=dict.fromkeys(found.sites, Exact()),
        routes=direct,
        n=n,
        name=name,
    )


@dataclass
class _Nodes:
    """The variables of a pruned circuit: the ``sites`` of each, and what it reads; ``direct``: by its edges."""

    circuit: "Circuit"
    sites: dict[str, Site] = field(default_factory=dict)
    read: dict[str, tuple[str, ...]] = field(default_factory=dict)
    direct: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph, self.kept = self.circuit.graph, self.circuit.array[0]
        self.sends, wiring = self.kept.any(0), Wiring(self.circuit.graph)
        self.sites[INPUT] = Site("resid_pre", 0)
        for layer in range(graph.n_layers):
            for head in wiring.heads[layer]:
                self._head(head)
            if graph.has_mlp:
                mlp = wiring.mlps[layer]
                for sender in mlp.senders:
                    self._node(sender, mlp.receiver, _mlp(layer, graph.senders[sender]))
        self._reads(LOGITS, len(graph.receivers) - 1)

    def _head(self, head: Head) -> None:
        graph, place = self.circuit.graph, make("z", head.layer, head.index)
        if not graph.split_qkv:
            self._node(head.sender, head.q, place)
        elif self.sends[head.sender]:
            there = [r for r in (head.q, head.k, head.v) if self.kept[r].any()]
            for row in there:
                self._part(head.layer, row)
            name = variable(graph.senders[head.sender])
            self.sites[name], self.read[name] = place, tuple(variable(graph.receivers[r]) for r in there)

    def _part(self, layer: int, row: int) -> None:
        """Queries, keys or values, which several heads may share."""
        name = variable(self.circuit.graph.receivers[row])
        which, index = name[-1], int(re.split(r"_[hg]", name)[1].split("_")[0])
        self.sites[name] = make(which, layer, index)
        self._reads(name, row)

    def _node(self, sender: int, row: int, place: Site) -> None:
        if self.sends[sender]:
            name = variable(self.circuit.graph.senders[sender])
            self.sites[name] = place
            self._reads(name, row)

    def _reads(self, name: str, row: int) -> None:
        """What a node, or a part of one, reads by the edges of a receiver."""
        senders = tuple(variable(self.circuit.graph.senders[s]) for s in np.flatnonzero(self.kept[row]))
        self.read[name] = self.direct[name] = senders


def variable(node: str) -> str:
    """The name of the variable that stands for a sender or a receiver.

    >>> variable("a3.h5<q>"), variable("m3"), variable("input")
    ('a3_h5_q', 'm3', 'input_')
    """
    return INPUT if node == "input" else node.replace(".", "_").replace("<", "_").rstrip(">")


def _mlp(layer: int, sender: str) -> Site:
    neuron = sender.partition(".n")[2]
    return make("mlp_hidden", layer, neurons=[int(neuron)]) if neuron else make("mlp_out", layer)


def _checked(circuit: "Circuit", unmapped: Any, name: str) -> "Circuit":
    pruned = circuit.pruned()
    if problems := list(_problems(pruned.graph, unmapped)):
        raise SpecError(f"circuit {name!r}", problems)
    if not len(pruned):
        raise SpecError(f"circuit {name!r}", ["no path of its edges leads from the inputs to the logits"])
    return pruned


def _problems(graph: Graph, unmapped: Any) -> Iterator[str]:
    shares = [x.share for x in (unmapped.values() if isinstance(unmapped, Mapping) else [unmapped])]
    if graph.positions:
        yield "its edges are of classes of positions, which no route of a claim tells apart; use a graph without them"
    if graph.inputs != ("input",):
        yield "embeddings of tokens and of positions are senders apart, and the latter no site; use one input"
    if graph.neurons and (bad := [s for s in shares if s in ("term", "zero", "mean")]):
        yield f"its MLPs are taken apart into neurons, and {bad[0]!r} sets whole MLPs; use 'node' or 'paired'"
