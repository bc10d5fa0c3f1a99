"""What is interchanged together? Sets of variables, and variables that are read while others are interchanged."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import networkx as nx
import pandas as pd
from torch import Tensor

from causalmi.data.drawn import Drawn
from causalmi.data.pairs import CounterfactualPairs
from causalmi.errors import DataError, SpecError
from causalmi.spec.causal_model import CausalModel

MOST_SETS = 64


@dataclass(frozen=True)
class Nested:
    """``variable`` as it is on its source once ``inner`` is there set from a source of its own; printed v(u)."""

    variable: str
    inner: str

    def __str__(self) -> str:
        return f"{self.variable}({self.inner})"


Item = str | Nested
Subset = tuple[Item, ...]


def chosen(variables: tuple[str, ...], sets: Any = None) -> list[Subset]:
    """Each variable alone and all jointly; with "all" every set of them; or the ``sets`` themselves.

    Raises SpecError for sets that are none of these, or more than 64 of them.
    """
    if sets is None:
        return [*((v,) for v in variables), *([variables] if len(variables) > 1 else [])]
    if sets == "all":
        if 2 ** len(variables) - 1 > MOST_SETS:
            raise _refused(f"there are {2 ** len(variables) - 1:,} sets of {len(variables)} variables, list at most 64")
        return [s for size in range(1, len(variables) + 1) for s in combinations(variables, size)]
    listed = list(sets) if isinstance(sets, Sequence) and not isinstance(sets, str) else []
    if not listed or len(listed) > MOST_SETS or not all(_fits(s, variables) for s in listed):
        raise _refused(f"sets is {sets!r}, it must be 'all', or 1 to 64 tuples of {', '.join(variables)}, each once")
    return list(dict.fromkeys(map(tuple, listed)))


def nested(model: CausalModel, variables: tuple[str, ...]) -> list[Subset]:
    """For each pair of a variable and an ancestor of it, the variable read while the ancestor is interchanged."""
    return [(Nested(v, u),) for v in variables for u in variables if u in nx.ancestors(model.graph, v)]


def names(subset: Subset) -> tuple[str, ...]:
    """All variables whose sites a set needs."""
    inner = [item.inner for item in subset if isinstance(item, Nested)]
    return tuple(dict.fromkeys([*inner, *(outer(item) for item in subset)]))


def outer(item: Item) -> str:
    """The variable that is set."""
    return item.variable if isinstance(item, Nested) else item


def title(subset: Subset) -> str:
    """The set in one word."""
    return "+".join(map(str, subset))


def expected_labels(pairs: CounterfactualPairs, subset: Subset, tokenizer: Any) -> Tensor:
    """The causal model's answers under the interchange of ``subset``, int64 [n].

    Raises DataError for pairs that know neither these answers nor the settings they follow from.
    """
    for other, labels in pairs.expected.items():
        if set(other) == set(subset):
            return labels
    if pairs.drawn is None or pairs.task is None:
        have = ", ".join("+".join(s) for s in pairs.expected) or "none"
        raise DataError(
            f"these pairs have no expected labels for {title(subset)} (they have: {have}); "
            f"draw them with task.pairs(vary={list(names(subset))})"
        )
    settings = counterfactual(pairs.task.model, pairs.drawn, subset)
    labels = pairs.task.labels(settings, pairs.base, tokenizer)
    if pairs.choices is not None and bool((absent := (pairs.choices != labels[:, None]).all(1)).any()):
        row = int(absent.int().argmax())
        raise DataError(
            f"the answer to the interchange of {title(subset)} in pair {row} with base {pairs.base.show(row)} is not "
            "among the choices of base and sources; add it to choices="
        )
    return labels


def counterfactual(model: CausalModel, drawn: Drawn, subset: Subset) -> pd.DataFrame:
    """The settings of the bases with the variables of ``subset`` as they are in their sources."""
    found = {
        outer(i): drawn.sources[i]
        if isinstance(i, str)
        else model.interchange_columns(drawn.sources[i.variable], {i.inner: drawn.sources[i.inner]})
        for i in subset
    }
    return model.interchange_columns(drawn.base, found)


def _fits(given: Any, variables: tuple[str, ...]) -> bool:
    listed = list(given) if isinstance(given, tuple | list) else []
    return bool(listed) and all(v in variables for v in listed) and len(set(listed)) == len(listed)


def _refused(said: str) -> SpecError:
    return SpecError("interchange_test", [said])
