"""What does the network lose without a part? The metric with a site replaced, less that of the clean run."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from causalmi.engine.execute import in_pieces
from causalmi.engine.load import load_model
from causalmi.engine.metrics import Metric, metric_of
from causalmi.engine.model import Model, plan
from causalmi.errors import CausalmiWarning, SiteError
from causalmi.methods.ablation import Ablation, AblationData, Replacement
from causalmi.methods.ablations import ablation_of
from causalmi.methods.effects import effects, settled
from causalmi.methods.examples import clusters_of, readout_of, target_for
from causalmi.methods.site_columns import site_columns
from causalmi.spec.site import Grid, Site

Group = tuple[Site, ...]  # sites that are ablated at the same time


def ablate(  # noqa: PLR0913  (the public call: what, on which network and examples, and how)
    model: Any,
    examples: Any,
    sites: Site | Sequence[Site] | Grid,
    *,
    ablation: Any,
    metric: Any = "logit_diff",
    joint: bool = False,
    reference: Any = None,
    seed: int = 0,
    batch_size: int | None = None,
    resume: bool = True,
) -> pd.DataFrame:
    """The effect of ablating each of ``sites`` alone, a row for each; or of all of them ``joint``ly, one row.

    effect = mean over the examples of metric(ablated) - metric(clean), with its interval, and p by sign flips, both
    clustered by input. ``examples`` are pairs, of which the bases are run, or inputs, for a metric that needs no
    answers, such as "kl". ``ablation`` is a `Zero`, `Mean`, `MeanPositional`, `Resample`, `Noise` or `Optimal`; what it
    takes from other examples comes from ``reference``, pairs or inputs, by default the examples themselves.
    Returns site, kind, layer, head, position, value (the mean metric), effect, low, high, p, p_adjusted (over the rows)
    and n; for `Optimal` also train_loss, and mean_loss, which the mean has on the same data.
    Raises SpecError, SiteError, PositionError or DataError before any effect is measured, ModelError for NaN.
    """
    data = AblationData.of(load_model(model), examples, reference, seed=seed, batch_size=batch_size, resume=resume)
    groups, rule, how = _groups(data.model, sites, joint), ablation_of(ablation), metric_of(metric)
    clusters = clusters_of(data.examples)
    how.check(target_for(data.examples))
    if reference is None and rule.borrows and (reason := data.alike):
        warnings.warn(reason, CausalmiWarning, stacklevel=2)
    size = min(_size(data, group) for group in groups)
    run = _Ablated(data, how, groups, _replacements(rule, data, groups))
    parts = list(in_pieces(len(data.inputs), size, run))
    patched, clean = (torch.cat([part[i] for part in parts], dim=-1) for i in (0, 1))
    frame = effects(patched, clean, clusters=clusters, seed=seed, signed=not how.floor)
    notes = {name: said for name, said in frame.attrs.items() if name in ("uncertain", "untested")}
    frame = _labelled(frame, groups)
    for name in run.replacements[0].losses:
        frame[name] = [r.losses[name] for r in run.replacements]
    frame.attrs = notes | {"metric": how.name, "ablation": str(ablation), "joint": joint, "clean": float(clean.mean())}
    frame.attrs["reference"] = data.described
    return frame


@dataclass(frozen=True, eq=False)
class _Ablated:
    """Runs some of the examples, clean and with each group of sites ablated."""

    data: AblationData
    metric: Metric
    groups: list[Group]
    replacements: list[Replacement]

    def __call__(self, rows: slice) -> tuple[Tensor, Tensor]:
        """The metric under each ablation, [m, rows], and clean, [rows]."""
        data = self.data
        at = readout_of(data.model, data.examples)
        recording = data.model.record(data.inputs.rows(rows), at=at, resume=data.resume)
        target = replace(target_for(data.examples).rows(rows), clean=recording.logits)
        values = {r: r.rows(rows) for r in dict.fromkeys(self.replacements)}
        edits = [{s: values[r][s] for s in g} for g, r in zip(self.groups, self.replacements, strict=True)]
        patched = [torch.empty(0)] * len(edits)
        for number, logits in recording.sweep(edits):
            patched[number] = self.metric(settled(logits, recording.logits), target).cpu()
        return torch.stack(patched), self.metric(recording.logits, target).cpu()


def _groups(model: Model, sites: Any, joint: bool) -> list[Group]:
    if isinstance(sites, Grid):
        sites = model.sites(sites)
    listed = tuple(sites) if isinstance(sites, list | tuple) else (sites,)
    if not listed or not all(isinstance(site, Site) for site in listed):
        raise SiteError(f"the sites are {sites!r}; give at least one site, or a grid, made with causalmi.site")
    return [tuple(dict.fromkeys(listed))] if joint else [(site,) for site in dict.fromkeys(listed)]


def _size(data: AblationData, group: Group) -> int:
    """How many examples a batch has; raises SiteError or PositionError for what cannot be ablated."""
    return plan(data.model, data.inputs, edits=dict.fromkeys(group, 0.0), batch_size=data.batch_size).batch_size


def _replacements(rule: Ablation, data: AblationData, groups: list[Group]) -> list[Replacement]:
    """One for each group; the same one for all, unless it depends on what is ablated together."""
    if rule.together:
        return [rule.replacement(data, group) for group in groups]
    return [rule.replacement(data, [site for group in groups for site in group])] * len(groups)


def _labelled(frame: pd.DataFrame, groups: list[Group]) -> pd.DataFrame:
    """The effects as they are, not as a share of anything, with columns that say which site a row is of."""
    effect = frame.drop(columns=["effect", "low", "high"])
    effect = effect.rename(columns={"raw": "effect", "raw_low": "low", "raw_high": "high"})
    named = site_columns([group[0] if len(group) == 1 else None for group in groups])
    named["site"] = [" + ".join(map(str, group)) for group in groups]
    return pd.concat([named, effect[["effect", "low", "high", "p", "p_adjusted", "value", "n"]]], axis=1)
