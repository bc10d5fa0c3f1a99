"""With what is a network read? With a readout for each mapped variable, learned where none is given.

Readouts learn from a quarter of the examples, and are judged on the others: an example that comes again is on the same
side every time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from causalmi.data.drawn import Drawn
from causalmi.data.inputs import Inputs
from causalmi.data.pairs import CounterfactualPairs
from causalmi.data.task import Task
from causalmi.engine.locate import locate
from causalmi.engine.model import Model
from causalmi.errors import DataError, SiteError
from causalmi.methods.readout import LearningError, Readout, flat, learn
from causalmi.rng import stream
from causalmi.spec.hypothesis import Hypothesis

TRAINED = 4  # one in so many examples trains readouts


@dataclass(frozen=True, eq=False)
class Reader:
    """A network, its readouts by variable, and the keys of the examples from which they learned."""

    hypothesis: Hypothesis
    model: Model
    readouts: Mapping[str, Readout]
    trained: frozenset[Any]
    batch_size: int | None

    @classmethod
    def of(
        cls, hypothesis: Hypothesis, model: Model, pairs: CounterfactualPairs, *, seed: int, batch_size: int | None
    ) -> "Reader":
        """A reader whose readouts learn, where none is given, from a part of ``pairs`` that ``seed`` picks.

        Raises SiteError for a place whose width differs between examples, DataError when there are too few.
        """
        readouts = {v: Readout(v, f) for v, f in hypothesis.readouts.items()}
        unread = [v for v in nodes(hypothesis)[:-1] if v not in readouts]
        trained = _training(pairs, seed) if unread else frozenset()
        made = cls(hypothesis, model, readouts, trained, batch_size)
        for variable in nodes(hypothesis)[:-1]:
            made.one_width([pairs.base, *([pairs.sources[variable]] if variable in unread else [])], variable)
        return cls(hypothesis, model, readouts | {v: made.learned(pairs, v) for v in unread}, trained, batch_size)

    def learned(self, pairs: CounterfactualPairs, variable: str) -> Readout:
        """A readout of ``variable`` from those of its bases and sources that train."""
        _, drawn = settings(pairs)
        parts = [(pairs.base, drawn.base), (pairs.sources[variable], drawn.sources[variable])]
        sites, numbers, values, used = self.hypothesis.sites(variable), list[torch.Tensor](), list[Any](), set[Any]()
        for inputs, table in parts:
            rows = []
            for row, key in enumerate(inputs.key()):
                if key in self.trained and key not in used:
                    used.add(key)
                    rows.append(row)
            if rows:
                found = self.model.capture(inputs.rows(rows), sites, batch_size=self.batch_size)
                numbers.append(flat(sites, found))
                values += table[variable].iloc[rows].tolist()
        return learn(variable, torch.cat(numbers) if numbers else torch.empty(0, 1), values)

    def fresh(self, inputs: list[Inputs]) -> NDArray[np.bool_]:
        """Rows none of whose examples trained a readout, bool [n]."""
        keys = zip(*(x.key() for x in inputs), strict=True)
        return np.array([not any(key in self.trained for key in row) for row in keys])

    def one_width(self, inputs: list[Inputs], variable: str) -> None:
        """Refuse a place that spans whole examples of unequal lengths."""
        lengths = {length for x in inputs for length in x.lengths.tolist()}
        for site, place in locate(self.model.adapter, inputs[0], self.hypothesis.sites(variable)).items():
            if place.sequence and len(lengths) > 1:
                raise SiteError(
                    f"{site} spans whole examples of unequal lengths, which no readout can take; "
                    "name a position with at=, or give prompts of one length"
                )


def nodes(hypothesis: Hypothesis) -> list[str]:
    """What is read: the mapped variables, and last the output, as the network's own answer."""
    output: str = hypothesis.task.model.output
    return [*(v for v in hypothesis.variables if v != output), output]


def settings(pairs: CounterfactualPairs) -> tuple[Task, Drawn]:
    """The task of pairs, and the settings that were drawn; raises DataError for pairs without."""
    if pairs.task is None or pairs.drawn is None:
        raise DataError("these pairs come without settings of the causal model; draw them with task.pairs")
    return pairs.task, pairs.drawn


def _training(pairs: CounterfactualPairs, seed: int) -> frozenset[Any]:
    keys = list(dict.fromkeys(key for x in (pairs.base, *pairs.sources.values()) for key in x.key()))
    if len(keys) < 2:
        raise LearningError("there is one example, which cannot both train a readout and be judged; draw more")
    order = stream(seed, "readouts").permutation(len(keys))
    return frozenset(keys[i] for i in order[: max(1, len(keys) // TRAINED)])
