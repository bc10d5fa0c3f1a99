"""Which settings were drawn? Bases, a source for each variable, and the counterfactuals that they make together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from causalmi.spec.causal_model import CausalModel

Subset = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Settings of all variables, one row for each pair; ``counterfactual`` by the variables that are interchanged."""

    base: pd.DataFrame
    sources: Mapping[str, pd.DataFrame]
    counterfactual: Mapping[Subset, pd.DataFrame]

    @classmethod
    def of(cls, model: CausalModel, base: pd.DataFrame, sources: Mapping[str, pd.DataFrame]) -> "Drawn":
        """The settings that the inputs ``base`` and ``sources`` lead to, for variables interchanged ``together``."""
        tables = {id(inputs): inputs for inputs in sources.values()}  # variables may share their sources
        ran = {key: model.run_columns(inputs) for key, inputs in tables.items()}
        run, donors = model.run_columns(base), {v: ran[id(inputs)] for v, inputs in sources.items()}
        joint = {s: model.interchange_columns(run, {v: donors[v] for v in s}) for s in model.together(tuple(sources))}
        return cls(run, donors, joint)

    def rows(self, index: NDArray[Any]) -> "Drawn":
        """Some of the pairs."""
        return Drawn(
            _rows(self.base, index),
            {v: _rows(settings, index) for v, settings in self.sources.items()},
            {s: _rows(settings, index) for s, settings in self.counterfactual.items()},
        )


def subsets(vary: tuple[str, ...]) -> tuple[Subset, ...]:
    """Each variable alone, then all of them jointly.

    >>> subsets(("a", "b"))
    (('a',), ('b',), ('a', 'b'))
    """
    return (*((v,) for v in vary), *([vary] if len(vary) > 1 else []))


def _rows(settings: pd.DataFrame, index: NDArray[Any]) -> pd.DataFrame:
    return settings.iloc[index].reset_index(drop=True)
