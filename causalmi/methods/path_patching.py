"""How much of a behaviour runs over the paths from one place to others? Path patching.

Wang et al. 2022, "Interpretability in the wild"; Goldowsky-Dill et al. 2023, "Localizing model behavior with path
patching".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.execute import in_pieces
from causalmi.engine.metrics import Metric, Target, metric_of, target_of
from causalmi.engine.model import Model
from causalmi.methods.effects import effects, settled, warn_of
from causalmi.methods.examples import pairs_of, readout_of
from causalmi.methods.path_checks import (
    batch_of,
    check_paths,
    decoder,
    frozen_sites,
    one_or_more,
    receivers_of,
    senders_of,
)
from causalmi.methods.path_passes import Route, three_passes
from causalmi.methods.site_columns import site_columns
from causalmi.spec.site import Grid, Site
from causalmi.stats.means import mean

T = TypeVar("T")


def path_patching(  # noqa: PLR0913  (the public call: what, on which network, which paths, and how)
    model: Any,
    pairs: CounterfactualPairs,
    *,
    sender: Site | Sequence[Site] | Grid,
    receivers: Site | Sequence[Site] | Grid,
    metric: Any = "logit_diff",
    frozen: str | Sequence[Site] = "attn",
    ln: str = "recompute",
    direction: str = "noise",
    seed: int = 0,
    batch_size: int | None = None,
    resume: bool = True,
) -> pd.DataFrame:
    """The effect on the metric of each sender along the paths to the receivers (patched jointly), a row for each.

    With x the run's input and x' the donor: 1. read the sender on x' and the ``frozen`` sites on x; 2. run x with the
    sender's value from x' and the frozen sites' from x, and record the receivers; 3. run x with the receivers so, all
    else live. ``frozen``: "none" (all paths), "attn" (none through another head), "attn+mlp" (the direct edge), or
    sites. ``ln="frozen"``: the norms of the receivers keep the scale of x. ``direction``: "noise" (x the base, x' the
    source) or "denoise". Of a grid, senders after all receivers are left out. The receiver ``site.logits()`` is what
    the unembedding reads. Returns sender, kind, layer, head, position and the columns of ``effects``, where start and
    goal are the metric on x and x'. Raises SpecError, SiteError, PositionError, DataError or ModelError before any run.
    """
    model, adapter = decoder(model)
    receivers = one_or_more(model, receivers)
    senders = senders_of(model, sender, receivers, parallel=adapter.family.parallel)
    check_paths(senders, receivers, {"frozen": frozen, "ln": ln, "direction": direction}, adapter.family)
    pairs, how = pairs_of(model, pairs), metric_of(metric)
    target = target_of(pairs)
    how.check(target)
    route = Route(receivers_of(adapter, receivers), frozen_sites(frozen, adapter.shape), ln == "frozen")
    job = _Job(model, pairs, target, senders, route, how, direction == "noise", resume)
    mean([0.0] * len(pairs), pairs.clusters())  # too few pairs for an interval are told before anything runs
    rows = batch_of(model, *job.ends(pairs.base, pairs.source), senders, route, batch_size)
    given = list(in_pieces(len(pairs), rows, job.run))
    patched, base, source = (torch.cat(parts, dim=-1) for parts in zip(*given, strict=True))
    signed = not (how.floor and job.noise)
    frame = effects(patched, *job.ends(base, source), clusters=pairs.clusters(), seed=seed, signed=signed)
    attrs = frame.attrs
    frame = pd.concat([site_columns(senders, "sender"), frame], axis=1)
    frame.attrs = attrs | {"metric": how.name, "direction": direction, "ln": ln, "receivers": list(map(str, receivers))}
    frame.attrs |= {"frozen": frozen if isinstance(frozen, str) else list(map(str, frozen))}
    frame.attrs |= {"base": float(base.mean()), "source": float(source.mean())}
    warn_of(frame)
    return frame


@dataclass(frozen=True)
class _Job:
    """What is patched, and what is measured; with ``noise``, into the bases from the sources."""

    model: Model
    pairs: CounterfactualPairs
    target: Target
    senders: Sequence[Site]
    route: Route
    metric: Metric
    noise: bool
    resume: bool

    def ends(self, base: T, source: T) -> tuple[T, T]:
        """What is run, and where the sender's value comes from."""
        return (base, source) if self.noise else (source, base)

    def run(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """The metric under each sender's patch [m, n], and without one on the bases [n] and the sources [n]."""
        at, ends = readout_of(self.model, self.pairs), (self.pairs.base.rows(rows), self.pairs.source.rows(rows))
        base, source = (self.model.record(x, at=at, resume=self.resume) for x in ends)
        target, clean = replace(self.target.rows(rows), clean=base.logits), (base if self.noise else source).logits
        patched: list[Tensor] = [torch.empty(0)] * len(self.senders)
        for number, logits in three_passes(*self.ends(base, source), self.senders, self.route):
            patched[number] = self.metric(settled(logits, clean), target).cpu()
        return torch.stack(patched), self.metric(base.logits, target).cpu(), self.metric(source.logits, target).cpu()
