"""Which nodes matter, to first order? Attribution patching of what nodes give, AtP, and AtP*, which misses fewer.

Nanda 2023; Kramar et al. 2024 (AtP*); Michel et al. 2019 and Conmy et al. 2023 (HISP). A node's score is its value
(ablated - clean) times the derivative of the loss with respect to that value: for an MLP, what it adds to the stream.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.methods.circuits.eap import refuse_at_minimum
from causalmi.methods.circuits.moments import Moments
from causalmi.methods.circuits.node_changes import NodeChanges
from causalmi.methods.circuits.node_run import NodeRun
from causalmi.methods.circuits.problem import Batch, Problem, Progress, silent
from causalmi.methods.circuits.scores import PerExample
from causalmi.spec.graph import Graph


class NodeScorer(PerExample):
    """A rule that scores nodes; an edge has the score of its sender."""

    def moments(self, problem: Problem, progress: Progress = silent) -> Moments:
        """Sums over examples; raises DataError for a metric that is at its minimum on the clean run."""
        refuse_at_minimum(self, problem)
        return super().moments(problem, progress)

    def examples(self, batch: Batch, problem: Problem) -> Tensor:
        """[b, class, receiver, sender]."""
        graph = problem.graph
        scores = self.nodes(batch, problem)[:, :, None, : len(graph.senders)]
        return scores.expand(-1, -1, len(graph.receivers), -1)

    @abstractmethod
    def nodes(self, batch: Batch, problem: Problem) -> Float[Tensor, "b class node"]:
        """Scores of the nodes that :func:`node_names` names."""


@dataclass(frozen=True)
class AtP(NodeScorer):
    """The derivative on the clean run at what each node gives, times its change: one forward and one backward pass.

    Raises DataError for a metric that is at its minimum there (kl, js).
    """

    def nodes(self, batch: Batch, problem: Problem) -> Float[Tensor, "b class node"]:
        """[b, class, node]."""
        run = NodeRun(batch.net.scene, batch.loss)
        changed, slope, found = NodeChanges(run, batch.net.outputs, fixed=False), run.slope, list[Tensor]()
        for layer in reversed(range(problem.graph.n_layers)):
            slopes = run.blocks[layer].back(slope)
            found.append(changed.layer(layer)(slopes))
            slope = slopes["entry"]
        return _in_order(problem.graph, changed.inputs({"entry": slope}), found[::-1])


@dataclass(frozen=True)
class HISP(AtP):
    """|AtP| of each example: the head importance score for pruning, with the change of a node for its activation.

    I = mean |(ablated - clean)^T dL/d(clean)|, as Conmy et al. 2023 compare with; under Zero() that of Michel et al.
    2019, whose division by a layer's norm is left out. Scores are no less than 0. Raises DataError as :class:`AtP`.
    """

    def nodes(self, batch: Batch, problem: Problem) -> Float[Tensor, "b class node"]:
        """[b, class, node]."""
        return super().nodes(batch, problem).abs()


@dataclass(frozen=True)
class AtPStar(NodeScorer):
    """AtP with the QK fix and GradDrop: scores no less than 0 that neither saturation nor cancellation hides.

    QK fix: of queries or keys, the change of the attention that they give, softmax with them ablated - clean, times the
    derivative at the attention. GradDrop: for each layer l the derivative in which nothing flows through what block l
    adds to the stream; c_l is a node's score with it. An example's score is the mean of |c_l| over the L - 1 layers
    that are not the node's own (in which c_l = 0): sum |c_l| / (L - 1); of an input, over all L. With L = 1 it is |c|
    with nothing dropped. Above layer l the derivatives are the plain ones, so that the L passes cost half of L.
    With L = 2 a node of the first layer whose effect passes through the second alone has 0, as the paper's formula has
    it: look at AtP as well. Raises DataError for a metric that is at its minimum on the clean run (kl, js).
    """

    def nodes(self, batch: Batch, problem: Problem) -> Float[Tensor, "b class node"]:
        """[b, class, node]."""
        run, layers = NodeRun(batch.net.scene, batch.loss), problem.graph.n_layers
        changed = NodeChanges(run, batch.net.outputs, fixed=True)
        plain, dropped, found = run.slope, list[Tensor](), list[Tensor]()
        for layer in reversed(range(layers)):
            block, products = run.blocks[layer], changed.layer(layer)
            slopes, others = block.back(plain), [block.back(slope) for slope in dropped]
            own = products(slopes).abs()  # also that with one of the ``layer`` layers below dropped
            found.append(_mean([own] * layer + [products(other).abs() for other in others], own))
            dropped, plain = [plain, *(other["entry"] for other in others)], slopes["entry"]
        ends = dropped if layers > 1 else [plain]
        start = torch.stack([changed.inputs({"entry": slope}).abs() for slope in ends]).mean(0)
        return _in_order(problem.graph, start, found[::-1])


def node_names(graph: Graph) -> tuple[str, ...]:
    """The senders, then queries, keys and values (of a group) where a head's are told apart.

    >>> node_names(Graph(n_layers=1, n_heads=1))
    ('input', 'a0.h0', 'm0', 'a0.h0<q>', 'a0.h0<k>', 'a0.h0<v>')
    """
    return (*graph.senders, *(name for name in graph.receivers if name.endswith(">")))


def _mean(scores: list[Tensor], alone: Tensor) -> Tensor:
    return torch.stack(scores).mean(0) if scores else alone


def _in_order(graph: Graph, inputs: Tensor, layers: list[Tensor]) -> Float[Tensor, "b class node"]:
    """The senders of all layers first."""
    senders = graph.n_heads + graph.mlp_senders
    first, rest = [x[..., :senders] for x in layers], [x[..., senders:] for x in layers]
    return torch.cat([inputs, *first, *rest], dim=-1)
