"""Does the network do what the causal model says? Its answers, its accuracy, and the pairs where it is right."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.data.clusters import number
from causalmi.data.inputs import Inputs
from causalmi.data.pairs import CounterfactualPairs
from causalmi.data.positions import resolve
from causalmi.engine.model import Model
from causalmi.errors import DataError, ModelError
from causalmi.methods.examples import readout_of
from causalmi.methods.tally import Tally
from causalmi.spec.site import Site


@dataclass(frozen=True)
class Answers:
    """The network's answer to each example: among the task's choices, and among all outputs; and what was read."""

    among_choices: Int[Tensor, " n"]
    among_all: Int[Tensor, " n"]
    values: Mapping[Site, Tensor]
    outputs: int


def answers(
    model: Model,
    inputs: Inputs,
    pairs: CounterfactualPairs,
    *,
    edits: Mapping[Site, Any] | None = None,
    read: Iterable[Site] = (),
    batch_size: int | None = None,
) -> Answers:
    """What the network answers to ``inputs``, at the read-out of the task of ``pairs``, row by row with ``pairs``.

    Raises PositionError for a read-out that is not one position, ModelError for logits that are NaN.
    """
    readout = _readout(model, pairs, inputs)
    runs = model.stream(inputs, edits=edits, read=read, batch_size=batch_size)
    return collected(((rows, _scores(run.logits, readout[rows], model.name), run.values) for rows, run in runs), pairs)


def collected(runs: Iterable[tuple[slice, Tensor, Mapping[Site, Tensor]]], pairs: CounterfactualPairs) -> Answers:
    """The answers of runs, batch by batch: rows of ``pairs``, logits [batch, outputs] at the read-out, what was read.

    Raises ModelError for logits that are NaN.
    """
    chosen, overall, values, outputs = [], [], dict[Site, list[Tensor]](), 0
    for rows, scores, read in runs:
        if bool(scores.isnan().any()):
            raise ModelError("NaN logits are no answer. Try float32, and check the weights and the size of the edit")
        overall.append(scores.argmax(-1).cpu())
        chosen.append(_best_choice(scores, pairs.choices, rows, overall[-1]))
        outputs = scores.shape[-1]
        for site, value in read.items():
            values.setdefault(site, []).append(value)
    return Answers(torch.cat(chosen), torch.cat(overall), {s: torch.cat(v) for s, v in values.items()}, outputs)


def accuracy(pairs: CounterfactualPairs, base: Answers, sources: Mapping[str, Answers]) -> Tally:
    """Which of the bases and ``sources`` the network gets right; the same example again is one cluster.

    Raises DataError for a label that is none of the network's outputs.
    """
    for labels in (pairs.base_labels, *pairs.source_labels.values(), *pairs.expected.values()):
        check_labels(labels.tolist(), base.outputs)
    hits, keys = [base.among_choices == pairs.base_labels], [*pairs.base.key()]
    for name in [name for name in pairs.source_labels if name in sources]:
        hits.append(sources[name].among_choices == pairs.source_labels[name])
        keys += pairs.sources[name].key()
    return Tally(torch.cat(hits).numpy(), number(keys))


def check_labels(labels: Iterable[int], outputs: int) -> None:
    """DataError for a label that is none of the network's outputs."""
    if (most := max(labels)) >= outputs:
        raise DataError(f"the label {most} is none of the network's {outputs} outputs")


def filter_pairs(
    model: Model, pairs: CounterfactualPairs, *, batch_size: int | None = None
) -> tuple[CounterfactualPairs, int]:
    """The pairs on which the network agrees with the causal model on base and every source, and how many it dropped.

    Accuracy on what is left speaks of those pairs only. Raises DataError when none are left.
    """
    pairs = pairs.bind(model.tokenizer)
    if missing := [name for name in pairs.sources if name not in pairs.source_labels]:
        raise DataError(
            f"the pairs have no right answers for the sources of {', '.join(missing)}; draw them from a task"
        )
    keep = answers(model, pairs.base, pairs, batch_size=batch_size).among_choices == pairs.base_labels
    for name, source in pairs.sources.items():
        keep &= answers(model, source, pairs, batch_size=batch_size).among_choices == pairs.source_labels[name]
    kept = int(keep.sum())
    if kept == 0:
        raise DataError(f"{model.name} is wrong on base or source in all {len(pairs)} pairs; there is nothing to test")
    return pairs.rows(keep.nonzero().flatten()), len(pairs) - kept


def _readout(model: Model, pairs: CounterfactualPairs, inputs: Inputs) -> Int[Tensor, " n"]:
    at = readout_of(model, pairs)
    if not bool(inputs.lengths.any()):  # numbers without positions
        return torch.zeros(len(inputs), dtype=torch.long)
    found = resolve(at, inputs)
    assert found is not None  # one position, so not all
    return found[:, 0]


def _scores(logits: Tensor, readout: Tensor, name: str) -> Tensor:
    """The logits at the read-out, [batch, outputs]; class logits are there already."""
    if logits.ndim not in (2, 3) or logits.shape[-1] < 2:
        raise ModelError(
            f"{name} gives outputs of shape {tuple(logits.shape)}; an answer is the largest of at least two logits, "
            "[batch, classes] or [batch, pos, vocabulary]"
        )
    if logits.ndim == 3:
        logits = logits[torch.arange(len(logits), device=logits.device), readout.to(logits.device)]
    return logits


def _best_choice(scores: Tensor, choices: Tensor | None, rows: slice, overall: Tensor) -> Tensor:
    if choices is None:
        return overall
    ids = choices[rows].to(scores.device)
    best = scores.gather(1, ids).argmax(1, keepdim=True)
    return ids.gather(1, best)[:, 0].cpu()
