"""Can this adapter be trusted with this network? It proves itself on a small input before any result is computed."""

from collections.abc import Iterable

import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.execute import execute
from causalmi.engine.plan import make_plan
from causalmi.errors import ModelError
from causalmi.models.adapter import Adapter
from causalmi.models.decoder import DecoderAdapter
from causalmi.rng import torch_stream
from causalmi.spec.site import Site

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}  # relative, for sums done in another order; else 0.1


def prove(adapter: Adapter, inputs: Inputs, sites: Iterable[Site] | None = None) -> None:
    """Check that each site fires once, that writing back what was read changes nothing, and that the sums hold.

    Raises ModelError that names the check that failed.
    """
    finite(adapter)
    sites = adapter.every_site() if sites is None else tuple(sites)
    twice = ("pattern", "head_out", "resid_pre")  # those need runs of their own, or are a resid_post as well
    _identity(
        adapter, inputs, [s for s in sites if s.kind not in twice or s == Site("resid_pre", 0)], "the values there"
    )
    _identity(adapter, inputs, [s for s in sites if s.kind == "pattern"], "the attention weights")
    _identity(adapter, inputs, [s for s in sites if s.kind == "head_out"], "the heads' contributions")
    if isinstance(adapter, DecoderAdapter):
        _heads(adapter, inputs)
        _sums(adapter, inputs)
        _takes_hold(adapter, inputs)


def finite(adapter: Adapter) -> None:
    """Refuse a network with a weight that is NaN or infinite."""
    for name, weight in adapter.module.named_parameters():
        if not bool(weight.detach().isfinite().all()):
            raise ModelError(f"{adapter.name}: the weight {name} has NaN or infinite entries; load sound weights")


def _identity(adapter: Adapter, inputs: Inputs, sites: list[Site], what: str) -> None:
    """One run reads all sites and one writes all back; only if that shows is each tried alone, to name it."""
    if not sites:
        return
    clean, values = _run(adapter, inputs, {}, sites)
    if bool(clean.isnan().any()):
        raise ModelError(f"{adapter.name} gives NaN outputs on the inputs it was tried on; its numbers mean nothing")
    if torch.equal(_run(adapter, inputs, values, _opened(sites))[0], clean):
        return
    for site in sites:
        if not torch.equal(_run(adapter, inputs, {site: values[site]}, _opened(sites))[0], clean):
            raise ModelError(f"{adapter.name} failed its self-check at {site}: writing back {what} changes its output")
    raise ModelError(
        f"{adapter.name} failed its self-check: writing back {what} at all sites together changes its output"
    )


def _opened(sites: list[Site]) -> list[Site]:
    """What else to read so that both runs use the same attention function."""
    return [s for s in sites if s.kind == "pattern"]


def _heads(adapter: DecoderAdapter, inputs: Inputs) -> None:
    """Each head's z is its attention weights times its values."""
    group = adapter.shape.n_heads // adapter.shape.n_kv_heads
    for layer in range(adapter.shape.n_layers):
        pattern, v, z = (Site(kind, layer) for kind in ("pattern", "v", "z"))
        _, at = _run(adapter, inputs, {}, [pattern, v, z])
        values = at[v].repeat_interleave(group, dim=2)  # [batch, key, head, d_head]
        mixed = torch.einsum("bqhk,bkhd->bqhd", at[pattern], values)
        _equal(adapter, mixed, at[z], f"attention weights times values and z of layer {layer}")


def _sums(adapter: DecoderAdapter, inputs: Inputs) -> None:
    """The senders' contributions plus biases are what each receiver reads."""
    blocks = adapter.module.get_submodule(adapter.family.blocks)
    mlp = adapter.shape.has_mlp
    _, at = _run(adapter, inputs, {}, [s for s in adapter.every_site() if s.kind != "pattern"])
    stream = at[Site("resid_pre", 0)]
    for layer in range(adapter.shape.n_layers):
        bias = getattr(blocks[layer].get_submodule(adapter.family.o), "bias", None)  # type: ignore[index]
        heads = at[Site("head_out", layer)].sum(-2) + (0 if bias is None else bias.detach())
        _equal(adapter, heads, at[Site("attn_out", layer)], f"the heads of layer {layer} and attn_out")
        stream = stream + at[Site("attn_out", layer)]
        if mlp:
            _equal(
                adapter, stream, at[Site("mlp_in", layer)], f"the senders before the MLP of layer {layer} and mlp_in"
            )
            stream = stream + at[Site("mlp_out", layer)]
        _equal(adapter, stream, at[Site("resid_post", layer)], f"all senders up to layer {layer} and resid_post")


def _takes_hold(adapter: DecoderAdapter, inputs: Inputs) -> None:
    """An edit of the stream between attention and MLP reaches both the MLP and what comes after it."""
    if not adapter.shape.has_mlp:
        return
    _, at = _run(adapter, inputs, {}, [Site("resid_mid", 0)])
    noise = torch.randn(at[Site("resid_mid", 0)].shape, generator=torch_stream(0, "proof")).to(at[Site("resid_mid", 0)])
    for layer in range(adapter.shape.n_layers):
        edits = {Site("resid_mid", layer): noise}
        _, at = _run(adapter, inputs, edits, [Site("mlp_in", layer), Site("mlp_out", layer), Site("resid_post", layer)])
        _equal(adapter, noise, at[Site("mlp_in", layer)], f"an edited resid_mid and mlp_in of layer {layer}")
        after = noise + at[Site("mlp_out", layer)]
        _equal(adapter, after, at[Site("resid_post", layer)], f"an edited resid_mid and resid_post of layer {layer}")


def _equal(adapter: Adapter, a: Tensor, b: Tensor, what: str) -> None:
    tolerance = TOLERANCE.get(b.dtype, 0.1)
    if float((a - b).abs().max()) > tolerance * max(1.0, float(b.abs().max())):
        raise ModelError(f"{adapter.name} failed its self-check: {what} do not agree to {tolerance:g}")


def _run(
    adapter: Adapter, inputs: Inputs, edits: dict[Site, Tensor], read: list[Site]
) -> tuple[Tensor, dict[Site, Tensor]]:
    ((_, logits, values),) = execute(adapter, make_plan(adapter, inputs, edits, read, batch_size=len(inputs)))
    return logits, values
