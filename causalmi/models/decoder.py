"""Where are the sites of a transformer, given its family's table? One adapter for Hugging Face models and our own."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor, nn

from causalmi.errors import ModelError, SiteError
from causalmi.models.adapter import Adapter, module_tap
from causalmi.models.attention import AttentionTaps
from causalmi.models.family import Family
from causalmi.models.feed import Feed, Pixels, Tokens
from causalmi.models.norms import frozen
from causalmi.models.places import PLACES, Block, absent, opened
from causalmi.models.shape import Shape
from causalmi.models.tap import Direct, Tap
from causalmi.rng import forked
from causalmi.spec.site import HEAD_KINDS, LAYER_KINDS, Site

__all__ = ["DecoderAdapter", "Shape"]


class DecoderAdapter(Adapter):
    """A transformer whose family's table says where its parts are.

    ``attn_out`` and ``mlp_out`` are what is added to the stream. ``head_out`` is what a head adds to the output
    of the attention's projection, z W_O; where a norm follows (Gemma) the heads sum to what that norm takes instead.
    ``q``, ``k``, ``v`` are what the projections give, before rotary embeddings and norms of queries and keys.
    """

    def __init__(self, module: nn.Module, family: Family, shape: Shape):
        super().__init__(module, f"{type(module).__name__} with {shape.n_layers} layers")
        self.family, self.shape = family, shape
        self.absent = absent(family, shape)
        self._attention: AttentionTaps | None = None
        self._passing = (0, 0)
        first = family.readout == 0
        self._feed: Feed = (
            Pixels(module, self.name) if family.pixels else Tokens(module, self.name, shape, reads_first=first)
        )

    def check(self, values: Tensor) -> None:
        self._feed.check(values)

    def call(self, values: Tensor, mask: Tensor | None) -> Tensor:
        self.expect(values.shape[0], values.shape[1])
        return self._feed.call(values, mask)

    def expect(self, examples: int, positions: int) -> None:
        """Say how many examples and positions pass from now on, for places that have both on one axis."""
        self._passing = (examples, positions)

    def example(self) -> Tensor:
        return self._feed.example()

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks in the order in which they are called."""
        return list(self._part(self.family.blocks))

    @property
    def causal(self) -> bool:
        """Whether a position never looks at later ones."""
        return self.family.causal and getattr(self._config, "attention_dir", "causal") == "causal"

    @property
    def readout_position(self) -> int | None:
        """The one position whose logits the network gives, or None when it gives those of every position."""
        at: int | None = getattr(self._config, "readout_position", self.family.readout)
        return at

    def tail(self, hidden: Tensor) -> Tensor:
        """From the last block's output [..., d_model] to logits [..., d_out], each position for itself."""
        f = self.family
        for path in (f.final_norm, *f.head):
            part = None if path is None else self._optional(path)
            hidden = hidden if part is None else part(hidden)
        cap = getattr(self._config, f.softcap, None) if f.softcap else None
        return hidden if cap is None else cap * (hidden / cap).tanh()

    def norm_of(self, kind: str, layer: int | None = None) -> nn.Module:
        """The norm through which "q", "k", "v", "mlp_in" of a layer, or "logits", read the residual stream.

        Raises ModelError where they read it as it is, SiteError for a layer that is not there.
        """
        path = self.family.final_norm if layer is None else self.family.attn_norm
        if path is None or self.family.post_norm:
            raise ModelError(f"{self.name} has no norm between the stream and {kind}: it norms the stream itself")
        if layer is None:
            return self._part(path)  # type: ignore[no-any-return]
        self._check_layer(Site("resid_pre", layer))
        return self.blocks[layer].get_submodule(self.family.mlp_norm if kind == "mlp_in" else path)

    def frozen_norm(self, module: nn.Module, clean: Tensor) -> Callable[[Tensor], Tensor]:
        """The norm ``module`` as an affine map with the scale of ``clean``: see `causalmi.models.norms.frozen`."""
        return frozen(module, self.family.norm, clean)

    def tap(self, site: Site) -> Tap:
        if site.kind == "module":
            return module_tap(self.module, site, self.name)
        if site.kind == "logits":
            per_position = self.readout_position is None
            return Direct(module=self.module, end="output", width=self.shape.d_out, positions=per_position)
        self._check(site)
        if site.kind in ("embed", "final_norm"):
            return self._outside(site.kind)
        if site.kind == "resid_pre" and site.layer:
            return self.tap(Site("resid_post", site.layer - 1))  # the same numbers, at one place
        assert site.layer is not None
        block = Block(self.blocks[site.layer], self.family, self.shape, lambda: self._passing)
        if site.kind == "pattern" and self.family.pattern is None:
            self._attention = self._attention or AttentionTaps(self.module)
            return opened(self._attention.tap_of(block.part(self.family.attention)), self.shape)
        return PLACES[site.kind](block)

    def untrained(self, seed: int) -> nn.Module:
        config: Any = copy.deepcopy(self.module.config)
        with forked(seed, "untrained"):
            fresh: nn.Module = type(self.module)(config)
        like = next(self.module.parameters())
        return fresh.to(device=like.device, dtype=like.dtype)

    def every_site(self) -> tuple[Site, ...]:
        layers = range(self.shape.n_layers)
        inner = [Site(kind, layer) for layer in layers for kind in LAYER_KINDS if kind not in self.absent]
        last = [Site(kind) for kind in ("final_norm", "logits") if kind not in self.absent]
        return (Site("embed"), *inner, *last)

    def pattern_in_the_open(self) -> AbstractContextManager[None]:
        return nullcontext() if self._attention is None else self._attention.open()

    def _outside(self, kind: str) -> Tap:
        """The taps before and after the blocks."""
        part = self._part(getattr(self.family, kind))
        width, positions = getattr(part, "embedding_dim", self.shape.d_model), not self.family.pixels
        return Direct(module=part, end="output", width=width if positions else None, positions=positions)

    def _check(self, site: Site) -> None:
        self._check_layer(site)
        if site.kind in self.absent:
            raise SiteError(f"{site}: {self.name} {self.absent[site.kind]}")
        heads = self.shape.n_kv_heads if site.kind in ("k", "v") else self.shape.n_heads
        chosen = (site.head,) if isinstance(site.head, int) else site.head or ()
        if site.kind in HEAD_KINDS and (bad := [h for h in chosen if h >= heads]):
            what = "key-value heads" if heads < self.shape.n_heads else "heads"
            raise SiteError(f"{site}: there is no head {bad[0]}; {self.name} has {heads} {what}, 0 to {heads - 1}")

    def _check_layer(self, site: Site) -> None:
        layers = self.shape.n_layers
        if site.layer is not None and site.layer >= layers:
            raise SiteError(f"{site}: {self.name} has no layer {site.layer}; its layers are 0 to {layers - 1}")

    @property
    def _config(self) -> Any:
        return self.module.config

    def _part(self, path: str) -> Any:
        return self.module.get_submodule(path)

    def _optional(self, path: str) -> Any:
        """The part at ``path``, or None where the network was made without it."""
        parent, _, name = path.rpartition(".")
        return getattr(self._part(parent), name)
