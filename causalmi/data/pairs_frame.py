"""What does a table of the pairs show? One row for each: base and sources, inputs, labels, what changed, positions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from causalmi.data.inputs import Inputs

if TYPE_CHECKING:
    from causalmi.data.pairs import CounterfactualPairs


def pairs_frame(pairs: "CounterfactualPairs") -> pd.DataFrame:
    """One row for each pair; what needs a tokenizer is missing before binding."""
    return pd.DataFrame(dict([*_examples(pairs), *(_tensors(pairs) if pairs.bound else ())]))


def _examples(pairs: "CounterfactualPairs") -> Iterator[tuple[str, Any]]:
    """Each base and source as the network is given it, and the causal model's inputs."""
    yield "base", _shown(pairs, None)
    for v in pairs.vary:
        yield f"source.{v}", _shown(pairs, v)
    if pairs.drawn is None or pairs.task is None:
        return
    for name in pairs.task.model.inputs:
        yield f"base.{name}", pairs.drawn.base[name].tolist()
    for v, settings in pairs.drawn.sources.items():
        for name in pairs.task.model.inputs:
            yield f"source.{v}.{name}", settings[name].tolist()


def _shown(pairs: "CounterfactualPairs", variable: str | None) -> list[Any]:
    if pairs.tensors is not None:
        inputs: Inputs = pairs.base if variable is None else pairs.sources[variable]
        return list(inputs.texts or inputs.real())
    if pairs.task is None or pairs.drawn is None:
        return []
    return list(pairs.task.texts(pairs.drawn.base if variable is None else pairs.drawn.sources[variable]))


def _tensors(pairs: "CounterfactualPairs") -> Iterator[tuple[str, Any]]:
    bound = pairs.tensors
    if bound is None:
        return
    if bound.base_labels is not None:
        yield "base_label", bound.base_labels.tolist()
    if bound.foil is not None:
        yield "foil", bound.foil.tolist()
    for v, labels in bound.source_labels.items():
        yield f"source_label.{v}", labels.tolist()
    for subset, labels in bound.expected.items():
        yield f"expected.{'+'.join(subset)}", labels.tolist()
        if bound.base_labels is not None:
            yield f"changed.{'+'.join(subset)}", (labels != bound.base_labels).tolist()
    yield "length", bound.base.lengths.tolist()
    for name, spans in bound.base.spans.items():
        yield f"position.{name}", list(spans)
