"""Which strings does the brackets classifier see, and when is one of them balanced?

A string is balanced when ``(`` and ``)`` are equally many and, read from left to right, no prefix has more ``)`` than
``(``. A mixture of four kinds makes each of the two conditions needed on its own.
"""

import zlib
from collections.abc import Callable

import numpy as np

LONGEST = 20
START, OPEN, CLOSE, END = range(4)

Draw = Callable[[np.random.Generator], str]


def equal_count(text: str) -> bool:
    """Whether ``text`` has as many ``(`` as ``)``."""
    return text.count("(") == text.count(")")


def never_below(text: str) -> bool:
    """Whether no prefix of ``text`` has more ``)`` than ``(``.

    >>> never_below("(()"), never_below("())(")
    (True, False)
    """
    return bool(heights(text).min() >= 0)


def none_left_open(text: str) -> bool:
    """Whether no suffix of ``text`` has more ``(`` than ``)``: never below zero, read from the right.

    With equal counts it says the same as :func:`never_below`; without, it need not.

    >>> never_below("(()"), none_left_open("(()")
    (True, False)
    """
    return bool(heights(text)[-1] <= heights(text).min())


def heights(text: str) -> np.ndarray:
    """The number of ``(`` minus that of ``)`` after each prefix, the empty one included, int64 [len(text) + 1]."""
    return np.concatenate([[0], np.cumsum([1 if c == "(" else -1 for c in text], dtype=np.int64)])


def encode(text: str) -> list[int]:
    """The network's tokens: start, 1 for ``(``, 2 for ``)``, end.

    >>> encode("()")
    [0, 1, 2, 3]
    """
    return [START, *(OPEN if c == "(" else CLOSE for c in text), END]


def shuffled(rng: np.random.Generator, length: int | None = None) -> str:
    """A string with equal counts in any order; of any even length, or of ``length``."""
    half = int(rng.integers(1, LONGEST // 2 + 1)) if length is None else length // 2
    return "".join(rng.permutation(list("()" * half)))


def balanced(rng: np.random.Generator, length: int | None = None) -> str:
    """A balanced string, each of its length equally likely (the cycle lemma: one rotation never dips)."""
    text = shuffled(rng, length) + ")"
    text = "".join(rng.permutation(list(text)))
    lowest = int(heights(text).argmin())
    return (text[lowest:] + text[:lowest])[:-1]


def dipping(rng: np.random.Generator, length: int | None = None) -> str:
    """A string with equal counts that dips below zero: shuffled, or balanced but for two brackets swapped."""
    while True:
        text = shuffled(rng, length) if rng.random() < 0.5 else _swapped(balanced(rng, length), rng)
        if not never_below(text):
            return text


def unequal(rng: np.random.Generator) -> str:
    """A string with counts that are close but unequal: one bracket of a balanced or shuffled one turned or removed."""
    text = balanced(rng) if rng.random() < 0.5 else shuffled(rng)
    at = int(rng.integers(len(text)))
    turned = "" if rng.random() < 0.3 else ")" if text[at] == "(" else "("
    return text[:at] + turned + text[at + 1 :]


def uniform(rng: np.random.Generator) -> str:
    """A string whose brackets are independent coin tosses."""
    return "".join(rng.choice(["(", ")"], int(rng.integers(1, LONGEST + 1))))


KINDS: dict[str, Draw] = {"balanced": balanced, "dipping": dipping, "unequal": unequal, "uniform": uniform}


def draw(rng: np.random.Generator) -> str:
    """A string of a random kind, 1 to 20 brackets; a drawn domain for a causal model's input.

    >>> draw(np.random.default_rng(0)) == draw(np.random.default_rng(0))
    True
    """
    return list(KINDS.values())[int(rng.integers(len(KINDS)))](rng)


def full(rng: np.random.Generator) -> str:
    """A string of 20 brackets, so that positions mean the same in all: balanced, dipping, or with close unequal counts.

    >>> len(full(np.random.default_rng(0)))
    20
    """
    kind = int(rng.integers(4))
    if kind == 0:
        return dipping(rng, LONGEST)
    text = balanced(rng, LONGEST) if kind < 3 else shuffled(rng, LONGEST)
    if kind == 1:
        return text
    at = int(rng.integers(LONGEST))
    return text[:at] + (")" if text[at] == "(" else "(") + text[at + 1 :]


def is_held_out(text: str) -> bool:
    """Whether ``text`` is one of the tenth of all strings that the network is never trained on."""
    return zlib.crc32(text.encode()) % 10 == 0


def _swapped(text: str, rng: np.random.Generator) -> str:
    i, j = sorted(rng.integers(len(text), size=2))
    letters = list(text)
    letters[i], letters[j] = letters[j], letters[i]
    return "".join(letters)
