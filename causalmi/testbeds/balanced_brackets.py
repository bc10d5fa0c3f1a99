"""Is a string of brackets balanced? A small bidirectional transformer that learned to say so.

The task is that of Redwood Research's balanced-brackets classifier: counts equal, and never below zero. The verdict is
read at the start token. Run ``python -m causalmi.testbeds.balanced_brackets`` to train it again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from causalmi.models.transformer import Transformer
from causalmi.models.transformer_config import TransformerConfig
from causalmi.rng import stream
from causalmi.testbeds.brackets_data import KINDS, LONGEST, Draw, draw, encode, equal_count, is_held_out, never_below
from causalmi.testbeds.training import Batch, fit, right, seeded
from causalmi.testbeds.weights import restore, store

NAME = "balanced-brackets"
BATCH, STEPS = 256, 8_000
CONFIG = TransformerConfig(
    n_layers=3,
    n_heads=2,
    d_model=32,
    d_vocab=4,
    d_vocab_out=2,
    n_ctx=LONGEST + 2,
    attention_dir="bidirectional",
    readout_position=0,
)


def tensors(texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, int64 [n, pos], padded on the right; mask, bool [n, pos]; labels, int64 [n], 1 for balanced."""
    rows = [torch.tensor(encode(text)) for text in texts]
    tokens = pad_sequence(rows, batch_first=True)
    mask = torch.arange(tokens.shape[1]) < torch.tensor([[len(row)] for row in rows])
    return tokens, mask, torch.tensor([equal_count(t) and never_below(t) for t in texts]).long()


def strings(n: int, rng: np.random.Generator, *, held_out: bool, draw: Draw = draw, shortest: int = 1) -> list[str]:
    """``n`` strings from ``draw`` of ``shortest`` brackets or more, all of them held out from training or none."""
    texts: list[str] = []
    while len(texts) < n:
        text = draw(rng)
        if len(text) >= shortest and is_held_out(text) == held_out:
            texts.append(text)
    return texts


def batches(seed: int, *, pool: int) -> Iterator[Batch]:
    """Batches drawn with replacement from ``pool`` strings of the mixture that are not held out."""
    rng = stream(seed, "train")
    tokens, mask, labels = tensors(strings(pool, rng, held_out=False))
    while True:
        rows = torch.from_numpy(rng.integers(pool, size=BATCH))
        yield (tokens[rows], mask[rows]), labels[rows]


def train(seed: int, *, steps: int = STEPS, pool: int = 200_000) -> Transformer:
    """The network trained on ``steps`` batches of 256 strings."""
    net = seeded(lambda: Transformer(CONFIG), seed)
    fit(net, batches(seed, pool=pool), steps=steps, lr=3e-3, weight_decay=0.01)
    return net


def accuracy(net: nn.Module, *, n: int = 20_000, seed: int = 0, draw: Draw = draw) -> float:
    """The share of ``n`` strings that ``net`` gets right, none of which training has ever seen.

    They have 9 brackets or more, because a few short ones would fill most of the draws.
    """
    return _share_right(net, strings(n, stream(seed, "judge"), held_out=True, draw=draw, shortest=9))


def exhaustive_accuracy(net: nn.Module, longest: int) -> float:
    """The share that ``net`` gets right of all strings of 1 to ``longest`` brackets."""
    return _share_right(net, ["".join(s) for n in range(1, longest + 1) for s in product("()", repeat=n)])


def _share_right(net: nn.Module, texts: Sequence[str]) -> float:
    tokens, mask, labels = tensors(texts)
    return float(right(net, (tokens, mask), labels).double().mean())


def trained() -> Transformer:
    """The shipped network: tokens of :func:`causalmi.testbeds.brackets_data.encode` -> logits [batch, 2]."""
    return restore(NAME, lambda config: Transformer(TransformerConfig(**config)))


def main(seed: int = 0) -> None:
    """Train, judge and store the network."""
    torch.set_num_threads(1)
    net = train(seed)
    log = [f"{NAME}: seed {seed}, {STEPS} steps of {BATCH}"]
    log.append(f"accuracy on all 32,766 strings of up to 14 brackets: {exhaustive_accuracy(net, 14):.5f}")
    log.append(f"accuracy on 20,000 strings of 9 to 20 brackets held out from training: {accuracy(net):.5f}")
    log += [f"  of kind {kind}: {accuracy(net, draw=kind_draw):.5f}" for kind, kind_draw in KINDS.items()]
    store(NAME, net, asdict(CONFIG), log)


if __name__ == "__main__":
    main()
