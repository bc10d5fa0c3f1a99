"""Where randomness comes from: one seed, and a stream of its own for every named use, the same in every process."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def entropy(seed: int, *names: str) -> list[int]:
    """The integers that seed the stream called ``names``: they depend on nothing but ``seed`` and ``names``."""
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    return [seed, *(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))]


def stream(seed: int, *names: str) -> np.random.Generator:
    """A numpy generator for one named use of ``seed``; adding a use moves no other.

    >>> int(stream(0, "pairs").integers(100)) == int(stream(0, "pairs").integers(100))
    True
    """
    return np.random.default_rng(entropy(seed, *names))


def torch_stream(seed: int, *names: str) -> "torch.Generator":
    """The same as :func:`stream`, as a CPU ``torch.Generator``."""
    import torch

    state = np.random.SeedSequence(entropy(seed, *names)).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


@contextmanager
def forked(seed: int, *names: str) -> Iterator[None]:
    """Within, torch's own generator runs on the stream ``names`` of ``seed``; after, it is as it was.

    For code that draws without taking a generator, such as the initialisation of a module on the CPU.
    """
    import torch

    before = torch.get_rng_state()
    torch.default_generator.manual_seed(torch_stream(seed, *names).initial_seed())  # the CPU's alone
    try:
        yield
    finally:
        torch.set_rng_state(before)
