"""What followed this letter when it came before? A two-layer attention-only transformer that looks it up.

The mechanism is that of Olsson et al. 2022, "In-context learning and induction heads": a head of layer 0 writes to each
position which letter precedes it, and heads of layer 1 look from the last letter for the position that it precedes.
Run ``python -m causalmi.testbeds.induction`` to train it again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from causalmi.models.transformer import Transformer
from causalmi.models.transformer_config import TransformerConfig
from causalmi.rng import stream
from causalmi.testbeds.training import Batch, fit, right, seeded
from causalmi.testbeds.weights import restore, store

NAME = "induction"
ALPHABET, LENGTH = 24, 16
BATCH, STEPS = 256, 1_000
CONFIG = TransformerConfig(
    n_layers=2,
    n_heads=4,
    d_model=64,
    d_vocab=ALPHABET,
    n_ctx=LENGTH,
    attn_only=True,
    normalization_type=None,
    readout_position=-1,
)


def letters(rng: np.random.Generator) -> tuple[int, ...]:
    """16 of the letters 0 to 23, all different but for the last, which occurs once before; a drawn domain.

    Its first occurrence is equally likely at each of the positions 0 to 13, so no position tells the answer.

    >>> text = letters(np.random.default_rng(0))
    >>> len(text), text.count(text[-1]), len(set(text))
    (16, 2, 15)
    """
    text = rng.permutation(ALPHABET)[: LENGTH - 1].tolist()
    return (*text, text[rng.integers(LENGTH - 2)])


def earlier(text: Sequence[int]) -> int:
    """The position at which the last letter of ``text`` occurs first.

    >>> earlier((5, 3, 8, 3))
    1
    """
    return text.index(text[-1])


def answer(text: Sequence[int]) -> int:
    """The letter that followed the last letter of ``text`` when it came before.

    >>> answer((5, 3, 8, 3))
    8
    """
    return text[earlier(text) + 1]


def tensors(n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """``n`` texts distributed as :func:`letters`, int64 [n, 16], and their answers, int64 [n]."""
    alphabets = np.tile(np.arange(ALPHABET), (n, 1))
    text, rows = rng.permuted(alphabets, axis=1)[:, :LENGTH], np.arange(n)
    first = rng.integers(LENGTH - 2, size=n)
    text[:, -1] = text[rows, first]
    return torch.from_numpy(text), torch.from_numpy(text[rows, first + 1])


def batches(seed: int) -> Iterator[Batch]:
    """Batches of 256 fresh texts."""
    rng = stream(seed, "train")
    while True:
        text, answers = tensors(BATCH, rng)
        yield (text,), answers


def train(seed: int, *, steps: int = STEPS) -> Transformer:
    """The network trained on ``steps`` batches of fresh texts."""
    net = seeded(lambda: Transformer(CONFIG), seed)
    fit(net, batches(seed), steps=steps, lr=3e-3, weight_decay=0.5)
    return net


def accuracy(net: nn.Module, *, n: int = 20_000, seed: int = 0) -> float:
    """The share of ``n`` fresh texts that ``net`` gets right."""
    text, answers = tensors(n, stream(seed, "judge"))
    return right(net, (text,), answers).double().mean().item()


def trained() -> Transformer:
    """The shipped network: tokens, int64 [batch, 16] -> logits [batch, 24]."""
    return restore(NAME, lambda config: Transformer(TransformerConfig(**config)))


def main(seed: int = 0) -> None:
    """Train, judge and store the network."""
    torch.set_num_threads(1)
    net = train(seed)
    log = [f"{NAME}: seed {seed}, {STEPS} steps of {BATCH}", f"accuracy on 20,000 fresh texts: {accuracy(net):.5f}"]
    store(NAME, net, asdict(CONFIG), log)


if __name__ == "__main__":
    main()
