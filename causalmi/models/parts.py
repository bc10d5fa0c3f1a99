"""What does each node of a transformer compute by itself? Heads from inputs of their own, MLPs, and the logits.

The network's own norms and MLPs are called; attention is computed from its weights, for any set of heads and positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from causalmi.errors import ModelError
from causalmi.models.decoder import DecoderAdapter
from causalmi.models.weights import Projection, output, projection

Rows = Any  # a slice, or indices


@dataclass(frozen=True)
class Angles:
    """Rotary embeddings: cos and sin [n or 1, pos, width], for halves or pairs of the first ``width`` entries."""

    cos: Tensor
    sin: Tensor
    pairs: bool

    def __call__(self, x: Float[Tensor, "head n pos d"], rows: Tensor, at: Tensor | None) -> Tensor:
        """``x`` turned; its n are the examples ``rows``, its positions all, or the one ``at`` [n, 1] of each."""
        cos, sin = (_where(table, rows, at) for table in (self.cos, self.sin))
        turned, rest = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
        a, b = turned.unflatten(-1, (-1, 2)).unbind(-1) if self.pairs else turned.chunk(2, dim=-1)
        other = torch.stack([-b, a], dim=-1).flatten(-2) if self.pairs else torch.cat([-b, a], dim=-1)
        return torch.cat([turned * cos + other * sin, rest], dim=-1)


@dataclass(frozen=True)
class Sight:
    """What a layer's attention is given beside its input: who may look where, and the angles of positions."""

    mask: Float[Tensor, "n 1 query key"] | None  # added to the scores
    angles: Angles | None


