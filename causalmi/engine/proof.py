"""Can this adapter be trusted with this network? It proves itself on a small input before any result is computed."""

from collections.abc import Iterable

import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.proof_attention import prove_attention
from causalmi.engine.proof_stream import prove_stream
from causalmi.engine.trial import Trial
from causalmi.errors import ModelError
from causalmi.models.adapter import Adapter
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Site


def prove(adapter: Adapter, inputs: Inputs, sites: Iterable[Site] | None = None) -> None:
    """Check that each site fires once, that writing back what was read changes nothing, and that the sums hold.

    With ``sites`` only that writing back at those changes nothing. Raises ModelError that names the check that failed.
    """
    trial, whole = Trial(adapter, inputs), sites is None
    sites = adapter.every_site() if sites is None else tuple(sites)
    twice = ("pattern", "head_out", "resid_pre")  # those need runs of their own, or are a resid_post as well
    at = _identity(trial, [s for s in sites if s.kind not in twice or s == Site("resid_pre", 0)], "the values there")
    at |= _identity(trial, [s for s in sites if s.kind == "pattern"], "the attention weights")
    at |= _identity(trial, [s for s in sites if s.kind == "head_out"], "the heads' contributions")
    if whole and isinstance(adapter, DecoderAdapter):
        at |= {s: at[Site("resid_post", s.layer - 1)] for s in sites if s.kind == "resid_pre" and s.layer}
        prove_attention(adapter, trial, at)
        prove_stream(adapter, trial, at)


def finite(adapter: Adapter) -> None:
    """Refuse a network with a weight that is NaN or infinite."""
    for name, weight in adapter.module.named_parameters():
        if not bool(weight.detach().isfinite().all()):
            raise ModelError(f"{adapter.name}: the weight {name} has NaN or infinite entries; load sound weights")


def _identity(trial: Trial, sites: list[Site], what: str) -> dict[Site, Tensor]:
    """One run reads all sites and one writes all back; only if that shows is each tried alone, to name it."""
    if not sites:
        return {}
    name, opened = trial.adapter.name, [s for s in sites if s.kind == "pattern"]  # the same attention in both runs
    clean, values = trial.run({}, sites)
    if bool(clean.isnan().any()):
        raise ModelError(f"{name} gives NaN outputs on the inputs it was tried on; its numbers mean nothing")
    if torch.equal(trial.run(values, opened)[0], clean):
        return values
    for site in sites:
        same = torch.equal(trial.run({site: values[site]}, opened)[0], clean)
        trial.check(same, f"{site}: writing back {what} changes its output")
    raise ModelError(f"{name} failed its self-check: writing back {what} at all sites together changes its output")
