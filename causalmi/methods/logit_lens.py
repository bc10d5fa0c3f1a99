"""What would the network say if it stopped after a layer? The residual stream read by the final norm and unembedding.

nostalgebraist 2020, "interpreting GPT: the logit lens". It shows what the unembedding can read, not what the network
uses: a layer whose lens says nothing may carry the answer in other directions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.data.pairs import CounterfactualPairs
from causalmi.data.positions import is_single, resolve
from causalmi.data.tokens import shower
from causalmi.engine.load import load_model
from causalmi.engine.metrics import Metric, Target, metric_of, target_of
from causalmi.engine.model import Model, plan
from causalmi.errors import DataError, ModelError, PositionError
from causalmi.methods.effects import with_interval
from causalmi.methods.examples import clusters_of, examples_of, inputs_of, readout_of
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Position, Site

METRICS = ("logprob", "rank", "logit_diff")


def logit_lens(
    model: Any,
    examples: Any,
    *,
    at: Position = None,
    top: int = 1,
    metrics: Sequence[str | Metric] | None = None,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """What the final norm and the unembedding read from the residual stream after each layer; nothing is edited.

    Layer -1 is the stream that enters the first block, layer l the one that leaves block l; the last is the output.
    Of inputs: a row for each example, position ``at`` (counted from its first token; None: all), layer and rank below
    ``top``, with the token, its text where outputs are tokens that can be shown, and its log probability. Of pairs: a
    row for each position (None: the read-out) and layer, with the mean over the bases of each of ``metrics`` and its
    interval, clustered by base; by default the answer's logprob and rank (0 is the top), and logit_diff where every
    pair has one. "kl" is from the output's distribution. Raises ModelError for a network that is no decoder,
    PositionError or DataError before anything runs.
    """
    model = load_model(model)
    if not isinstance(model.adapter, DecoderAdapter):
        raise ModelError(f"{model.name} is addressed by module paths alone; a lens needs a decoder with known layers")
    ready, at = examples_of(model, examples), tuple(at) if isinstance(at, list) else at
    if inputs_of(ready).mask is None:
        raise ModelError(f"{model.name} takes numbers, whose positions are not known; a lens needs a network of tokens")
    if not isinstance(ready, CounterfactualPairs):
        if metrics is not None:
            raise DataError("metrics are means over pairs with answers, and these are plain inputs; give pairs")
        return _tokens(model, model.adapter, ready, at, top, batch_size)
    return _measured(model, model.adapter, ready, readout_of(model, ready) if at is None else at, metrics, batch_size)


def _tokens(
    model: Model, adapter: DecoderAdapter, inputs: Inputs, at: Position, top: int, batch_size: int | None
) -> pd.DataFrame:
    if type(top) is not int or not 1 <= top <= adapter.shape.d_out:
        raise DataError(f"top is {top}; give how many tokens to show, 1 to {adapter.shape.d_out}")
    rows, own = _own_positions(inputs, at)
    parts = {name: list[Tensor]() for name in ("example", "position", "layer", "rank", "token", "logprob")}
    for some, streams in _streams(model, adapter, inputs, at, batch_size):
        kept, place = rows[some], own[some]
        example, column = kept.nonzero(as_tuple=True)
        for layer, hidden in streams.items():
            x = hidden if hidden.ndim == 3 else hidden[:, None]
            best = _logits(adapter, x[kept.to(x.device)]).log_softmax(-1).topk(top)
            several = torch.ones_like(best.indices, device="cpu")
            parts["example"].append((example + some.start)[:, None] * several)
            parts["position"].append(place[example, column][:, None] * several)
            parts["layer"].append(layer * several)
            parts["rank"].append(torch.arange(top) * several)
            parts["token"].append(best.indices.cpu())
            parts["logprob"].append(best.values.cpu().double())
    frame = pd.DataFrame({name: torch.cat(x).flatten().numpy() for name, x in parts.items()})
    if show := _shower(model, adapter, inputs):
        frame.insert(5, "text", [show(int(token)) for token in frame["token"]])
    return frame.sort_values(["example", "position", "layer", "rank"], ignore_index=True)


def _measured(
    model: Model,
    adapter: DecoderAdapter,
    pairs: CounterfactualPairs,
    at: Position,
    metrics: Sequence[str | Metric] | None,
    batch_size: int | None,
) -> pd.DataFrame:
    target, clusters = target_of(pairs), clusters_of(pairs)
    chosen, places = _chosen(metrics, target), at if isinstance(at, tuple) else (at,)
    if several := [place for place in places if not is_single(place)]:
        raise PositionError(f"{several[0]!r} is not one position; give one, or a list of such, each with its own mean")
    found: dict[tuple[int, int, str], list[Tensor]] = {}
    for some, streams in _streams(model, adapter, pairs.base, places, batch_size):
        goal = target.rows(some)
        for number, layer in product(range(len(places)), streams):
            clean, logits = (_logits(adapter, streams[x][:, number]) for x in (max(streams), layer))
            for metric in chosen:
                value = metric(logits, replace(goal, clean=clean))
                found.setdefault((number, layer, metric.name), []).append(value.cpu())
    return _means(found, places, clusters)


def _chosen(metrics: Sequence[str | Metric] | None, target: Target) -> list[Metric]:
    """The metrics that were asked for; else the answer's, with the logit difference where every pair has one."""
    chosen = [metric_of(metric) for metric in (METRICS if metrics is None else metrics)]
    for metric in chosen:
        if metrics is None and metric.name == "logit_diff":
            with suppress(DataError):
                metric.check(target)
                continue
            return chosen[:-1]
        metric.check(target)
    return chosen


