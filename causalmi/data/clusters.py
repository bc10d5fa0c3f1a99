"""Which pairs share a base, and how are they divided so that none is on both sides?"""

import unicodedata
from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from causalmi.errors import DataError
from causalmi.rng import stream

Ints = NDArray[np.int64]


def number(keys: Iterable[Hashable]) -> Ints:
    """For each key the number of its kind, int64 [n], in the order in which kinds first appear.

    >>> number("abac").tolist()
    [0, 1, 0, 2]
    """
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)


def plain(text: str) -> str:
    """``text`` without what some tokenizers drop: case, accents and spaces."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in letters if not unicodedata.combining(c) and not c.isspace())


def divide(ids: Ints, fraction: float, *, seed: int) -> tuple[Ints, Ints]:
    """Rows of two parts, the first with ``fraction`` of the rows as nearly as whole clusters allow, both not empty.

    Raises DataError for a fraction outside (0, 1), or a single cluster.
    """
    if not isinstance(fraction, int | float) or not 0 < fraction < 1:
        raise DataError(f"the fraction is {fraction!r}; give a number between 0 and 1, such as 0.5")
    sizes = np.bincount(ids)
    if len(sizes) < 2:
        raise DataError(f"the {len(ids)} pairs have {len(sizes)} distinct base, which cannot be divided; draw more")
    order = stream(seed, "split").permutation(len(sizes))
    behind = np.abs(np.cumsum(sizes[order])[:-1] - fraction * len(ids))
    first = np.isin(ids, order[: int(behind.argmin()) + 1])
    return np.flatnonzero(first), np.flatnonzero(~first)
