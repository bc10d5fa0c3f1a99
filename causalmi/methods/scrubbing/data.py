"""On which data is a claim scrubbed? Drawn from its task, or given as settings or as pairs."""

from typing import Any

import numpy as np
import pandas as pd

from causalmi.data.pairs import CounterfactualPairs
from causalmi.data.task import Task
from causalmi.errors import DataError
from causalmi.methods.scrubbing.population import Ids, Population
from causalmi.rng import stream


def population_of(task: Task, data: Any, n: int, *, given: bool, seed: int) -> tuple[Population, Ids]:
    """The data that donors are drawn from, and the ``n`` references among them.

    References of drawn data are all of them; of ``data`` each of its rows once, or ``n`` at random where n is given.
    """
    if data is None:
        balance = "output" if task.balance in ("output", "change") else None
        inputs = task.model.sample(n, seed=seed, balance=balance)
        return Population(task, inputs), np.arange(n)
    population, first = _given(task, data)
    if not given:
        return population, np.arange(first)
    return population, stream(seed, "scrub", "references").integers(first, size=n)


def _given(task: Task, data: Any) -> tuple[Population, int]:
    """The population of given data, and how many of its rows may be references."""
    names = list(task.model.inputs)
    if isinstance(data, CounterfactualPairs):
        return _of_pairs(task, data)
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"data is a {type(data).__name__}; give a table of the inputs {', '.join(names)}, or pairs")
    if missing := [name for name in names if name not in data]:
        raise DataError(f"the data have no column {missing[0]}; give one for each input: {', '.join(names)}")
    if len(data) < 2:
        raise DataError(f"there are {len(data)} data to draw donors from; give at least two")
    return Population(task, data[names]), len(data)


def _of_pairs(task: Task, pairs: CounterfactualPairs) -> tuple[Population, int]:
    """Bases, which are the references, then sources; a base and its first source are each other's counterparts."""
    drawn = pairs.claimed_by(task).drawn
    if drawn is None:
        raise DataError("the pairs have tokens alone, and no settings that could agree; draw them from a task")
    names, n, sources = list(task.model.inputs), len(pairs), list(drawn.sources.values())
    inputs = pd.concat([drawn.base[names], *(s[names] for s in sources)], ignore_index=True)
    partner = np.concatenate([np.arange(n, 2 * n), *[np.arange(n)] * len(sources)])
    return Population(task, inputs, partner), n
