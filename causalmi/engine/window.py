"""Which positions of which examples does a replay compute, and what do its blocks receive for them?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

TABLES = ("position_ids", "cache_position")  # one entry for each position, by name of a block's argument
ANGLES = "position_embeddings"  # rotary tables [batch, pos, width], alone or in a tuple


@dataclass(frozen=True, eq=False)
class Window:
    """``width`` of ``length`` positions of n examples, ``runs`` times over: row r of R = runs * n is of example r % n.

    Row r computes positions ``starts[r]`` and on; all before are known from the clean run. ``start`` is the first
    position where it is the same for all rows, and what comes after the window can be left out; else None.
    """

    n: int
    runs: int
    starts: Int[Tensor, " R"]
    start: int | None
    width: int
    length: int
    _cut: dict[tuple[str, int], Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, starts: list[Int[Tensor, " n"]], width: int, length: int, device: Any, *, all_keys: bool) -> "Window":
        """The window of runs that begin at ``starts``, on the CPU, so that no device is waited for.

        ``all_keys``: attention weights have an entry for every position, also for those that none of these sees.
        """
        every = torch.cat(starts)
        first = int(every[0])
        same = bool((every == first).all()) and not all_keys
        return cls(len(starts[0]), len(starts), every.to(device), first if same else None, width, length)

    @cached_property
    def rows(self) -> Int[Tensor, " R"]:
        """Which example each row is of."""
        return torch.arange(self.n, device=self.starts.device).repeat(self.runs)

    @property
    def whole(self) -> bool:
        """Whether every position of every row is computed."""
        return self.width == self.length

    @cached_property
    def positions(self) -> Int[Tensor, "R width"]:
        """The index of each computed position."""
        return self.starts[:, None] + torch.arange(self.width, device=self.starts.device)

    def take(self, x: Tensor) -> Tensor:
        """From [batch, pos, ...] (or batch 1, for all examples) the rows and positions computed, [R, width, ...]."""
        if self.start is not None:
            return self._all(x[:, self.start : self.start + self.width])
        return self._all(x)[torch.arange(len(self.starts), device=x.device)[:, None], self.positions]

    def mask(self, mask: Tensor | None, like: Tensor, *, needed: bool) -> Tensor | None:
        """The rows of an attention mask [batch, 1, query, key] for the queries that are computed.

        None means that each position sees itself and all before it; ``needed`` asks for that in numbers all the same.
        """
        if mask is None:
            return self._causal(like) if needed or not (self.whole or self._last_only) else None
        if self.start is not None:
            stop = self.start + self.width
            return self._all(mask[:, :, self.start : stop, : stop if mask.shape[-1] == self.length else None])
        rows = torch.arange(len(self.starts), device=mask.device)[:, None]
        return self._all(mask).transpose(1, 2)[rows, self.positions].transpose(1, 2)

    def arguments(self, call: Mapping[str, Any], like: Tensor, *, needed: bool) -> dict[str, Any]:
        """The arguments of a block's clean call, but its hidden states, cut to what is computed."""
        cut = {}
        for name, value in call.items():
            key = (name, id(value))  # blocks are mostly given the same tensors
            if key not in self._cut:
                self._cut[key] = self._argument(name, value, like, needed)
            cut[name] = self._cut[key]
        return cut

    def merge(self, clean: Float[Tensor, "batch head pos d"], new: Float[Tensor, "R head width d"]) -> Tensor:
        """Keys or values of the clean run with the computed ones in their place, as far as they can be looked at."""
        if self.whole:
            return new
        if self.start is not None:
            before = clean[:, :, : self.start].expand(self.runs, *clean[:, :, : self.start].shape)
            return torch.cat([before, new.unflatten(0, (self.runs, -1))], dim=3).flatten(0, 1)  # copied once
        full = self._all(clean).transpose(1, 2)
        rows = torch.arange(len(self.starts), device=new.device)[:, None]
        return full.index_put((rows, self.positions), new.transpose(1, 2)).transpose(1, 2)

    @property
    def _last_only(self) -> bool:
        """One query that sees every key there is needs no mask."""
        return self.width == 1 and self.start is not None

    def _all(self, x: Tensor) -> Tensor:
        """``x``, [n, ...] or [1, ...] for all examples, with a row for each of ours."""
        if len(x) == 1:
            return x.expand(len(self.starts), *x.shape[1:])
        return x if self.runs == 1 else x[self.rows]

    def _causal(self, like: Tensor) -> Float[Tensor, "R 1 width key"]:
        keys = self.length if self.start is None else self.start + self.width
        positions = self.positions if self.start is None else self.positions[:1]
        hidden = torch.arange(keys, device=like.device) > positions[:, None, :, None]
        return torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill_(
            hidden, torch.finfo(like.dtype).min
        )

    def _argument(self, name: str, value: Any, like: Tensor, needed: bool) -> Any:
        if name == "attention_mask":
            return self.mask(value, like, needed=needed)
        if name.startswith(ANGLES):
            return tuple(map(self.take, value)) if isinstance(value, tuple) else self.take(value)
        if name in TABLES and value is not None:
            return self.take(value if value.ndim > 1 else value[None])[0 if value.ndim == 1 else slice(None)]
        return value
