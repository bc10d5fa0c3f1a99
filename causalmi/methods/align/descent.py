"""In which direction do the parameters improve? The gradients of one batch, of all points in one run."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalmi.engine.execute import in_pieces
from causalmi.methods.align.batches import Batches, Piece, gates
from causalmi.methods.align.learner import Learner, Shares, mixtures
from causalmi.methods.align.loss import Answering
from causalmi.methods.align.method import Trained
from causalmi.methods.subsets import Subset


@dataclass(eq=False)
class Descent:
    """The loss of the pairs in ``batches``, which count as ``method`` weighs them, and its gradients."""

    method: Trained
    learner: Learner
    batches: Batches
    subsets: Sequence[Subset]
    together: int | None = None  # how many points fit in memory at once, found out by trying; None for all

    def set_gradients(self, number: int, chosen: Int[Tensor, " n"], active: Sequence[int], progress: float) -> None:
        """Those of batch ``number`` and of the penalty, summed over the ``active`` points.

        ``chosen`` is for each pair the number of the set of variables that is interchanged in it.
        """
        every, penalty = self.learner.shares(progress), self.learner.penalty(progress)
        for value in self.learner.parameters.values():
            value.grad = torch.zeros_like(value)
        if penalty.requires_grad:
            self._add(penalty[list(active)].sum())
        batch, labels = self.batches.pieces[number], self.batches.labels(self.subsets, chosen)
        rows = slice(batch[0].rows.start, batch[-1].rows.stop)
        weights = torch.zeros(len(labels))
        weights[rows] = self.method.weights((labels != self.batches.swap.pairs.base_labels)[rows])
        for piece in batch:
            given = gates(self.subsets, chosen[piece.rows], self.batches.places.variables)

            def descend(some: slice, piece: Piece = piece, given: Tensor = given) -> int:
                points = [every[i] for i in active[some]]
                losses = self._losses(piece, points, labels, given)
                self._add((losses * weights[piece.rows].to(losses)).sum())
                return len(points)

            size = self.together or len(active)
            self.together = max(in_pieces(len(active), size, descend))

    def _losses(
        self, piece: Piece, points: Sequence[Shares], labels: Tensor, given: Tensor
    ) -> Float[Tensor, "points n"]:
        """Of each point the loss on each pair of a piece."""
        logits = piece.run([mixtures(shares, self.batches.places, given) for shares in points])
        return Answering(self.batches.swap.pairs).loss(logits, labels[piece.rows], piece.rows)

    def _add(self, loss: Tensor) -> None:
        """Add the gradients of ``loss``; none of them where memory ends half way."""
        values = list(self.learner.parameters.values())
        found = torch.autograd.grad(loss, values, retain_graph=True, allow_unused=True)
        for value, gradient in zip(values, found, strict=True):
            if gradient is not None:
                value.grad = gradient if value.grad is None else value.grad + gradient
