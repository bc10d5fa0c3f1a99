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
    """Attention of [batch, head, pos, d_head] queries over the keys of each group of heads."""
    group = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(group, dim=1) for x in (key, value))
    scale = kwargs.get("scaling")
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attention_mask is not None:
        scores = scores + attention_mask[..., : key.shape[-2]]
    pattern = torch.softmax(scores, dim=-1, dtype=torch.promote_types(query.dtype, torch.float32)).to(query.dtype)
    tap = _active.get().get(id(module))
    if tap is not None:
        pattern = tap(pattern)
    return (pattern @ value).transpose(1, 2).contiguous(), pattern
