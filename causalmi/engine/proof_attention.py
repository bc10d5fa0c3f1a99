"""Are q, k, v, the attention weights and z what they are called, head by head? Tried on a small input.

Nothing is asked of the weights themselves: in a compiled network an edit of a query may rightly change nothing at all.
"""

import torch
from torch import Tensor

from causalmi.engine.trial import ROUNDED, Trial, Values, noise
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Site


def prove_attention(adapter: DecoderAdapter, trial: Trial, at: Values) -> None:
    """Projections read the stream; weights times values give z; queries and keys act where they should; heads add up.

    ``at`` are the clean values at all sites. Raises ModelError that names the check that failed.
    """
    _projections(adapter, trial, at)
    if "pattern" not in adapter.absent:
        _weights_times_values(adapter, trial)
    if at[Site("z", 0)].shape[1] > 1:
        _queries(trial, at)
        _keys(adapter, trial, at)
    _heads(adapter, trial, at)


def _projections(adapter: DecoderAdapter, trial: Trial, at: Values) -> None:
    """Queries, keys and values are what their modules give for the stream, through its norm if it has one."""
    f = adapter.family
    for layer, block in enumerate(adapter.blocks):
        for kind in ("q", "k", "v"):
            stream, site = at[Site("resid_pre", layer)], Site(kind, layer)
            with torch.no_grad():
                read = stream if f.post_norm else block.get_submodule(f.attn_norm)(stream)
                given = adapter.tap(site).read(read, block.get_submodule(getattr(f, kind))(read))
            trial.equal(given, at[site], f"the norm and projection of {site} and what is read there")


def _weights_times_values(adapter: DecoderAdapter, trial: Trial) -> None:
    layers, group = range(adapter.shape.n_layers), adapter.shape.n_heads // adapter.shape.n_kv_heads
    _, at = trial.run({}, [Site(kind, layer) for layer in layers for kind in ("pattern", "v", "z")])
    for layer in layers:
        pattern = at[Site("pattern", layer)]  # [batch, query, head, key]
        values = at[Site("v", layer)].repeat_interleave(group, dim=2)  # [batch, key, head, d_head]
        mixed = torch.einsum("bqhk,bkhd->bqhd", pattern, values)
        trial.equal(mixed, at[Site("z", layer)], f"attention weights times values and z of layer {layer}")
        ahead = pattern.transpose(1, 2).triu(1)  # [batch, head, query, key]
        trial.check(not adapter.causal or not bool(ahead.any()), f"layer {layer} looks at later positions")


def _queries(trial: Trial, at: Values) -> None:
    """Queries at the first position, and of the last head at the last, change nothing but z just there."""
    q, z = Site("q", 0), Site("z", 0)
    value = at[q].clone()
    value[:, 0] = noise(value[:, 0])
    value[:, -1, -1] = noise(value[:, -1, -1])
    edited = trial.run({q: value}, [z])[1][z]
    edited[:, 0] = at[z][:, 0]
    edited[:, -1, -1] = at[z][:, -1, -1]
    trial.equal(edited, at[z], "z of layer 0 and z with queries edited elsewhere")


def _keys(adapter: DecoderAdapter, trial: Trial, at: Values) -> None:
    """A key of the last key-value head changes what heads of its group look at; other keys keep their proportions."""
    k, pattern = Site("k", 0), Site("pattern", 0)
    seen = Site("z", 0) if "pattern" in adapter.absent else pattern
    value = at[k].clone()
    value[:, -1, -1] = noise(value[:, -1, -1])
    clean, edited = at[seen], trial.run({k: value}, [seen])[1][seen]
    others = adapter.shape.n_heads - adapter.shape.n_heads // adapter.shape.n_kv_heads
    trial.equal(
        edited[:, :, :others], clean[:, :, :others], f"{seen.kind} of layer 0 in heads whose key was not edited"
    )
    if seen == pattern:
        a, b = clean[..., :-1], edited[..., :-1]
        what = "attention weights of layer 0, but for an edited key, and their proportions"
        trial.equal(b * a.sum(-1, keepdim=True), a * b.sum(-1, keepdim=True), what)


def _heads(adapter: DecoderAdapter, trial: Trial, at: Values) -> None:
    """The heads' contributions and the bias are what the output projection gives; a norm may follow."""
    f = adapter.family
    for layer, block in enumerate(adapter.blocks):
        bias = getattr(block.get_submodule(f.o), "bias", None)
        total: Tensor = at[Site("head_out", layer)].sum(-2) + (0 if bias is None else bias.detach())
        if f.attn_out != f.o:
            with torch.no_grad():
                total = block.get_submodule(f.attn_out)(total)
        what = f"the heads of layer {layer} and attn_out"
        trial.equal(total, at[Site("attn_out", layer)], what, within=0.0 if f.attn_out == f.o else ROUNDED)
