"""What are the metrics in symbols? Functions of logits [n, vocab] and what they are compared with, one number each."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from causalmi.engine.metrics import Target


def _pick(values: Tensor, labels: Tensor | None) -> Tensor:
    assert labels is not None  # checked by the metric's needs
    return values.gather(1, labels[:, None])[:, 0]


def logit_diff(logits: Tensor, target: "Target") -> Tensor:
    """logit(answer) - logit(foil), [n]."""
    return _pick(logits, target.answer) - _pick(logits, target.foil)


def logprob(logits: Tensor, target: "Target") -> Tensor:
    """Log p(answer), [n]."""
    return _pick(logits.log_softmax(-1), target.answer)


def accuracy(logits: Tensor, target: "Target") -> Tensor:
    """Whether the answer has the largest logit, bool [n]."""
    assert target.answer is not None  # checked by the metric's needs
    return logits.argmax(-1) == target.answer


def rank(logits: Tensor, target: "Target") -> Tensor:
    """How many outputs are above the answer, and half of those that tie with it, [n]."""
    own = _pick(logits, target.answer)[:, None]
    return (logits > own).sum(-1, dtype=logits.dtype) + ((logits == own).sum(-1, dtype=logits.dtype) - 1) / 2


def kl(logits: Tensor, target: "Target") -> Tensor:
    """KL(clean || now), [n]."""
    return _divergence(_clean(logits, target), logits.log_softmax(-1))


def js(logits: Tensor, target: "Target") -> Tensor:
    """Jensen-Shannon divergence of the clean run and now, [n], at most ln 2."""
    one, other = _clean(logits, target), logits.log_softmax(-1)
    middle = torch.logaddexp(one, other) - math.log(2)
    return (_divergence(one, middle) + _divergence(other, middle)) / 2


def _clean(logits: Tensor, target: "Target") -> Tensor:
    assert target.clean is not None  # checked by the metric's needs
    return target.clean.to(logits.dtype).log_softmax(-1)


def _divergence(p_log: Tensor, q_log: Tensor) -> Tensor:
    """KL(p || q) = sum p (g + exp(-g) - 1), g = log p - log q: the sum of p g, as the rest, q - p, sums to 0.

    No term is below 0 and the error of the normalisers drops out: float32 gives 1e-5 to three digits, not to one.
    """
    tiny = p_log < -80  # where exp(-g) could overflow, and the term is q
    gap = (p_log - q_log).masked_fill(tiny, 0.0)
    return torch.where(tiny, q_log.exp(), p_log.exp() * (gap + torch.expm1(-gap))).sum(-1)
