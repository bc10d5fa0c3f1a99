"""What is (a + b) mod 59? A one-layer transformer that learned the rule from some of the pairs and knows the others.

The task is that of Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability".
Run ``python -m causalmi.testbeds.modular_sum`` to train it again.
"""

from dataclasses import asdict
from itertools import repeat

import torch
from torch import Tensor, nn

from causalmi.models.transformer import Transformer
from causalmi.models.transformer_config import TransformerConfig
from causalmi.rng import torch_stream
from causalmi.testbeds.training import fit, right, seeded
from causalmi.testbeds.weights import restore, store

NAME = "modular-addition"
MODULUS = 59
EQUALS = MODULUS  # the token after the two numbers
STEPS, SHARE = 4_000, 0.7
CONFIG = TransformerConfig(
    n_layers=1,
    n_heads=4,
    d_model=64,
    d_vocab=MODULUS + 1,
    d_vocab_out=MODULUS,
    n_ctx=3,
    normalization_type=None,
    readout_position=-1,
)


def table() -> tuple[Tensor, Tensor]:
    """All pairs as tokens [a, b, =], int64 [59 * 59, 3], and their sums, int64 [59 * 59]."""
    a, b = torch.cartesian_prod(torch.arange(MODULUS), torch.arange(MODULUS)).unbind(1)
    return torch.stack([a, b, torch.full_like(a, EQUALS)], 1), (a + b) % MODULUS


def shown(seed: int) -> Tensor:
    """Which of the pairs training sees, bool [59 * 59]: seven tenths of them."""
    order = torch.randperm(MODULUS**2, generator=torch_stream(seed, "shown"))
    return order < SHARE * MODULUS**2


def train(seed: int, *, steps: int = STEPS) -> Transformer:
    """The network trained on all shown pairs at once, ``steps`` times, with strong weight decay."""
    net, (tokens, sums), seen = seeded(lambda: Transformer(CONFIG), seed), table(), shown(seed)
    fit(net, repeat(((tokens[seen],), sums[seen])), steps=steps, lr=3e-3, weight_decay=1.0)
    return net


def accuracy(net: nn.Module, which: Tensor | None = None) -> float:
    """The share of all pairs, or of those in ``which`` (bool [59 * 59]), that ``net`` gets right."""
    tokens, sums = table()
    hits = right(net, (tokens,), sums)
    return (hits if which is None else hits[which]).double().mean().item()


def trained() -> Transformer:
    """The shipped network: tokens [a, b, 59], int64 [batch, 3] -> logits [batch, 59]."""
    return restore(NAME, lambda config: Transformer(TransformerConfig(**config)))


def main(seed: int = 0) -> None:
    """Train, judge and store the network."""
    torch.set_num_threads(1)
    net, seen = train(seed), shown(seed)
    log = [f"{NAME}: seed {seed}, {STEPS} steps on {int(seen.sum())} of the {len(seen)} pairs"]
    log.append(f"accuracy on all pairs: {accuracy(net):.5f}; on the pairs never seen: {accuracy(net, ~seen):.5f}")
    store(NAME, net, asdict(CONFIG), log)


if __name__ == "__main__":
    main()
