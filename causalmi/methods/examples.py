"""What is a method run on? Pairs or inputs: where they are read out, what they are compared with, how they repeat."""

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.data.clusters import number
from causalmi.data.inputs import Inputs
from causalmi.data.pairs import CounterfactualPairs
from causalmi.data.positions import resolve
from causalmi.engine.metrics import Target, target_of
from causalmi.engine.model import Model
from causalmi.errors import DataError
from causalmi.models.decoder import DecoderAdapter

Given: TypeAlias = CounterfactualPairs | Inputs


def examples_of(model: Model, given: Any) -> Given:
    """Pairs bound to the network's tokenizer, or inputs; raises DataError for neither, or when there are none."""
    ready = given.bind(model.tokenizer) if isinstance(given, CounterfactualPairs) else _inputs(given)
    if len(ready) == 0:
        raise DataError("there are no examples; give at least one")
    return ready


def pairs_of(model: Model, given: Any) -> CounterfactualPairs:
    """Pairs bound to the network's tokenizer; raises DataError for anything else, or when there are none."""
    if not isinstance(given, CounterfactualPairs):
        kind = type(given).__name__
        raise DataError(f"the pairs are a {kind}; give pairs of a task, or CounterfactualPairs.from_tokens")
    ready = examples_of(model, given)
    assert isinstance(ready, CounterfactualPairs)
    return ready


def inputs_of(examples: Given) -> Inputs:
    """The inputs themselves, of pairs the bases."""
    return examples.base if isinstance(examples, CounterfactualPairs) else examples


def target_for(examples: Given) -> Target:
    """The answers and foils of pairs; plain inputs have none."""
    return (
        target_of(examples) if isinstance(examples, CounterfactualPairs) else Target(index=torch.arange(len(examples)))
    )


def readout_of(model: Model, examples: Given) -> int | str:
    """The one position whose logits are the answer: the network's own, else the task's, else the last."""
    adapter = model.adapter
    if isinstance(adapter, DecoderAdapter) and adapter.readout_position is not None:
        return adapter.readout_position
    task = examples.task if isinstance(examples, CounterfactualPairs) else None
    return "last" if task is None else task.readout


def pick(logits: Tensor, at: int | str, inputs: Inputs) -> Tensor:
    """The logits [n, vocab] at the position ``at`` of each example; those of a classifier as they are."""
    positions = None if logits.ndim == 2 else resolve(at, inputs)
    if positions is None:
        return logits
    return logits[torch.arange(len(logits), device=logits.device), positions[:, 0].to(logits.device)]


def clusters_of(examples: Given) -> NDArray[np.int64]:
    """For each example the number of its input, int64 [n]."""
    return examples.clusters() if isinstance(examples, CounterfactualPairs) else number(examples.key())


def _inputs(given: Any) -> Inputs:
    return given if isinstance(given, Inputs) else Inputs.of(given)
