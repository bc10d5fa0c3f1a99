"""How large is the effect of each intervention? Raw, as a share of what could be had, with intervals and p-values."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from causalmi.errors import CausalmiWarning, DataError, ModelError
from causalmi.stats.means import Floats, mean, ratio
from causalmi.stats.multiplicity import adjust, sign_flip

ROUNDING = {torch.float64: 1e-12, torch.float32: 2e-6}  # relative, of sums done in another order; else not known
NONE = (np.nan, np.nan, np.nan)
COLUMNS = ["effect", "low", "high", "p", "p_adjusted", "value", "raw", "raw_low", "raw_high", "n"]


def effects(
    patched: Any, start: Any, goal: Any = None, *, clusters: Any = None, seed: int, signed: bool = True
) -> pd.DataFrame:
    """The effects of m interventions on a metric: a row for each, from its values on n examples.

    With the metric under each intervention, ``patched`` [m, n], under none, ``start`` [n], and at best, ``goal`` [n]:
    value = mean(patched), raw = mean(patched - start) with its t interval, effect = mean(patched - start) /
    mean(goal - start) with Fieller's, p by sign flips of patched - start, p_adjusted by Benjamini & Hochberg over the m
    rows; all robust to ``clusters`` (int [n]). Without a goal, or when mean(goal - start) is not significantly
    different from 0, effect, low and high are NaN, and ``frame.attrs["undefined"]`` says why. Of a single cluster there
    is no interval and no p: they are NaN, and ``frame.attrs["uncertain"]`` says so. Zhang & Nanda 2024.
    A metric that no intervention can bring below ``start`` (``signed=False``: a divergence from the clean run) is not
    symmetric about it, so p is NaN, and ``frame.attrs["untested"]`` says so. Raises ModelError for values that are not
    finite, DataError for unequal lengths.
    """
    values, before, best = _checked(patched, start, goal)
    gains = values - before
    if _alone(before, clusters):
        return _of_one(values, gains, None if best is None else best - before)
    raw = [mean(gain, clusters) for gain in gains]
    span = None if best is None else best - before
    shares = [None if span is None else ratio(gain, span, clusters) for gain in gains]
    frame = pd.DataFrame({"value": values.mean(1), "raw": [e.value for e in raw]})
    frame["raw_low"], frame["raw_high"] = [e.low for e in raw], [e.high for e in raw]
    frame[["effect", "low", "high"]] = [(e.value, e.low, e.high) if e else NONE for e in shares]
    frame["p"] = sign_flip(gains.T, clusters, seed=seed) if signed else np.nan
    frame["p_adjusted"] = adjust(frame["p"]) if signed else np.nan
    frame["n"] = values.shape[1]
    frame = frame[COLUMNS]
    if not signed:
        frame.attrs["untested"] = "the metric is 0 on the clean run and never below, so no sign can be flipped: no p"
    if None in shares:
        frame.attrs["undefined"] = _reason(span, clusters)
    return frame


def settled(logits: Tensor, clean: Tensor) -> Tensor:
    """The ``logits`` [n, vocab], those of ``clean`` where rounding alone tells them apart: that is no effect."""
    off = (logits - clean).abs().amax(-1)
    same = off <= ROUNDING.get(logits.dtype, 0.0) * clean.abs().amax(-1)
    return torch.where(same[:, None], clean, logits)


def warn_of(frame: pd.DataFrame) -> None:
    """Warn the caller's caller of what the frame cannot say."""
    for name in ("undefined", "uncertain"):
        if name in frame.attrs:
            warnings.warn(frame.attrs[name], CausalmiWarning, stacklevel=3)


def with_interval(x: Floats, clusters: Any = None) -> tuple[float, float, float]:
    """The mean of ``x`` [n] and the ends of its t interval, robust to ``clusters``; NaN ends for a single cluster."""
    if _alone(x, clusters):
        return float(x.mean()), np.nan, np.nan
    estimate = mean(x, clusters)
    return estimate.value, estimate.low, estimate.high


def _alone(x: Floats, clusters: Any) -> bool:
    """Whether all examples are one observation."""
    return len(x) == 1 or (clusters is not None and np.unique(clusters).size == 1)


def _of_one(values: Floats, gains: Floats, span: Floats | None) -> pd.DataFrame:
    """The effects on examples that are one observation, without intervals."""
    frame = pd.DataFrame({"value": values.mean(1), "raw": gains.mean(1)})
    frame[["raw_low", "raw_high"]] = np.nan
    whole = 0.0 if span is None else float(span.mean())
    frame["effect"] = frame["raw"] / whole if whole else np.nan
    frame[["low", "high", "p", "p_adjusted"]] = np.nan
    frame["n"] = values.shape[1]
    frame.attrs["uncertain"] = "all examples share one base, so there is no interval and no p; give more pairs"
    if not whole:
        frame.attrs["undefined"] = "there is no difference of which an effect could be a share; see raw"
    return frame[COLUMNS]


def _reason(span: Floats | None, clusters: Any) -> str:
    if span is None:
        return "no goal was given of which an effect could be a share; see raw"
    by = f"{mean(span, clusters):.3g}"
    return f"without any patch the metric on base and source differs by {by}, not significantly; effect is NaN, see raw"


def _checked(patched: Any, start: Any, goal: Any) -> tuple[Floats, Floats, Floats | None]:
    values, before, best = _floats(patched), _floats(start), None if goal is None else _floats(goal)
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(
            f"patched has the shape {values.shape}; give [m, n], a row of n examples for each intervention."
        )
    for name, x in {"start": before, "goal": best}.items():
        if x is not None and x.shape != values.shape[1:]:
            raise DataError(f"unequal lengths: {name} has the shape {x.shape}, patched {values.shape}; give one each.")
        if x is not None and not np.isfinite(x).all():
            raise ModelError(f"the metric at {name} is not finite at example {int((~np.isfinite(x)).argmax())}.")
    wrong = ~np.isfinite(values).all(1)
    if wrong.any():
        raise ModelError(f"the metric of intervention {int(wrong.argmax())} (a row of patched) is not finite.")
    return values, before, best


def _floats(x: Any) -> Floats:
    array = x.detach().cpu().double().numpy() if isinstance(x, Tensor) else x
    return np.asarray(array, dtype=np.float64)
