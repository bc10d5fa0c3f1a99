"""What is the smallest transformer that research models fit in, and how does a reader follow every number through it?

The configuration uses the field names of TransformerLens' ``HookedTransformerConfig``, so that its checkpoints load.
"""

from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from causalmi.errors import DataError
from causalmi.models.transformer_config import ACTIVATIONS, TransformerConfig

Allowed: TypeAlias = Bool[Tensor, "batch 1 query key"]


class Attention(nn.Module):
    """Multi-head attention; the output projection's input is the heads' z side by side."""

    def __init__(self, cfg: TransformerConfig):
        super().__init__()
        self.cfg = cfg
        width = cfg.n_heads * cfg.d_head
        self.q, self.k, self.v = (nn.Linear(cfg.d_model, width) for _ in range(3))
        self.o = nn.Linear(width, cfg.d_model)
        self.pattern = nn.Identity()  # a module of its own, so that the attention weights are a place like any other

    def forward(self, x: Float[Tensor, "batch pos d"], attention_mask: Allowed, cache: Any = None) -> Tensor:
        """The heads' summed output, [batch, pos, d_model]; ``attention_mask[b, 0, i, j]`` says that i may look at j.

        ``cache.update(k, v)``, if given, gives the keys and values that are looked at for those computed here.
        """
        q, k, v = (self._split(proj(x)) for proj in (self.q, self.k, self.v))  # [batch, head, pos, d_head]
        k, v = (k, v) if cache is None else cache.update(k, v)
        scores = q @ k.transpose(-1, -2) / self.cfg.attn_scale
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
        pattern = self.pattern(scores.softmax(-1))  # [batch, head, query, key]
        z = (pattern @ v).transpose(1, 2).flatten(2)  # [batch, pos, head * d_head]
        out: Tensor = self.o(z)
        return out

    def _split(self, x: Float[Tensor, "batch pos width"]) -> Float[Tensor, "batch head pos d_head"]:
        split: Tensor = x.unflatten(-1, (self.cfg.n_heads, -1))
        return split.transpose(1, 2)


class MLP(nn.Module):
    """One hidden layer of neurons."""

    def __init__(self, cfg: TransformerConfig):
        super().__init__()
        self.up = nn.Linear(cfg.d_model, cfg.d_mlp)
        self.act = ACTIVATIONS[cfg.act_fn]()
        self.down = nn.Linear(cfg.d_mlp, cfg.d_model)

    def forward(self, x: Float[Tensor, "batch pos d"]) -> Float[Tensor, "batch pos d"]:
        """[batch, pos, d_model] to the same shape."""
        out: Tensor = self.down(self.act(self.up(x)))
        return out


class Block(nn.Module):
    """Attention, then the MLP, each added to the residual stream."""

    def __init__(self, cfg: TransformerConfig):
        super().__init__()
        self.ln1, self.attn = _norm(cfg), Attention(cfg)
        self.ln2: nn.Module | None = None if cfg.attn_only else _norm(cfg)
        self.mlp: MLP | None = None if cfg.attn_only else MLP(cfg)

    def forward(self, x: Float[Tensor, "batch pos d"], attention_mask: Allowed, cache: Any = None) -> Tensor:
        """The residual stream after this block, [batch, pos, d_model]."""
        x = x + self.attn(self.ln1(x), attention_mask, cache)
        if self.ln2 is not None and self.mlp is not None:
            x = x + self.mlp(self.ln2(x))
        return x


class Transformer(nn.Module):
    """A small reference transformer: causal or bidirectional, with or without norms, MLPs and learned positions.

    Takes token ids, int64 [batch, pos], and optionally ``mask``, bool [batch, pos], True for real tokens; positions
    are counted over real tokens only, so padding on either side changes nothing. Gives logits, float [batch, pos,
    d_vocab_out], or [batch, d_vocab_out] when the configuration has a ``readout_position``.

    >>> net = Transformer(TransformerConfig(n_layers=1, n_heads=2, d_model=8, d_vocab=5, n_ctx=4))
    >>> net(torch.tensor([[0, 1, 2]])).shape
    torch.Size([1, 3, 5])
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.d_vocab, config.d_model)
        learned = config.positional_embedding_type == "standard"
        self.pos_embed = nn.Embedding(config.n_ctx, config.d_model) if learned else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_final = _norm(config)
        self.unembed = nn.Linear(config.d_model, config.d_vocab_out)

    def forward(self, tokens: Int[Tensor, "batch pos"], mask: Bool[Tensor, "batch pos"] | None = None) -> Tensor:
        """Logits for ``tokens``; see the class."""
        mask = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool()
        x = self.embed(tokens)
        if self.pos_embed is not None:
            x = x + self.pos_embed((mask.cumsum(-1) - 1).clamp(min=0))
        allowed = self._allowed(mask)
        for block in self.blocks:
            x = block(x, attention_mask=allowed)
        logits: Tensor = self.unembed(self.ln_final(x))
        if self.config.readout_position is None:
            return logits
        return logits[torch.arange(len(logits), device=logits.device), self.readout(mask)]

    def _allowed(self, mask: Bool[Tensor, "batch pos"]) -> Allowed:
        allowed = mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        return allowed.tril() if self.config.attention_dir == "causal" else allowed

    def readout(self, mask: Bool[Tensor, "batch pos"]) -> Int[Tensor, " batch"]:
        """The index of each example's read-out position; raises DataError when one has too few tokens."""
        at = self.config.readout_position or 0
        wanted = at if at >= 0 else mask.sum(-1, keepdim=True) + at  # the how-manieth real token
        hit = mask & (mask.cumsum(-1) - 1 == wanted)
        if not bool(hit.any(-1).all()):
            raise DataError(f"the read-out is at position {at}, and some examples have fewer tokens; give longer ones")
        return hit.int().argmax(-1)


def _norm(cfg: TransformerConfig) -> nn.Module:
    if cfg.normalization_type is None:
        return nn.Identity()
    return nn.LayerNorm(cfg.d_model, eps=cfg.eps, elementwise_affine=cfg.normalization_type == "LN")
