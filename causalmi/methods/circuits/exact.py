"""How much does ablating each edge alone change the loss, exactly? What all other scores estimate."""

from dataclasses import dataclass

from torch import Tensor

from causalmi.engine.edges.alone import each_alone
from causalmi.methods.circuits.problem import Batch, Problem
from causalmi.methods.circuits.scores import PerExample


@dataclass(frozen=True)
class ExactPatching(PerExample):
    """loss(edge ablated alone) - loss(all edges kept), of each example: every edge is run.

    >>> str(ExactPatching())
    'ExactPatching()'
    """

    def examples(self, batch: Batch, problem: Problem) -> Tensor:
        """[b, class, receiver, sender]."""
        clean = batch.loss(batch.net.clean_logits)
        scores = clean.new_zeros(len(clean), *problem.graph.shape)
        for places, losses in each_alone(batch.net, batch.loss):
            p, r, s = zip(*places, strict=True)
            scores[:, p, r, s] = (losses - clean).T
        return scores
