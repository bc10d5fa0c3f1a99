"""How well do learned edits bring the causal model's counterfactual answers? Cross-entropy to learn, hits to choose."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causalmi.data.pairs import CounterfactualPairs


@dataclass(frozen=True, eq=False)
class Answering:
    """The candidate answers of ``pairs``: only they compete, as they do when an interchange is judged."""

    pairs: CounterfactualPairs

    def loss(
        self, logits: Float[Tensor, "points n v"], labels: Int[Tensor, " n"], rows: slice
    ) -> Float[Tensor, "points n"]:
        """-log p(label) of each example, in at least float32."""
        scores = logits if logits.dtype == torch.float64 else logits.float()
        wanted = labels.to(scores.device).expand(len(scores), -1)[..., None]
        return self._among(scores, rows).logsumexp(-1) - scores.gather(-1, wanted)[..., 0]

    def hits(
        self, logits: Float[Tensor, "points n v"], labels: Int[Tensor, " n"], rows: slice
    ) -> Bool[Tensor, "points n"]:
        """Whether the highest candidate is the label."""
        best = self._among(logits, rows).argmax(-1)
        if self.pairs.choices is not None:
            ids = self.pairs.choices[rows].to(best.device)
            best = ids.expand(len(best), *ids.shape).gather(-1, best[..., None])[..., 0]
        return best == labels.to(best.device)

    def _among(self, scores: Tensor, rows: slice) -> Tensor:
        """The scores of the candidates, each once; of everything when all outputs compete."""
        if self.pairs.choices is None:
            return scores
        ids = self.pairs.choices[rows].to(scores.device)
        found = scores.gather(-1, ids.expand(len(scores), *ids.shape))
        return found.masked_fill(self._again[rows].to(scores.device), -torch.inf)

    @cached_property
    def _again(self) -> Bool[Tensor, "n c"]:
        """Which candidates stand further to the left already."""
        assert self.pairs.choices is not None
        ids = self.pairs.choices
        return (ids[:, :, None] == ids[:, None, :]).tril(-1).any(-1)