class Parts:
    """The nodes of the network of ``adapter`` as functions; raises ModelError where heads or MLPs do not add."""

    def __init__(self, adapter: DecoderAdapter, n_kv_heads: int | None = None) -> None:
        """``n_kv_heads``: as many keys and values as are told apart, where it is not the network's own number."""
        if problem := refusal(adapter):
            raise ModelError(f"{adapter.name} has no graph of edges: {problem}")
        self.adapter, self.family, self.shape = adapter, adapter.family, adapter.shape
        self.blocks = adapter.blocks
        self._copies = (n_kv_heads or self.shape.n_kv_heads) // self.shape.n_kv_heads
        self._projections = dict[tuple[str, int], Projection]()
        self._outputs = [output(adapter, layer) for layer in range(self.shape.n_layers)]  # refused now, if at all

    def project(self, which: str, layer: int) -> Projection:
        """The projection of "q", "k" or "v"."""
        if (which, layer) not in self._projections:
            self._projections[which, layer] = projection(self.adapter, which, layer, self._copies)
        return self._projections[which, layer]

    def output(self, layer: int) -> tuple[Tensor, Tensor | None]:
        """W_O [head, d_head, d_model] and b_O [d_model]."""
        return self._outputs[layer]

    def write(self, layer: int, z: Float[Tensor, "head n pos d_head"], heads: Rows = slice(None)) -> Tensor:
        """What some ``heads`` add to the stream, [head, n, pos, d_model]."""
        weight = self.output(layer)[0][heads]
        added: Tensor = (z.flatten(1, 2) @ weight).unflatten(1, z.shape[1:3])
        return added

    def read(self, which: str, layer: int, x: Tensor, heads: Rows = slice(None)) -> Tensor:
        """Queries, keys or values, [head, n, pos, d_head], of heads that read streams ``x`` [head or 1, n, pos, d]."""
        return self.project(which, layer)(self.blocks[layer].get_submodule(self.family.attn_norm)(x), heads)

    def turn(
        self, which: str, layer: int, x: Tensor, sight: Sight, rows: Tensor, at: Tensor | None = None
    ) -> Float[Tensor, "head n pos d_head"]:
        """Queries or keys after their norms and rotary embeddings."""
        if self._qk_norms is not None:
            x = self.blocks[layer].get_submodule(self._qk_norms["qk".index(which)])(x)
        return x if sight.angles is None else sight.angles(x, rows, at)

    def attend(
        self, layer: int, qkv: tuple[Tensor, Tensor, Tensor], sight: Sight, rows: Tensor, at: Tensor | None = None
    ) -> Tensor:
        """The heads' z, [head, n, pos, d_head], of turned queries and keys, and values [head, n, key, d_head]."""
        mask = None if sight.mask is None else _where(sight.mask[:, 0], rows, at)[:, None]
        q, k, v = (x.transpose(0, 1) for x in qkv)
        z = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=self._scale(layer))
        return z.transpose(0, 1)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        """What the MLP adds when it reads the stream ``x`` [n, pos, d_model]."""
        block, shape = self.blocks[layer], x.shape
        x = x.flatten(0, 1) if self.family.flat else x
        for path in (self.family.mlp_norm, *self.family.mlp_steps):
            x = block.get_submodule(path)(x)
        return x.view(shape)

    def tail(self, x: Float[Tensor, "... d_model"]) -> Tensor:
        """Logits [..., d_out] of the stream ``x``."""
        return self.adapter.tail(x)

    def sight(self, layer: int, arguments: Mapping[str, Any], like: Tensor) -> Sight:
        """What attention of ``layer`` is given when its block is called with ``arguments`` on ``like`` [n, pos, d]."""
        mask = self._mask(arguments.get("attention_mask"), like)
        return Sight(None if mask is None else _alike(mask), self._angles(layer, arguments))

    def _mask(self, given: Tensor | None, like: Tensor) -> Tensor | None:
        least = torch.finfo(like.dtype).min
        if given is None and not self.adapter.causal:
            return None
        if given is None:
            length = like.shape[1]
            given = torch.ones(length, length, dtype=torch.bool, device=like.device).tril()[None, None]
        if given.dtype != torch.bool:
            return given.to(like.dtype)
        return torch.zeros(given.shape, dtype=like.dtype, device=like.device).masked_fill_(~given, least)

    def _angles(self, layer: int, arguments: Mapping[str, Any]) -> Angles | None:
        if self.family.rotary is None:
            return None
        if self.family.rotary == "halves":
            cos, sin = arguments["position_embeddings"]
            return Angles(_alike(cos), _alike(sin), pairs=False)
        attention: Any = self.blocks[layer].get_submodule(self.family.attention)
        weight = self.project("k", layer).weight
        table = attention.embed_positions.to(weight)[arguments["position_ids"].to(weight.device)]
        sin, cos = (part.repeat_interleave(2, dim=-1) for part in table.chunk(2, dim=-1))
        return Angles(_alike(cos), _alike(sin), pairs=True)

    def _scale(self, layer: int) -> float:
        attention: Any = self.blocks[layer].get_submodule(self.family.attention)
        found = getattr(attention, "scaling", None)
        if found is not None:
            return float(found)
        return 1 / float(attention.scale_attn if hasattr(attention, "scale_attn") else attention.cfg.attn_scale)

    @cached_property
    def _qk_norms(self) -> tuple[str, str] | None:
        names = self.family.qk_norm
        here = {path for path, _ in self.blocks[0].named_modules()}
        return names if names is not None and set(names) <= here else None


def refusal(adapter: Any) -> str | None:
    """Why a network's residual stream is not a sum of what its heads and MLPs add, or None."""
    if not isinstance(adapter, DecoderAdapter):
        return "it is addressed by module paths; give a Transformer, or a model of Hugging Face of a known family"
    if adapter.family.pixels:
        return "its positions are patches of images"
    if adapter.family.post_norm:
        return "it norms the stream itself after each sum, so what was added before is no longer a summand"
    if not adapter.family.heads_add:
        return "a norm after its attention mixes what the heads add; patch whole attn_out and mlp_out instead"
    return None


def _where(x: Float[Tensor, "n pos w"], rows: Tensor, at: Tensor | None) -> Tensor:
    """The entries of some examples, at the position ``at`` [n, 1] of each."""
    if at is None:
        return x if len(x) == 1 else x[rows]
    return x[rows[:, None] if len(x) > 1 else 0, at]


def _alike(x: Tensor) -> Tensor:
    """A table with one row where all examples have the same."""
    if len(x) == 1:
        return x
    return x[:1] if bool((x == x[:1]).all()) else x
