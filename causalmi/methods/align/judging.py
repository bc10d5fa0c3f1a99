"""How good is what was learned? On given pairs, every set of variables interchanged in all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.execute import in_pieces
from causalmi.methods.align.batches import Batches, Mixtures, Piece, gates
from causalmi.methods.align.learner import Shares, mixtures
from causalmi.methods.align.loss import Answering
from causalmi.methods.subsets import Subset

Score = tuple[float, float]  # agreement of the set of variables where it is lowest, and minus the mean loss


@dataclass(frozen=True, eq=False)
class Counts:
    """Counterfactual answers that points gave, by set of variables and by whether the right one is not the base's.

    ``hits`` of ``pairs``, at 0 of those whose answer is to stay as it was and at 1 of those where it is to change.
    """

    hits: Float[Tensor, "points sets 2"]
    pairs: Float[Tensor, "sets 2"]
    loss: Float[Tensor, " points"]

    @property
    def agreement(self) -> Float[Tensor, " points"]:
        """The share of right answers, of the set of variables where it is lowest."""
        return (self.hits.sum(-1) / self.pairs.sum(-1)).amin(-1)

    def rate(self, changed: int) -> Float[Tensor, " points"]:
        """The share among the pairs whose answer is to stay, or to change; the mean over the sets that have any."""
        some = self.pairs[:, changed] > 0
        return (self.hits[:, some, changed] / self.pairs[some, changed]).mean(-1)


def judged(
    batches: Batches, pieces: Sequence[Piece], subsets: Sequence[Subset], points: Sequence[Shares]
) -> list[Score]:
    """The score of each of ``points`` on the pairs of ``pieces``, computed for all in one run."""
    found = counted(batches, pieces, subsets, points)
    return [(float(h), -float(x)) for h, x in zip(found.agreement, found.loss, strict=True)]


@torch.no_grad()
def counted(batches: Batches, pieces: Sequence[Piece], subsets: Sequence[Subset], points: Sequence[Shares]) -> Counts:
    """What each of ``points`` answers on the pairs of ``pieces``, computed for all in one run."""
    swap, places, answering = batches.swap, batches.places, Answering(batches.swap.pairs)
    hits, pairs = torch.zeros(len(points), len(subsets), 2), torch.zeros(len(subsets), 2)
    loss = torch.zeros(len(points), dtype=torch.float64)
    for number, subset in enumerate(subsets):
        every = swap.expected(subset)
        sides = torch.nn.functional.one_hot((every != swap.pairs.base_labels).long(), 2).float()
        for piece in pieces:
            labels, side = every[piece.rows], sides[piece.rows]
            given = gates(subsets, torch.full((len(labels),), number), places.variables)
            logits = torch.cat(list(answered(piece, [mixtures(shares, places, given) for shares in points])))
            hits[:, number] += answering.hits(logits, labels, piece.rows).cpu().float() @ side
            loss += answering.loss(logits, labels, piece.rows).sum(-1).cpu()
            pairs[number] += side.sum(0)
    return Counts(hits, pairs, loss / pairs.sum())


def answered(piece: Piece, points: Sequence[Mixtures]) -> Iterator[Float[Tensor, "points n outputs"]]:
    """The logits of all points in one run, in several where they do not fit in memory at once."""
    return in_pieces(len(points), len(points), lambda some: piece.run(points[some]))