def _means(found: Mapping[tuple[int, int, str], list[Tensor]], places: Sequence[Any], clusters: Any) -> pd.DataFrame:
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for (number, layer, name), parts in found.items():
        row = rows.setdefault((number, layer), {"position": places[number], "layer": layer})
        values = torch.cat(parts).double().numpy()
        value, low, high = with_interval(values, clusters)
        row |= {name: value, f"{name}_low": low, f"{name}_high": high, "n": len(values)}
    frame = pd.DataFrame(list(rows.values()))
    return frame[[*(name for name in frame if name != "n"), "n"]]


def _streams(
    model: Model, adapter: DecoderAdapter, inputs: Inputs, at: Any, batch_size: int | None
) -> Iterator[tuple[slice, dict[int, Tensor]]]:
    """Batch by batch, the stream after each layer, [rows, (k,) d_model]; -1 is before the first."""
    sites = {-1: Site("resid_pre", 0, at=at)}
    sites |= {layer: Site("resid_post", layer, at=at) for layer in range(adapter.shape.n_layers)}
    size = plan(model, inputs, read=sites.values(), batch_size=batch_size).batch_size
    for start in range(0, len(inputs), size):
        some = slice(start, min(start + size, len(inputs)))
        values = model.capture(inputs.rows(some), sites.values(), batch_size=size)
        yield some, {layer: values[site] for layer, site in sites.items()}


def _logits(adapter: DecoderAdapter, hidden: Tensor) -> Tensor:
    with torch.no_grad():
        logits = adapter.tail(hidden)
    if bool(logits.isnan().any()):
        raise ModelError(f"{adapter.name} gives NaN logits, of which there is no lens; try float32")
    return logits if logits.dtype == torch.float64 else logits.float()


def _own_positions(inputs: Inputs, at: Position) -> tuple[Tensor, Tensor]:
    """For what a read ``at`` gives of each example, whether it is no padding, and its position there: both [n, k]."""
    found = resolve(at, inputs)
    if found is None:
        found = torch.arange(inputs.values.shape[1]).expand(len(inputs), -1)
    own = found - inputs.starts.cpu()[:, None]
    return (own >= 0) & (own < inputs.lengths.cpu()[:, None]), own


def _shower(model: Model, adapter: DecoderAdapter, inputs: Inputs) -> Callable[[int], str] | None:
    """What shows an output as text, where outputs are tokens and someone knows how."""
    if adapter.shape.d_out != adapter.shape.d_vocab:
        return None
    return inputs.tokens_text or (None if model.tokenizer is None else shower(model.tokenizer))
