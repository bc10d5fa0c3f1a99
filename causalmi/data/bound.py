"""What are the pairs to a network? Inputs, labels, counterfactual labels and candidate answers, as tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.data.drawn import Drawn, Subset
from causalmi.data.inputs import Inputs
from causalmi.errors import DataError

if TYPE_CHECKING:
    from causalmi.data.task import Task

Labels = Int[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Bound:
    """The tensors of n pairs; labels are tokens or classes, None or missing where they are not known."""

    base: Inputs
    sources: Mapping[str, Inputs]
    base_labels: Labels | None
    source_labels: Mapping[str, Labels]
    expected: Mapping[Subset, Labels]
    choices: Int[Tensor, "n c"] | None = None
    foil: Labels | None = None

    def rows(self, index: Int[Tensor, " m"]) -> "Bound":
        """Some of the pairs."""
        return replace(
            self,
            base=self.base.rows(index),
            sources={v: source.rows(index) for v, source in self.sources.items()},
            base_labels=None if self.base_labels is None else self.base_labels[index],
            source_labels={v: labels[index] for v, labels in self.source_labels.items()},
            expected={s: labels[index] for s, labels in self.expected.items()},
            choices=None if self.choices is None else self.choices[index],
            foil=None if self.foil is None else self.foil[index],
        )


def bind(task: "Task", drawn: Drawn, tokenizer: Any) -> Bound:
    """The drawn pairs as the network sees them; raises DataError for an answer that is not one token."""
    base = task.encode(drawn.base, tokenizer)
    sources = {v: task.encode(settings, tokenizer) for v, settings in drawn.sources.items()}
    bound = Bound(
        base=base,
        sources=sources,
        base_labels=task.labels(drawn.base, base, tokenizer),
        source_labels={v: task.labels(settings, sources[v], tokenizer) for v, settings in drawn.sources.items()},
        expected={s: task.labels(settings, base, tokenizer) for s, settings in drawn.counterfactual.items()},
    )
    choices = task.choice_ids(drawn.base, base, tokenizer)
    if choices is None:
        return bound
    others = [task.choice_ids(settings, sources[v], tokenizer) for v, settings in drawn.sources.items()]
    bound = replace(bound, choices=_union([choices, *(c for c in others if c is not None)]))
    _refuse_absent(bound)
    return bound


def _union(choices: list[Int[Tensor, "n c"]]) -> Int[Tensor, "n c"]:
    """The candidates of the base and of its sources, whose answers an interchange may bring; equal columns once."""
    columns = torch.cat(choices, dim=1)
    new = [i for i in range(columns.shape[1]) if not any(torch.equal(columns[:, i], columns[:, j]) for j in range(i))]
    return columns[:, new]


def _refuse_absent(bound: Bound) -> None:
    """An answer that is no candidate could never be given."""
    wanted = {"base": bound.base_labels, **{f"source of {v}": x for v, x in bound.source_labels.items()}}
    wanted |= {f"counterfactual of {'+'.join(s)}": x for s, x in bound.expected.items()}
    for what, labels in wanted.items():
        absent = (bound.choices != labels[:, None]).all(1)  # type: ignore[index,union-attr]
        if bool(absent.any()):
            row = int(absent.int().argmax())
            shown = (bound.base.tokens_text or str)(int(labels[row]))  # type: ignore[index]
            raise DataError(
                f"the answer {shown!r}, of the {what} in pair {row} with base {bound.base.show(row)}, is not among the "
                "choices of base and sources; add it to choices="
            )
