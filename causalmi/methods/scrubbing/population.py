"""From which inputs do nodes draw theirs? The data of a scrub, with tables of which of them agree on what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causalmi.data.inputs import Inputs
from causalmi.data.task import Task
from causalmi.errors import DataError
from causalmi.spec.columns import column, frame, groups
from causalmi.spec.domain import Open
from causalmi.spec.donor import Feature
from causalmi.spec.mechanism import Mechanism, read_parents

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Classes:
    """The data by the values of some features: row i is of class ``codes[i]``, counted in order of appearance."""

    codes: Ids
    order: Ids  # the rows, class by class
    starts: Ids
    counts: Ids
    code_of: Mapping[Any, int]

    @classmethod
    def of(cls, values: Sequence[Any]) -> "Classes":
        """The classes of these values."""
        code_of = {value: code for code, value in enumerate(groups(values))}
        codes = np.array([code_of[value] for value in values], dtype=np.int64)
        counts = np.bincount(codes, minlength=len(code_of))
        return cls(codes, np.argsort(codes, kind="stable"), np.cumsum(counts) - counts, counts, code_of)

    def draw(self, codes: Ids, rng: np.random.Generator) -> Ids:
        """A member of each of the classes ``codes`` [n], with replacement."""
        picked: Ids = self.order[self.starts[codes] + rng.integers(self.counts[codes])]
        return picked


class Population:
    """The data, row by row: settings of all variables; generated data are added at the end.

    ``counterpart`` [n] are the rows' partners, where the data are pairs.
    """

    def __init__(self, task: Task, inputs: pd.DataFrame, counterpart: Ids | None = None):
        self.task, self.model, self.counterpart = task, task.model, counterpart
        self.settings = task.model.run_columns(inputs.reset_index(drop=True))
        self._added: list[Mapping[str, Any]] = []
        self._known: dict[Any, int] | None = None
        self._classes: dict[tuple[Feature, ...], Classes] = {}

    def __len__(self) -> int:
        return len(self.settings)

    def setting(self, row: int) -> Mapping[str, Any]:
        """The values of all variables in one row."""
        if row >= len(self):
            return self._added[row - len(self)]
        values: Mapping[str, Any] = {name: self.settings[name].iloc[row] for name in self.model.variables}
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}

    def classes(self, on: tuple[Feature, ...]) -> Classes:
        """The drawn data by the features ``on``."""
        if on not in self._classes:
            self._classes[on] = Classes.of(self._values(on, self.settings))
        return self._classes[on]

    def codes(self, on: tuple[Feature, ...], rows: Ids) -> Ids:
        """The classes of ``rows`` by the features ``on``; -1 for added data that agree with none of the drawn."""
        table, inside = self.classes(on), rows < len(self)
        codes = np.full(len(rows), -1, dtype=np.int64)
        codes[inside] = table.codes[rows[inside]]
        if not inside.all():
            values = self._values(on, self._table([self.setting(int(row)) for row in rows[~inside]]))
            codes[~inside] = [table.code_of.get(value, -1) for value in values]
        return codes

    def identity(self, rows: Ids) -> Ids:
        """Which setting each of ``rows`` is: equal for equal inputs."""
        codes = self.codes(tuple(self.model.inputs), rows)
        found: Ids = np.where(codes < 0, -1 - rows, codes)
        return found

    def add(self, inputs: Mapping[str, Any]) -> int:
        """The row with these inputs of the causal model: one that there is, or a new one."""
        if self._known is None:
            columns = [self.settings[name].tolist() for name in self.model.inputs]
            self._known = {key: i for i, key in reversed(list(enumerate(zip(*columns, strict=True))))}
        missing = [name for name in self.model.inputs if name not in inputs]
        if missing:
            raise DataError(f"the generated setting {dict(inputs)} has no {missing[0]}; give every input")
        run = self.model.run({name: inputs[name] for name in self.model.inputs})
        key = tuple(run[name] for name in self.model.inputs)
        if key not in self._known:
            self._known[key] = len(self) + len(self._added)
            self._added.append({name: run[name] for name in self.model.variables})
        return self._known[key]

    @property
    def grown(self) -> bool:
        """Whether data were added to those drawn."""
        return bool(self._added)

    @property
    def everything(self) -> pd.DataFrame:
        """The settings of all rows, drawn and added."""
        if not self._added:
            return self.settings
        return pd.concat([self.settings, self._table(self._added)], ignore_index=True)

    def encoded(self, tokenizer: Any) -> Inputs:
        """All rows as the network takes them."""
        return self.task.encode(self.everything, tokenizer)

    def agree(self, on: tuple[Feature, ...], a: int, b: int) -> bool:
        """Whether two rows have the same features."""
        first, second = self._values(on, self._table([self.setting(a), self.setting(b)]))
        return bool(first == second)

    def _table(self, settings: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        return frame({name: column([s[name] for s in settings]) for name in self.model.variables})

    def _values(self, on: tuple[Feature, ...], settings: pd.DataFrame) -> list[Any]:
        """For each row the values of the features."""
        return list(zip(*(feature_column(f, settings) for f in on), strict=True))


def feature_column(feature: Feature, settings: pd.DataFrame) -> list[Any]:
    """A feature's value in each row: a variable, or a function of variables; raises DataError where it fails."""
    if isinstance(feature, str):
        values: list[Any] = settings[feature].tolist()
        return values
    name = getattr(feature, "__name__", "feature")
    parents, problems = read_parents(name, feature)
    unknown = [p for p in parents if p not in settings]
    if problems or unknown:
        said = problems[0] if problems else f"the feature {name!r} reads {unknown[0]!r}, which is no variable"
        raise DataError(f"{said}; its arguments are variables of the causal model: {', '.join(map(str, settings))}")
    columns = [settings[p].to_numpy() for p in parents]
    result: list[Any] = Mechanism(name, feature, parents, Open(name)).rows(columns, len(settings)).tolist()
    return result
