"""Where does a difference between two inputs matter? Activation patching of one place after another.

Vig et al. 2020, "Causal mediation analysis for interpreting neural NLP"; Zhang & Nanda 2024, "Towards best practices of
activation patching"; Heimersheim & Nanda 2024, "How to use and interpret activation patching".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.execute import in_pieces
from causalmi.engine.load import load_model
from causalmi.engine.metrics import Metric, Target, metric_of
from causalmi.engine.model import Model, plan
from causalmi.errors import DataError
from causalmi.methods.effects import effects, settled, warn_of
from causalmi.methods.examples import pairs_of, readout_of, target_for
from causalmi.methods.patched_sites import Patch, check_patches, patches
from causalmi.methods.site_columns import site_columns
from causalmi.spec.site import Grid, Site

DIRECTIONS = ("denoise", "noise")
Progress = Callable[[str, int, int], None]
T = TypeVar("T")


def activation_patching(  # noqa: PLR0913  (the public call: what, on which network and pairs, and how)
    model: Any,
    pairs: CounterfactualPairs,
    sites: Site | Sequence[Site] | Grid,
    *,
    metric: Any = "logit_diff",
    direction: str = "denoise",
    window: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    resume: bool = True,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The effect of patching each of ``sites`` alone from the other input of a pair, a row for each.

    With the metric m, ``direction="denoise"`` runs the source with the site's numbers from the base: effect =
    (m(patched) - m(source)) / (m(base) - m(source)), in means over the pairs; ``"noise"`` runs the base with the
    source's: effect = (m(patched) - m(base)) / (m(source) - m(base)). Either way 0 is no effect and 1 all that a patch
    of everything would do. ``sites`` are sites, or a grid; a grid that names no positions spans each position of a
    stream, and all together of a head. ``window`` layers, the site's in the middle, are patched together (attention and
    MLP sites). ``metric`` is a name of ``causalmi.METRICS``, or f(logits [n, vocab], target) -> [n].
    Returns site, kind, layer, head, position, effect with low and high, p by sign flips, p_adjusted for the false
    discovery rate over the rows, value (mean m(patched)), raw (mean difference) with raw_low and raw_high, and n;
    intervals are 95 %, clustered by base. attrs: metric, direction, window, and the means base and source.
    ``resume=False`` runs the whole network each time; ``progress(stage, done, total)`` counts pairs times sites.
    Raises SiteError, PositionError or DataError before any run, ModelError for logits that are NaN.
    """
    if direction not in DIRECTIONS:
        raise DataError(f"direction is {direction!r}; give one of {', '.join(DIRECTIONS)}")
    model, how = load_model(model), metric_of(metric)
    pairs = pairs_of(model, pairs)
    how.check(target_for(pairs))
    todo = patches(model, sites, pairs.base, window)
    check_patches(model, todo, pairs.base, pairs.source)
    size = plan(model, pairs.base, batch_size=batch_size).batch_size
    sweep = _Sweep(model, pairs, todo, how, direction == "denoise", resume, progress or (lambda *_: None))
    parts = list(in_pieces(len(pairs), size, sweep))
    patched, base, source = (torch.cat([part[i] for part in parts], dim=-1) for i in range(3))
    signed = not (how.floor and sweep.denoise is False)
    frame = effects(patched, *sweep.ends(base, source), clusters=pairs.clusters(), seed=seed, signed=signed)
    attrs = frame.attrs | {"metric": how.name, "direction": direction, "window": window}
    frame = pd.concat([site_columns([patch.site for patch in todo]), frame], axis=1)
    frame.attrs = attrs | {"base": float(base.mean()), "source": float(source.mean())}
    warn_of(frame)
    return frame


@dataclass(frozen=True, eq=False)
class _Sweep:
    """Patches some of the pairs at every site."""

    model: Model
    pairs: CounterfactualPairs
    todo: Sequence[Patch]
    metric: Metric
    denoise: bool
    resume: bool
    tell: Progress

    def ends(self, base: T, source: T) -> tuple[T, T]:
        """What is run, and where the numbers come from."""
        return (source, base) if self.denoise else (base, source)

    def __call__(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """The metric under each patch [m, rows], and on bases and sources as they are [rows]."""
        at, inputs = readout_of(self.model, self.pairs), (self.pairs.base.rows(rows), self.pairs.source.rows(rows))
        run, donor = self.ends(*inputs)
        every = dict.fromkeys(site for patch in self.todo for site in patch.together)
        values = self.model.capture(donor, every, batch_size=len(donor))
        recording = self.model.record(run, at=at, resume=self.resume)
        given = self.model.record(donor, at=at, resume=self.resume).logits
        base, source = self.ends(recording.logits, given)
        target = replace(target_for(self.pairs).rows(rows), clean=base)
        patched = [torch.empty(0)] * len(self.todo)
        edits = [{site: values[site] for site in patch.together} for patch in self.todo]
        for done, (number, logits) in enumerate(recording.sweep(edits)):
            patched[number] = self._score(settled(logits, recording.logits), target)
            self.tell("patching", rows.start * len(edits) + (done + 1) * len(run), len(self.pairs) * len(edits))
        return torch.stack(patched), self._score(base, target), self._score(source, target)

    def _score(self, logits: Tensor, target: Target) -> Tensor:
        return self.metric(logits, target).detach().cpu().double()
