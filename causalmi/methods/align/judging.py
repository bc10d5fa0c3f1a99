"""How good is what was learned? On given pairs, every set of variables interchanged in all of them."""

from collections.abc import Sequence

import torch

from causalmi.methods.align.batches import Batches, Piece, gates
from causalmi.methods.align.learner import Shares, mixtures
from causalmi.methods.align.loss import Answering
from causalmi.methods.subsets import Subset

Score = tuple[float, float]  # agreement of the set of variables where it is lowest, and minus the mean loss


@torch.no_grad()
def judged(
    batches: Batches, pieces: Sequence[Piece], subsets: Sequence[Subset], points: Sequence[Shares]
) -> list[Score]:
    """The score of each of ``points`` on the pairs of ``pieces``, computed for all in one run."""
    swap, places = batches.swap, batches.places
    n, answering = sum(piece.rows.stop - piece.rows.start for piece in pieces), Answering(swap.pairs)
    hits, loss = torch.zeros(len(subsets), len(points)), torch.zeros(len(points), dtype=torch.float64)
    for number, subset in enumerate(subsets):
        for piece in pieces:
            labels = swap.expected(subset)[piece.rows]
            given = gates(subsets, torch.full((len(labels),), number), places.variables)
            logits = piece.run([mixtures(shares, places, given) for shares in points])
            hits[number] += answering.hits(logits, labels, piece.rows).sum(-1).cpu()
            loss += answering.loss(logits, labels, piece.rows).sum(-1).cpu()
    least = hits.amin(0) / n
    return [(float(h), -float(x)) for h, x in zip(least, loss / n / len(subsets), strict=True)]
