"""The textbook's network of a real one, family by family, from its weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.methods.circuits.textbook import Book, Layer


def rotary(width: int) -> Callable[[Tensor], Tensor]:
    """Entry i of the first ``width`` is turned with entry i + width / 2, by position / 10000^(2 i / width)."""

    def turn(x: Tensor) -> Tensor:
        half = width // 2
        angle = torch.arange(x.shape[1])[:, None] * 10000.0 ** (-torch.arange(half) / half)
        cos, sin = angle.cos(), angle.sin()
        a, b, rest = x[..., :half], x[..., half:width], x[..., width:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], dim=-1)

    return turn


def by_head(weight: Tensor, bias: Tensor | None, heads: int) -> list[tuple[Tensor, Tensor]]:
    """Of a weight [heads * d_head, d]."""
    bias = torch.zeros(len(weight)) if bias is None else bias
    return [(w.T, b) for w, b in zip(weight.chunk(heads), bias.chunk(heads), strict=True)]


def bias_of(linear: Any, width: int) -> Tensor:
    return torch.zeros(width, dtype=torch.float64) if getattr(linear, "bias", None) is None else linear.bias


def reference(net: Any) -> Book:
    def layer(block: Any) -> Layer:
        a, m, heads = block.attn, block.mlp, net.config.n_heads
        qkv = {w: by_head(getattr(a, w).weight, getattr(a, w).bias, heads) for w in "qkv"}
        return Layer(
            block.ln1,
            qkv,
            [*a.o.weight.T.chunk(heads)],
            a.o.bias,
            block.ln2,
            lambda x: m.act(m.up(x)),
            m.down.weight.T,
            m.down.bias,
        )

    def embeds(tokens: Tensor) -> list[Tensor]:
        return [net.embed(tokens), net.pos_embed(torch.arange(tokens.shape[1])).expand(*tokens.shape, -1)]

    causal = net.config.attention_dir == "causal"
    return Book(
        [layer(b) for b in net.blocks], embeds, lambda x: net.unembed(net.ln_final(x)), lambda x: x, causal=causal
    )


def gpt2(net: Any) -> Book:
    def layer(block: Any) -> Layer:
        a, m, heads = block.attn, block.mlp, net.config.n_head
        parts = zip("qkv", a.c_attn.weight.T.chunk(3), a.c_attn.bias.chunk(3), strict=True)
        qkv = {w: by_head(x, b, heads) for w, x, b in parts}
        o = [*a.c_proj.weight.chunk(heads)]
        return Layer(
            block.ln_1, qkv, o, a.c_proj.bias, block.ln_2, lambda x: m.act(m.c_fc(x)), m.c_proj.weight, m.c_proj.bias
        )

    def embeds(tokens: Tensor) -> list[Tensor]:
        return [
            net.transformer.wte(tokens),
            net.transformer.wpe(torch.arange(tokens.shape[1])).expand(*tokens.shape, -1),
        ]

    return Book(
        [layer(b) for b in net.transformer.h], embeds, lambda x: net.lm_head(net.transformer.ln_f(x)), lambda x: x
    )


def llama(net: Any) -> Book:
    cfg = net.config

    def layer(block: Any) -> Layer:
        a, m = block.self_attn, block.mlp
        counts = {"q": cfg.num_attention_heads, "k": cfg.num_key_value_heads, "v": cfg.num_key_value_heads}
        qkv = {w: by_head(p.weight, p.bias, n) for w, n in counts.items() for p in [getattr(a, f"{w}_proj")]}
        o, d = [*a.o_proj.weight.T.chunk(counts["q"])], cfg.hidden_size
        hidden = lambda x: m.act_fn(m.gate_proj(x)) * m.up_proj(x)  # noqa: E731
        norms = block.input_layernorm, block.post_attention_layernorm
        return Layer(
            norms[0], qkv, o, bias_of(a.o_proj, d), norms[1], hidden, m.down_proj.weight.T, bias_of(m.down_proj, d)
        )

    turn = rotary(net.model.layers[0].self_attn.head_dim)
    return Book(
        [layer(b) for b in net.model.layers],
        lambda t: [net.model.embed_tokens(t)],
        lambda x: net.lm_head(net.model.norm(x)),
        turn,
    )


def neox(net: Any) -> Book:
    heads = net.config.num_attention_heads

    def layer(block: Any) -> Layer:
        a, m = block.attention, block.mlp
        weight, bias = a.query_key_value.weight.unflatten(0, (heads, 3, -1)), a.query_key_value.bias.view(heads, 3, -1)
        qkv = {w: [(weight[h, i].T, bias[h, i]) for h in range(heads)] for i, w in enumerate("qkv")}
        hidden = lambda x: m.act(m.dense_h_to_4h(x))  # noqa: E731
        down = m.dense_4h_to_h
        norms = block.input_layernorm, block.post_attention_layernorm
        return Layer(
            norms[0], qkv, [*a.dense.weight.T.chunk(heads)], a.dense.bias, norms[1], hidden, down.weight.T, down.bias
        )

    width = net.config.hidden_size // heads // 2
    base = net.gpt_neox
    return Book(
        [layer(b) for b in base.layers],
        lambda t: [base.embed_in(t)],
        lambda x: net.lm_head(base.final_layer_norm(x)),
        rotary(width),
        parallel=True,
    )
