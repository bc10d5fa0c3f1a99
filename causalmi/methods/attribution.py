"""Which parts write the answer into the output? Direct logit attribution: each one's share of the logit difference.

The residual stream at the read-out is a sum over components, and with the final norm's scale held at the clean run the
logits are linear in it, so that the logit difference is a sum too (Elhage et al. 2021, "A mathematical framework for
transformer circuits"; Wang et al. 2022). It sees direct effects only: a part that acts through later ones counts as 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import attrgetter
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.engine.metrics import METRICS, Target, target_of
from causalmi.engine.model import Model
from causalmi.errors import DataError, ModelError
from causalmi.methods.effects import effects
from causalmi.methods.examples import clusters_of, examples_of, pick, readout_of
from causalmi.models.decoder import DecoderAdapter
from causalmi.models.tap import Contribution
from causalmi.spec.site import Site

CLOSE = {torch.float64: 1e-5, torch.float32: 1e-4}  # relative; else 0.05. Some norms compute in float32 always
LOGIT_DIFF = METRICS["logit_diff"]


@dataclass(frozen=True)
class Component:
    """What adds to the logit difference: ``input``, head ``a3.h5``, ``a3.bias``, ``m3``; the output's own ``bias``."""

    name: str
    kind: str
    layer: int | None = None
    head: int | None = None


Shares = dict[Component, Tensor]  # each [n], the share of every example


def direct_logit_attribution(
    model: Any, pairs: CounterfactualPairs, *, seed: int = 0, batch_size: int | None = None
) -> pd.DataFrame:
    """How much each component adds to logit(answer) - logit(foil) on the bases, a row for each.

    With x = sum_c x_c the stream at the read-out and N the final norm with the scale of x, contribution(c) =
    (W_U[answer] - W_U[foil]) (N(x_c) - N(0)), and what does not depend on x is the row "bias", so that the rows sum to
    the logit difference for each example. Components: the embeddings ("input"), heads by z W_O, attention's output
    biases, MLPs. Where a norm takes the sum of the heads (Gemma), its scale is that of the clean run too. Where a cap
    or a scale follows the unembedding, the logits are those before it, and ``attrs["logits"]`` says so. Returns
    component, kind, layer, head, contribution (mean), low, high, p (by sign flips, clustered by base), p_adjusted, n.
    Raises ModelError for a network that is no decoder or whose stream is no such sum, DataError for pairs without
    answer and foil.
    """
    model = load_model(model)
    shares, own, exact = contributions(model, pairs, batch_size=batch_size)
    clusters = clusters_of(examples_of(model, pairs))
    frame = effects(torch.stack([*shares.values()]), torch.zeros(len(own)), clusters=clusters, seed=seed)
    frame = frame.rename(columns={"raw": "contribution"}).drop(columns=["value", "effect", "low", "high"])
    frame = frame.rename(columns={"raw_low": "low", "raw_high": "high"})
    frame = frame[["contribution", "low", "high", "p", "p_adjusted", "n"]]
    names = pd.DataFrame({"component": [c.name for c in shares], "kind": [c.kind for c in shares]})
    names["layer"], names["head"] = ([getattr(c, x) for c in shares] for x in ("layer", "head"))
    notes = {name: said for name, said in frame.attrs.items() if name == "uncertain"}
    frame = pd.concat([names, frame], axis=1)
    frame.attrs = notes | {
        "logit_diff": float(own.mean()),
        "norms": "the scale of the final norm, and of norms after attention, is that of the clean run",
        "logits": "the network's own" if exact else "before the network's cap or scale of them",
    }
    return frame


def contributions(
    model: Model, pairs: CounterfactualPairs, *, batch_size: int | None = None
) -> tuple[Shares, Tensor, bool]:
    """Every component's share in each pair, the sum of all, and whether that is the network's own logit difference."""
    if not isinstance(adapter := model.adapter, DecoderAdapter):
        raise ModelError(f"{model.name} is addressed by module paths alone; give a decoder, whose parts are known")
    if not isinstance(pairs, CounterfactualPairs):
        raise DataError(f"the pairs are a {type(pairs).__name__}; give CounterfactualPairs with answer and foil")
    pairs = pairs.bind(model.tokenizer)
    target = target_of(pairs)
    LOGIT_DIFF.check(target)
    batches = list(_batches(model, adapter, pairs, target, batch_size))
    shares = {c: torch.cat([b.shares[c] for b in batches]) for c in batches[0].shares}
    before, own = (torch.cat([getattr(b, x) for b in batches]) for x in ("before", "own"))
    each = torch.stack([*shares.values()])
    error = CLOSE.get(batches[0].dtype, 0.05) * each.abs().sum(0).clamp(min=1.0)
    if bool(((each.sum(0) - before).abs() > error).any()):
        raise ModelError(
            f"the logits of {model.name} are no sum over its parts, even with the final norm's scale fixed"
        )
    return shares, before, bool(((before - own).abs() <= error).all())


