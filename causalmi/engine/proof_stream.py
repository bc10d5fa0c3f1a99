"""Do the parts of a transformer add up? What is added to the stream, what reads it, and the way on to the logits."""

import torch
from torch import Tensor

from causalmi.engine.trial import ROUNDED, Trial, Values, noise
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Site


def prove_stream(adapter: DecoderAdapter, trial: Trial, at: Values) -> None:
    """The senders' contributions are what each receiver reads, edits take hold, and norms and logits are as said.

    ``at`` are the clean values at all sites. Raises ModelError that names the check that failed.
    """
    _sums(adapter, trial, at)
    _takes_hold(adapter, trial, at)
    _norms(adapter, trial, at)
    _tail(adapter, trial, at)


def _sums(adapter: DecoderAdapter, trial: Trial, at: Values) -> None:
    """What attention and MLP add to the stream gives what is read next."""
    for layer in range(adapter.shape.n_layers):
        before, attn_out = at[Site("resid_pre", layer)], at[Site("attn_out", layer)]
        read = before if adapter.family.parallel else _after(adapter, layer, "attn_norm", before + attn_out)
        if "mlp_in" not in adapter.absent:
            trial.equal(
                read,
                at[Site("mlp_in", layer)],
                f"the senders before the MLP of layer {layer} and what it reads, mlp_in",
            )
        total = _after_mlp(adapter, layer, at, read + attn_out if adapter.family.parallel else read)
        trial.equal(total, at[Site("resid_post", layer)], f"all senders up to layer {layer} and resid_post")


def _takes_hold(adapter: DecoderAdapter, trial: Trial, clean: Values) -> None:
    """An edit between attention and MLP reaches the MLP, and where the stream passes there, what comes after it."""
    kind = "mlp_in" if adapter.family.parallel else "resid_mid"
    if kind in adapter.absent:
        return
    stream, layers = clean[Site(kind, 0)], range(adapter.shape.n_layers)
    other = noise(stream)
    kinds = ("resid_pre", "attn_out", "mlp_in", "mlp_out", "resid_post")
    _, at = trial.run(
        {Site(kind, layer): other for layer in layers}, [Site(k, layer) for layer in layers for k in kinds]
    )
    for layer in layers:
        trial.equal(other, at[Site("mlp_in", layer)], f"an edited {kind} and mlp_in of layer {layer}")
        rest = at[Site("resid_pre", layer)] + at[Site("attn_out", layer)] if adapter.family.parallel else other
        total = _after_mlp(adapter, layer, at, rest)
        trial.equal(total, at[Site("resid_post", layer)], f"an edited {kind} and resid_post of layer {layer}")
    attn_out = Site("attn_out", 0)
    trial.equal(at[attn_out], clean[attn_out], f"attn_out of layer 0 with and without {kind} edited")


def _after_mlp(adapter: DecoderAdapter, layer: int, at: Values, rest: Tensor) -> Tensor:
    """The stream after a block, when ``rest`` is there before its MLP adds to it."""
    return _after(adapter, layer, "mlp_norm", rest + at[Site("mlp_out", layer)]) if adapter.shape.has_mlp else rest


def _after(adapter: DecoderAdapter, layer: int, norm: str, total: Tensor) -> Tensor:
    """A sum as it goes on in the stream: as it is, or normed in families that norm the stream itself."""
    if not adapter.family.post_norm:
        return total
    with torch.no_grad():
        normed: Tensor = adapter.blocks[layer].get_submodule(getattr(adapter.family, norm))(total)
    return normed


def _norms(adapter: DecoderAdapter, trial: Trial, at: Values) -> None:
    """Each norm is the affine map of its kind, at the scale of what it is given."""
    if adapter.family.post_norm:
        return
    last = adapter.shape.n_layers - 1
    streams = {("q", layer): Site("resid_pre", layer) for layer in range(last + 1)}
    streams |= {("mlp_in", s.layer or 0): s for s in at if s.kind == "mlp_in"}
    places = [(adapter.norm_of(kind, layer), at[site], site) for (kind, layer), site in streams.items()]
    final = Site("resid_post", last)
    for norm, x, site in (*places, (adapter.norm_of("logits"), at[final], final)):
        with torch.no_grad():
            wanted = norm(x)
        trial.equal(
            adapter.frozen_norm(norm, x)(x),
            wanted,
            f"the norm of {site} and the function it is said to be",
            within=ROUNDED,
        )


def _tail(adapter: DecoderAdapter, trial: Trial, at: Values) -> None:
    """What follows the last block gives the network's logits."""
    with torch.no_grad():
        found = adapter.tail(at[Site("resid_post", adapter.shape.n_layers - 1)])
    at_readout = found if adapter.readout_position is None else found[:, adapter.readout_position]
    trial.equal(at_readout, at[Site("logits")], "what follows the last block and the logits")
