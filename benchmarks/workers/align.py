"""What do all workers that learn alignments share? Bare passes, the blocks above a place alone, and the measuring."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.align_job import Fits, read_fits
from benchmarks.job import Figure
from benchmarks.measure import Cost, figure_of_edit, measure

TOGETHER = 3  # steps that are timed at once


def start() -> Fits:
    """The job in the folder that the command line names; one thread."""
    torch.set_num_threads(1)
    return read_fits(sys.argv[1])


def bare_pass(fits: Fits, network: Any) -> Callable[[], object]:
    """One forward and one backward pass of the bare model on a batch, to its embeddings: the loss of a step."""
    tokens = fits.tokens()
    base, wanted = tokens["base"][: fits.n], tokens["wanted"][: fits.n]

    def once() -> None:
        x = network.transformer.wte(base).requires_grad_()
        functional.cross_entropy(network(inputs_embeds=x).logits[:, -1], wanted).backward()

    return once


def timed(name: str, step: Callable[[], object], bare: Callable[[], object], repeats: int) -> Figure:
    """The cost of one step, after one that warms up, with bare passes in between."""
    step()

    def several() -> None:
        for _ in range(TOGETHER):
            step()

    costs, seconds = measure([several] * repeats, bare, device="cpu", every=1)
    return figure_of_edit(name, [Cost(cost.seconds / TOGETHER, cost.bytes) for cost in costs], seconds)


def suffix_pass(fits: Fits, network: Any, layer: int) -> Callable[[], object]:
    """A forward and a backward pass of the blocks after ``layer`` on the last position: what no step can do without.

    Keys and values of the positions before are given.
    """
    hidden, kept = _prefix(fits, network, layer)
    wanted, heads = fits.tokens()["wanted"][: fits.n], network.config.n_head

    def once() -> None:
        x = hidden.clone().requires_grad_()
        y = x
        for block, (keys, values) in kept:
            q, k, v = (_by_head(part[:, None], heads) for part in block.attn.c_attn(block.ln_1(y)).chunk(3, 1))
            seen = functional.scaled_dot_product_attention(q, torch.cat([keys, k], 2), torch.cat([values, v], 2))
            y = y + block.attn.c_proj(seen.flatten(1))
            y = y + block.mlp(block.ln_2(y))
        functional.cross_entropy(network.lm_head(network.transformer.ln_f(y)), wanted).backward()

    return once


@torch.no_grad()
def _prefix(fits: Fits, network: Any, layer: int) -> tuple[Tensor, list[tuple[Any, tuple[Tensor, Tensor]]]]:
    """What leaves ``layer`` at the last position, and each later block with its keys and values of all before."""
    tokens, parts = fits.tokens()["base"][: fits.n], network.transformer
    x = parts.wte(tokens) + parts.wpe(torch.arange(fits.length))
    hidden, kept = x[:, -1], list[tuple[Any, tuple[Tensor, Tensor]]]()
    for number, block in enumerate(parts.h):
        if number > layer:
            _, k, v = (
                _by_head(part[:, :-1], network.config.n_head) for part in block.attn.c_attn(block.ln_1(x)).chunk(3, 2)
            )
            kept.append((block, (k.contiguous(), v.contiguous())))
        given = block(x)
        x = given[0] if isinstance(given, tuple) else given
        hidden = x[:, -1] if number == layer else hidden
    return hidden, kept


def _by_head(x: Tensor, heads: int) -> Tensor:
    """[n, pos, d] as [n, head, pos, d_head]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