@dataclass(frozen=True)
class _Batch:
    shares: Shares
    before: Tensor  # the logit difference as the unembedding gives it
    own: Tensor  # and as the network does
    dtype: torch.dtype


def _batches(
    model: Model, adapter: DecoderAdapter, pairs: CounterfactualPairs, target: Target, batch_size: int | None
) -> Iterator[_Batch]:
    at, layers = readout_of(model, pairs), range(adapter.shape.n_layers)
    first, last = Site("resid_pre", 0, at=at), Site("resid_post", layers[-1], at=at)
    heads = {layer: Site("z", layer, at=at) for layer in layers}
    mlps = {layer: Site("mlp_out", layer, at=at) for layer in layers if adapter.shape.has_mlp}
    read = [first, *heads.values(), *mlps.values(), last]
    for rows, run in model.stream(pairs.base, read=read, batch_size=batch_size):
        own = LOGIT_DIFF(pick(run.logits, at, pairs.base.rows(rows)), target.rows(rows))
        direction, before, constant = _linear(adapter, run[last], target.rows(rows))
        shares = {Component("input", "embed"): _dot(run[first], direction)}
        for layer in layers:
            shares |= _attention(adapter, layer, run[heads[layer]], direction)
            if layer in mlps:
                shares[Component(f"m{layer}", "mlp_out", layer)] = _dot(run[mlps[layer]], direction)
        shares[Component("bias", "bias")] = constant.cpu().double()
        yield _Batch(shares, before.cpu().double(), own.cpu().double(), run[last].dtype)


def _linear(adapter: DecoderAdapter, final: Tensor, target: Target) -> tuple[Tensor, Tensor, Tensor]:
    """The logit difference as an affine map of the stream: its gradient [n, d_model], its value there and at 0, [n]."""
    norm = adapter.frozen_norm(adapter.norm_of("logits"), final)
    head = [part for path in adapter.family.head if (part := attrgetter(path)(adapter.module)) is not None]

    def difference(x: Tensor) -> Tensor:
        return LOGIT_DIFF(reduce(lambda y, part: part(y), head, norm(x)), target)

    with torch.no_grad():
        return _gradient(difference, final), difference(final), difference(torch.zeros_like(final))


def _attention(adapter: DecoderAdapter, layer: int, z: Tensor, direction: Tensor) -> Shares:
    """Each head's share z_h W_O[h] direction, with W_O direction formed first, and that of the output bias, if any."""
    tap = adapter.tap(Site("head_out", layer))
    assert isinstance(tap, Contribution)
    block, family, weight = adapter.blocks[layer], adapter.family, tap.weight
    bias: Tensor | None = getattr(block.get_submodule(family.o), "bias", None)
    if not family.heads_add:  # a norm takes their sum; with its scale of the clean run it is linear in each
        clean = torch.einsum("nhk,hkd->nd", z, weight) + (0 if bias is None else bias.detach())
        norm = adapter.frozen_norm(block.get_submodule(family.attn_out), clean)
        direction = _gradient(lambda x: (norm(x) * direction).sum(-1), clean)
    per_entry = torch.einsum("hkd,nd->nhk", weight.cpu().double(), direction.cpu().double())
    found = (z.cpu().double() * per_entry).sum(-1)
    shares = {Component(f"a{layer}.h{head}", "head_out", layer, head): x for head, x in enumerate(found.T)}
    if bias is not None and bool(bias.any()):
        shares[Component(f"a{layer}.bias", "attn_bias", layer)] = _dot(bias.detach(), direction)
    return shares


def _gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The gradient of each row's number with respect to that row."""
    with torch.enable_grad():
        x = at.detach().clone().requires_grad_()
        (found,) = torch.autograd.grad(function(x).sum(), x)
    return found


def _dot(x: Tensor, direction: Tensor) -> Tensor:
    return (x.cpu().double() * direction.cpu().double()).sum(-1)
