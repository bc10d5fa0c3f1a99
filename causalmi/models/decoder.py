"""Where are the sites of a transformer, given its family's table? One adapter for Hugging Face models and our own."""

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from causalmi.errors import DataError, SiteError
from causalmi.models.adapter import Adapter, module_tap
from causalmi.models.attention import AttentionTaps
from causalmi.models.family import Family
from causalmi.models.tap import Contribution, Direct, Tap
from causalmi.models.transformer import Transformer
from causalmi.rng import forked, torch_stream
from causalmi.spec.site import HEAD_KINDS, LAYER_KINDS, Site


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder; ``n_kv_heads`` is smaller than ``n_heads`` under grouped-query attention."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_model: int
    d_vocab: int
    d_out: int
    n_ctx: int
    has_mlp: bool = True


class DecoderAdapter(Adapter):
    """A transformer whose family's table says where its parts are."""

    def __init__(self, module: nn.Module, family: Family, shape: Shape):
        super().__init__(module, f"{type(module).__name__} with {shape.n_layers} layers")
        self.family, self.shape = family, shape
        self.hugging_face = not isinstance(module, Transformer)
        self._attention: AttentionTaps | None = None

    def check(self, values: Tensor) -> None:
        s = self.shape
        if values.is_floating_point() or values.ndim != 2:
            raise DataError(
                f"{self.name} takes token ids, whole numbers [batch, pos]; given {values.dtype} {values.shape}"
            )
        if values.shape[1] > s.n_ctx:
            raise DataError(f"the examples have {values.shape[1]} positions, {self.name} takes at most {s.n_ctx}")
        if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < s.d_vocab:
            raise DataError(f"a token id is outside 0 to {s.d_vocab - 1}, the vocabulary of {self.name}")

    def tap(self, site: Site) -> Tap:
        if site.kind == "module":
            return module_tap(self.module, site, self.name)
        if site.kind == "logits":
            per_position = getattr(self.module.config, "readout_position", None) is None
            return Direct(module=self.module, end="output", width=self.shape.d_out, positions=per_position)
        self._check(site)
        f, d = self.family, self.shape.d_model
        if site.kind == "embed":
            return Direct(module=self._part(f.embed), end="output", width=d)
        if site.kind == "final_norm":
            return Direct(module=self._part(f.final_norm), end="output", width=d)
        if site.kind == "resid_pre" and site.layer:
            return self.tap(Site("resid_post", site.layer - 1))  # the same numbers, at one place
        tap: Tap = getattr(self, f"_{site.kind}")(self._part(f.blocks)[site.layer])
        return tap

    def call(self, values: Tensor, mask: Tensor | None) -> Tensor:
        if not self.hugging_face:
            return self.module(values, mask)  # type: ignore[no-any-return]
        mask = torch.ones_like(values, dtype=torch.bool) if mask is None else mask
        positions = (mask.long().cumsum(-1) - 1).clamp(min=0)  # padding on the left must not shift the positions
        out = self.module(input_ids=values, attention_mask=mask.long(), position_ids=positions, use_cache=False)
        return out.logits  # type: ignore[no-any-return]

    def untrained(self, seed: int) -> nn.Module:
        config: Any = copy.deepcopy(self.module.config)
        with forked(seed, "untrained"):
            fresh: nn.Module = type(self.module)(config)
        like = next(self.module.parameters())
        return fresh.to(device=like.device, dtype=like.dtype)

    def example(self) -> Tensor | None:
        length = min(self.shape.n_ctx, 5)
        return torch.randint(self.shape.d_vocab, (2, length), generator=torch_stream(0, "example"))

    def every_site(self) -> tuple[Site, ...]:
        absent = () if self.shape.has_mlp else ("resid_mid", "mlp_in", "mlp_hidden", "mlp_out")
        layers = range(self.shape.n_layers)
        inner = [Site(kind, layer) for layer in layers for kind in LAYER_KINDS if kind not in absent]
        return (Site("embed"), *inner, Site("final_norm"), Site("logits"))

    def pattern_in_the_open(self) -> AbstractContextManager[None]:
        return nullcontext() if self._attention is None else self._attention.open()

    def _check(self, site: Site) -> None:
        s = self.shape
        if site.layer is not None and site.layer >= s.n_layers:
            raise SiteError(f"{site}: {self.name} has no layer {site.layer}; its layers are 0 to {s.n_layers - 1}")
        if site.kind in ("resid_mid", "mlp_in", "mlp_hidden", "mlp_out") and not s.has_mlp:
            raise SiteError(f"{site}: {self.name} has attention only, no MLP; resid_post and attn_out are there")
        heads = s.n_kv_heads if site.kind in ("k", "v") else s.n_heads
        chosen = (site.head,) if isinstance(site.head, int) else site.head or ()
        if site.kind in HEAD_KINDS and (bad := [h for h in chosen if h >= heads]):
            what = "key-value heads" if heads < s.n_heads else "heads"
            raise SiteError(f"{site}: there is no head {bad[0]}; {self.name} has {heads} {what}, 0 to {heads - 1}")

    def _part(self, path: str) -> Any:
        return self.module.get_submodule(path)

    def _resid_pre(self, block: nn.Module) -> Tap:
        return Direct(module=block, end="input", width=self.shape.d_model)

    def _resid_mid(self, block: nn.Module) -> Tap:
        # The block keeps this very tensor to add the MLP to, so it is overwritten where the norm first sees it.
        norm = block.get_submodule(self.family.mlp_norm)
        return Direct(module=norm, end="input", width=self.shape.d_model, in_place=True)

    def _resid_post(self, block: nn.Module) -> Tap:
        return Direct(module=block, end="output", width=self.shape.d_model)

    def _attn_out(self, block: nn.Module) -> Tap:
        return Direct(module=block.get_submodule(self.family.o), end="output", width=self.shape.d_model)

    def _mlp_in(self, block: nn.Module) -> Tap:
        return Direct(module=block.get_submodule(self.family.mlp_norm), end="input", width=self.shape.d_model)

    def _mlp_hidden(self, block: nn.Module) -> Tap:
        down: Any = block.get_submodule(self.family.mlp_down)
        return Direct(module=down, end="input", width=_in_features(down))

    def _mlp_out(self, block: nn.Module) -> Tap:
        return Direct(module=block.get_submodule(self.family.mlp), end="output", width=self.shape.d_model)

    def _z(self, block: nn.Module) -> Tap:
        s = self.shape
        return Direct(module=block.get_submodule(self.family.o), end="input", heads=s.n_heads, width=s.d_head)

    def _head_out(self, block: nn.Module) -> Tap:
        o, s = block.get_submodule(self.family.o), self.shape
        weight = _matrix(o).unflatten(0, (s.n_heads, s.d_head))
        return Contribution(module=o, end="output", heads=s.n_heads, width=s.d_model, weight=weight)

    def _q(self, block: nn.Module) -> Tap:
        return self._projection(block, "q", self.shape.n_heads)

    def _k(self, block: nn.Module) -> Tap:
        return self._projection(block, "k", self.shape.n_kv_heads)

    def _v(self, block: nn.Module) -> Tap:
        return self._projection(block, "v", self.shape.n_kv_heads)

    def _projection(self, block: nn.Module, which: str, heads: int) -> Tap:
        path, size = getattr(self.family, which), heads * self.shape.d_head
        fused = self.family.q == self.family.k
        start = "qkv".index(which) * size
        columns = slice(start, start + size) if fused else None
        return Direct(
            module=block.get_submodule(path), end="output", heads=heads, width=self.shape.d_head, columns=columns
        )

    def _pattern(self, block: nn.Module) -> Tap:
        if self.family.pattern is not None:
            module = block.get_submodule(self.family.pattern)
        else:
            self._attention = self._attention or AttentionTaps(self.module)
            module = self._attention.tap_of(block.get_submodule(self.family.attention))
        return Direct(module=module, end="output", heads=self.shape.n_heads, head_first=True, needs_pattern=True)


def _matrix(linear: Any) -> Tensor:
    """The weight as [in, out]; GPT-2's Conv1D keeps it so, nn.Linear keeps the transpose."""
    weight: Tensor = linear.weight.detach()
    return weight.T if isinstance(linear, nn.Linear) else weight


def _in_features(linear: Any) -> int:
    return int(_matrix(linear).shape[0])
