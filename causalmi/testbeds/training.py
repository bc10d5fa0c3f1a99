"""How is a testbed trained so that its seed decides every bit of it?"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Net = TypeVar("Net", bound=nn.Module)
Batch = tuple[tuple[Tensor, ...], Tensor]  # what the network takes, and the classes it should give, int64 [batch]


def seeded(build: Callable[[], Net], seed: int) -> Net:
    """``build()`` with torch's own generator at ``seed``, which is put back as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def fit(net: nn.Module, batches: Iterator[Batch], *, steps: int, lr: float, weight_decay: float = 0.0) -> None:
    """Train ``net`` in place by AdamW on ``steps`` batches; the learning rate rises to ``lr``, then falls to 0."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps + 1, pct_start=0.1)
    for _, (inputs, labels) in zip(range(steps), batches, strict=False):
        optimizer.zero_grad()
        cross_entropy(net(*inputs), labels).backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def right(net: nn.Module, inputs: tuple[Tensor, ...], labels: Tensor, *, batch: int = 4096) -> Tensor:
    """Whether the highest logit is the label's, bool [n]."""
    parts = zip(*(t.split(batch) for t in (*inputs, labels)), strict=True)
    return torch.cat([net(*x).argmax(-1) == y for *x, y in parts])
