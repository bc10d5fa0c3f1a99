"""How can attention weights be read and written in a Hugging Face model whose fast attention never forms them?

For the runs that need it, the model's configuration names an attention function that computes softmax(q k^T) openly and
passes the weights through one identity module per layer, on which ordinary hooks work. The configuration is put back.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

OPEN = "causalmi_open"
_active: ContextVar["dict[int, nn.Module]"] = ContextVar("causalmi_attention_taps")


class AttentionTaps:
    """One identity module for each attention module of ``model``, outside the model itself."""

    def __init__(self, model: nn.Module):
        self._model, self._taps = model, dict[int, nn.Module]()

    def tap_of(self, attention: nn.Module) -> nn.Module:
        """The identity module through which the weights of ``attention`` pass."""
        return self._taps.setdefault(id(attention), nn.Identity())

    @contextmanager
    def open(self) -> Iterator[None]:
        """Within, the model computes its attention weights in the open; after, it is as it was."""
        _register()
        config: Any = self._model.config
        before, token = config._attn_implementation, _active.set(self._taps)
        config._attn_implementation = OPEN
        try:
            yield
        finally:
            config._attn_implementation = before
            _active.reset(token)


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(OPEN, _attention)
    AttentionMaskInterface.register(OPEN, eager_mask)


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """Attention of [batch, head, query, d_head] queries over the keys of each group of heads.

    ``scaling`` multiplies the scores, ``softcap`` c bounds them, c tanh(scores / c). The mask is added to them, or says
    where they count; windows come in as masks.
    """
    group = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(group, dim=1) for x in (key, value))
    scale, cap = kwargs.get("scaling"), kwargs.get("softcap")
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores if cap is None else cap * (scores / cap).tanh()
    scores = _masked(scores, attention_mask, causal=bool(getattr(module, "is_causal", True)))
    pattern = torch.softmax(scores, dim=-1, dtype=torch.promote_types(query.dtype, torch.float32)).to(query.dtype)
    tap = _active.get().get(id(module))
    if tap is not None:
        pattern = tap(pattern)
    return (pattern @ value).transpose(1, 2).contiguous(), pattern


def _masked(scores: Tensor, mask: Tensor | None, *, causal: bool) -> Tensor:
    """``scores`` [batch, head, query, key] with what may not be looked at out of reach; the last queries if not all."""
    queries, keys = scores.shape[-2:]
    if mask is None:  # then the model relies on its attention function to be causal
        if not causal:
            return scores
        mask = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).tril(keys - queries)
    mask = mask[..., :keys]
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
