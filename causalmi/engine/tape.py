"""What must be kept of a clean run so that another can start in its middle? Each block's call, keys and values."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from causalmi.data.inputs import Inputs
from causalmi.engine.execute import running
from causalmi.engine.hooks import Enough, Step, overheard
from causalmi.engine.selection import Selection
from causalmi.engine.state import state, version
from causalmi.engine.window import ANGLES, TABLES, Window
from causalmi.errors import ModelError
from causalmi.models.decoder import DecoderAdapter
from causalmi.models.tap import first
from causalmi.spec.site import Site


@dataclass(frozen=True, eq=False)
class Call:
    """A block's call on a clean run: hidden states [batch, pos, d_model], other arguments, and its keys and values."""

    block: nn.Module
    hidden: Tensor
    arguments: Mapping[str, Any]
    cache: "Kept"

    def again(self, hidden: Tensor, window: Window, *, opened: bool) -> Tensor:
        """The block's output on new hidden states of the positions that ``window`` computes, [R, width, d_model]."""
        arguments = window.arguments(self.arguments, hidden, needed=opened)
        return first(self.block(hidden, **arguments, **{self.cache.name: Merged(self.cache, window)}))


class Kept:
    """Stands for a block's cache on the clean run and keeps its keys and values, [batch, head, pos, d_head]."""

    keys: Tensor
    values: Tensor
    version: int  # of the hidden states when the block was called

    def __init__(self, name: str):
        self.name = name

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Called by the attention module with what it computed; gives what it looks at."""
        self.keys, self.values = keys, values
        return keys, values


class Merged:
    """Stands for a block's cache on a replay: the clean run's keys and values, the computed ones in their place."""

    def __init__(self, kept: Kept, window: Window):
        self._kept, self._window = kept, window

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Called by the attention module with what it computed; gives what it looks at."""
        return self._window.merge(self._kept.keys, keys), self._window.merge(self._kept.values, values)


@dataclass(frozen=True, eq=False)
class Tape:
    """A clean run of ``inputs``: its blocks' calls in order, and the last one's output, [batch, pos, d_model]."""

    inputs: Inputs
    calls: tuple[Call, ...]
    final: Tensor
    state: tuple[object, ...]  # of the network when it was run

    def hidden(self, block: int) -> Tensor:
        """What enters block ``block``, or leaves the last."""
        return self.calls[block].hidden if block < len(self.calls) else self.final

    @property
    def numbers(self) -> int:
        """How many numbers are kept, apart from masks."""
        each = ((call.hidden, call.cache.keys, call.cache.values) for call in self.calls)
        return self.final.numel() + sum(x.numel() for parts in each for x in parts)


def tape(adapter: DecoderAdapter, inputs: Inputs) -> Tape:
    """A clean run of ``inputs``, all in one batch, kept; it ends where the last block does.

    Raises ModelError for a network whose blocks' calls cannot be repeated on some positions alone.
    """
    here, blocks = inputs.to(adapter.device), adapter.blocks
    last = Site("resid_post", len(blocks) - 1)
    step = Step(site=last, tap=adapter.tap(last), selection=Selection())
    kept = [Kept(str(adapter.family.cache)) for _ in blocks]
    with running(adapter, [step], stop=True) as trace, overheard(blocks, kept) as calls, suppress(Enough):
        adapter.call(here.values, here.mask)
    if len(calls) != len(blocks) or any(not hasattr(cache, "keys") for cache in kept):
        raise ModelError(f"{len(calls)} calls of its {len(blocks)} blocks were seen, and not all used their cache")
    repeatable = tuple(_call(*parts) for parts in zip(blocks, calls, kept, strict=True))
    return Tape(here, repeatable, trace.values[last], state(adapter.module))


def _call(block: nn.Module, arguments: dict[str, Any], cache: Kept) -> Call:
    (_, hidden), *others = arguments.items()
    rest = dict(others)
    if version(hidden) != cache.version:
        raise ModelError("its blocks write into what they are given, so that it is not kept")
    for key, value in rest.items():
        mask = key == "attention_mask" and (value is None or (isinstance(value, Tensor) and value.ndim == 4))
        if not (mask or key in TABLES or key.startswith(ANGLES) or _plain(value)):
            kind = type(value).__name__
            raise ModelError(f"its blocks are called with {key}, a {kind} of which it is not known what positions need")
    return Call(block, hidden, rest, cache)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | torch.dtype)
