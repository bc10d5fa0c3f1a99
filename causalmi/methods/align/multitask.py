"""Which directions carry one attribute and nothing else? Rows that must change and rows that must not, in balance.

Huang et al. 2024, "RAVEL: evaluating interpretability methods on disentangling language model representations".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from causalmi.errors import DataError
from causalmi.methods.align.das import DAS
from causalmi.methods.align.judging import Counts


@dataclass(frozen=True, kw_only=True)
class MultiTaskDAS(DAS):
    """DAS in which pairs whose answer is to change and those whose answer is to stay have equal weight.

    Which ones they are follows from the causal model: an interchange either changes its answer (cause) or does not
    (isolate). In each batch either kind has half of the loss. The best step, and then the best fit (``score``), is the
    one with the highest disentangle = (cause + isolate) / 2, where both are agreements on the validation pairs, means
    over the sets of variables; the table of fits has all three. Raises DataError when the pairs that it is judged by
    are all of one kind.
    """

    name = "MultiTaskDAS"

    def weights(self, changed: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
        counts = torch.bincount(changed.long(), minlength=2)
        return 1 / (counts[changed.long()] * (counts > 0).sum())

    def scores(self, counts: Counts) -> Float[Tensor, " points"]:
        if not bool((counts.pairs.sum(0) > 0).all()):
            kind = "changes" if counts.pairs[:, 1].sum() == 0 else "stays the same"
            raise DataError(f"of none of the validation pairs the answer {kind}, so the two kinds cannot be balanced")
        return (counts.rate(0) + counts.rate(1)) / 2

    def more(self, counts: Counts) -> Mapping[str, Sequence[float]]:
        isolate, cause = counts.rate(0), counts.rate(1)
        both = ((cause + isolate) / 2).tolist()
        return {"cause": cause.tolist(), "isolate": isolate.tolist(), "disentangle": both, "score": both}
