"""What must be known of a family of transformers to find its parts? One record; the tables are in `families`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Norm = Literal["layer", "rms", "rms1p"]
Fused = Literal["side by side", "per head"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Paths of modules: ``blocks``, ``embed``, ``final_norm``, ``head`` from the root, the others from a block."""

    name: str
    blocks: str
    embed: str  # gives token embeddings, scaled where the model scales them
    final_norm: str | None
    head: tuple[str, ...]  # from the final norm on to the logits; parts that a network does not have are left out
    attention: str  # calls the attention function
    attn_norm: str  # what attention reads the stream through
    q: str  # projections, before rotary embeddings and norms of queries and keys
    k: str
    v: str
    o: str  # the output projection, whose input is z
    attn_out: str  # gives what attention adds to the stream: the output projection, or the norm after it
    mlp_norm: str
    mlp_down: str  # takes the neurons
    mlp_out: str  # gives what the MLP adds to the stream
    mlp_in: str | None = None  # takes the stream on to the MLP, where mlp_norm does not
    mlp_steps: tuple[str, ...] = ("mlp",)  # from what mlp_norm gives to what the MLP adds, called one after the other
    qk_norm: tuple[str, str] | None = None  # norms of queries and keys, before rotary embeddings
    rotary: Literal["halves", "pairs"] | None = None  # which entries of a head are turned together
    pattern: str | None = None  # attention weights pass through it; None where the attention function can be opened
    norm: Norm = "layer"  # which function the norms are, see `causalmi.models.norms`
    fused: Fused | None = None  # how one module gives q, k and v
    parallel: bool = False  # attention and MLP both read the block's input
    post_norm: bool = False  # the stream itself is normed after each sum: norm(x + attn_out), as in the first ones
    flat: bool = False  # the MLP has examples and positions on one axis
    causal: bool = True
    cache: str | None = "past_key_values"  # a block's argument for keys and values, None where there is none
    readout: int | None = None  # the one position whose logits the network gives
    pixels: bool = False  # it takes images
    softcap: str | None = None  # the configuration's name for c, where logits are c tanh(logits / c)
    scores_capped: str | None = None  # the same for attention scores
    where: Mapping[str, tuple[object, ...]] = field(default_factory=dict)  # the configuration that this table is for

    @property
    def heads_add(self) -> bool:
        """Whether each head's contribution is added to the stream as it is; a norm after their sum mixes them."""
        return self.attn_out == self.o and not self.post_norm

    @property
    def one_norm(self) -> bool:
        """Whether attention and MLP read the stream through the same norm."""
        return self.attn_norm == self.mlp_norm
