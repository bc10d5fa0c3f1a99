"""Which inputs does hierarchical equality have: four vectors w, x, y, z, and is (w == x) == (y == z)?

The task is that of Geiger et al. 2023, "Finding alignments between interpretable causal variables".
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ENTITIES = 40


def entities(count: int, size: int, *, seed: int) -> Floats:
    """``count`` vectors, float64 [count, size], uniform in [-1, 1]: what stands for the values of w, x, y and z.

    >>> entities(10, 4, seed=0).shape
    (10, 4)
    """
    return np.random.default_rng(seed).uniform(-1, 1, (count, size))


def pair(rng: np.random.Generator) -> tuple[int, int]:
    """Two of ENTITIES names, equal in half of the draws; a drawn domain for a causal model's input.

    >>> pair(np.random.default_rng(0)) == pair(np.random.default_rng(0))
    True
    """
    a, b = rng.choice(ENTITIES, 2, replace=False).tolist()
    return (a, a) if rng.random() < 0.5 else (a, b)


def encoder(vectors: Floats) -> Callable[[Mapping[str, Any]], Floats]:
    """A function from a setting of the pairs wx and yz (rows of ``vectors``) to the input, float64 [4 * size].

    >>> encoder(np.array([[0.0], [1.0]]))({"wx": (0, 1), "yz": (1, 0)})
    array([0., 1., 1., 0.])
    """

    def encode(setting: Mapping[str, Any]) -> Floats:
        return np.concatenate([vectors[name] for name in (*setting["wx"], *setting["yz"])])

    return encode


def draw(n: int, size: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """Inputs, float64 [n, 4 * size], of fresh vectors, and labels, int64 [n].

    Each pair is equal in half of the examples, independently, so each label holds in half of them.
    """
    w, x, y, z = rng.uniform(-1, 1, (4, n, size))
    wx, yz = rng.random((2, n)) < 0.5
    x, z = np.where(wx[:, None], w, x), np.where(yz[:, None], y, z)
    return np.concatenate([w, x, y, z], axis=1), (wx == yz).astype(np.int64)
