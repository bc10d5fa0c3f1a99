"""What shapes can the reference transformer have? The fields are named as in TransformerLens."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from causalmi.errors import SpecError

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_new": lambda: nn.GELU(approximate="tanh"),
    "silu": nn.SiLU,
}
NORMALIZATIONS = (None, "LN", "LNPre")
DIRECTIONS = ("causal", "bidirectional")
POSITIONS = ("standard", None)


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The shape of a :class:`Transformer`; every problem with it is reported at once.

    ``normalization_type`` is None, ``"LN"`` or ``"LNPre"`` (no learned scale); ``positional_embedding_type`` is
    ``"standard"`` (learned) or None. ``readout_position`` is None for logits at every position, else the position
    (negative from the end of each example) whose logits are the class scores.
    """

    n_layers: int
    n_heads: int
    d_model: int
    d_vocab: int
    n_ctx: int
    d_head: int = 0  # 0: d_model / n_heads
    d_mlp: int = 0  # 0: 4 d_model
    d_vocab_out: int = 0  # 0: d_vocab
    act_fn: str = "relu"
    normalization_type: str | None = "LN"
    attention_dir: str = "causal"
    positional_embedding_type: str | None = "standard"
    attn_only: bool = False
    attn_scale: float = 0.0  # 0: sqrt(d_head); what the attention scores are divided by
    eps: float = 1e-5
    readout_position: int | None = None

    def __post_init__(self) -> None:
        d_head = self.d_head or self.d_model // max(self.n_heads, 1)
        derived: dict[str, float] = {
            "d_head": d_head,
            "d_mlp": 0 if self.attn_only else self.d_mlp or 4 * self.d_model,
            "d_vocab_out": self.d_vocab_out or self.d_vocab,
            "attn_scale": self.attn_scale or math.sqrt(max(d_head, 1)),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        if problems := self._problems():
            raise SpecError("TransformerConfig", problems)

    def _problems(self) -> list[str]:
        sizes = ("n_layers", "n_heads", "d_model", "d_vocab", "n_ctx", "d_head", "d_vocab_out")
        problems = [f"{s} is {getattr(self, s)}, it must be at least 1" for s in sizes if getattr(self, s) < 1]
        choices: tuple[tuple[str, tuple[object, ...]], ...] = (
            ("act_fn", tuple(ACTIVATIONS)),
            ("normalization_type", NORMALIZATIONS),
            ("attention_dir", DIRECTIONS),
            ("positional_embedding_type", POSITIONS),
        )
        for name, allowed in choices:
            if getattr(self, name) not in allowed:
                problems.append(f"{name} is {getattr(self, name)!r}, it must be one of {list(allowed)}")
        at = self.readout_position
        if at is not None and not -self.n_ctx <= at < self.n_ctx:
            problems.append(f"readout_position is {at}, outside the {self.n_ctx} positions of n_ctx")
        return problems
