"""Which examples should a causal model be tried on? Uniform ones, or ones balanced over what the output does."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalmi.errors import DataError, SpecError
from causalmi.rng import stream
from causalmi.spec.columns import frame, groups
from causalmi.spec.domain import LARGEST, count, show

if TYPE_CHECKING:
    from causalmi.spec.causal_model import CausalModel

ROUNDS = 100  # batches drawn before a class of examples is given up
PATIENCE = 10  # of these, for outputs that need only be as level as can be
SMALLEST_ROUND = 1024

Tables = tuple[pd.DataFrame, ...]


def sample(model: "CausalModel", n: int, *, seed: int, balance: str | None) -> pd.DataFrame:
    """``n`` settings of the inputs."""
    _check(n, balance, ("output",))
    return _balanced(model, n, seed, "sample") if balance else _uniform(model, n, seed, "sample")


def sample_pairs(
    model: "CausalModel", n: int, vary: Sequence[str], *, seed: int, balance: str | None
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """``n`` bases and, per variable, ``n`` sources."""
    _check(n, balance, ("output", "change"))
    if isinstance(vary, str) or not vary or len(set(vary)) < len(vary):
        raise SpecError("sample_pairs", [f"vary is {vary!r}; give a list of different variables, such as ['partial']"])
    if balance == "change":
        base, *sources = _changing(model, n, vary, seed)
    else:
        draw = _balanced if balance else _uniform
        base, *sources = (draw(model, n, seed, *use) for use in _uses(vary))
    return base, dict(zip(vary, sources, strict=True))


def _uses(vary: Sequence[str]) -> list[tuple[str, ...]]:
    return [("base",), *(("source", name) for name in vary)]


def _check(n: int, balance: str | None, allowed: Sequence[str]) -> None:
    if not isinstance(n, int | np.integer) or n < 1:
        raise SpecError("sample", [f"n is {n!r}; give a whole number from 1"])
    if balance is not None and balance not in allowed:
        raise SpecError("sample", [f"balance is {balance!r}; there are None, {', '.join(map(repr, allowed))}"])


def _uniform(model: "CausalModel", n: int, seed: int, *use: str) -> pd.DataFrame:
    return frame({name: model.admits[name].sample(n, stream(seed, "inputs", *use, name)) for name in model.inputs})


def _balanced(model: "CausalModel", n: int, seed: int, *use: str) -> pd.DataFrame:
    """Each value of the output equally often: chosen from all settings where those can be listed, else drawn."""
    rng = stream(seed, "balance", *use)
    if count(model.admits[name] for name in model.inputs) <= LARGEST:
        table = model.enumerate()
        rows = groups(table[model.output].tolist())
        picks = [rng.choice(rows[value], size=k) for value, k in _shares(list(rows), n, rng).items()]
        return table[list(model.inputs)].iloc[rng.permutation(np.concatenate(picks))].reset_index(drop=True)

    def draw(turn: int) -> tuple[Tables, list[Hashable]]:
        inputs = _uniform(model, max(n, SMALLEST_ROUND), seed, *use, str(turn))
        return (inputs,), model.run_columns(inputs)[model.output].tolist()

    values = model.domains.get(model.output) or list(groups(draw(0)[1]))
    return _fill(draw, _shares(values, n, rng), rng, f"whose {model.output} is")[0]


def _changing(model: "CausalModel", n: int, vary: Sequence[str], seed: int) -> Tables:
    """Bases and sources such that the interchange changes the output in half of them.

    Within each half the outputs after it are as equally frequent as the draws allow: no constant answer does well.
    """
    halves, rng = {True: n - n // 2, False: n // 2}, stream(seed, "balance", "change")
    drawn: list[Tables] = []
    changed, after = list[bool](), list[Any]()
    for turn in range(ROUNDS):
        tables = tuple(_uniform(model, max(n, SMALLEST_ROUND), seed, *use, str(turn)) for use in _uses(vary))
        before = model.run_columns(tables[0])[model.output].tolist()
        outputs = model.interchange_columns(tables[0], dict(zip(vary, tables[1:], strict=True)))[model.output].tolist()
        drawn.append(tables)
        after += outputs
        changed += [x != y for x, y in zip(outputs, before, strict=True)]
        rows = [_level([i for i, c in enumerate(changed) if c == half], after, k) for half, k in halves.items()]
        enough = all(len(some) == k for some, k in zip(rows, halves.values(), strict=True))
        if enough and (turn >= PATIENCE or all(_is_level(after[i] for i in some) for some in rows)):
            order = rng.permutation(np.array([i for some in rows for i in some], dtype=np.int64))
            return tuple(pd.concat(t).iloc[order].reset_index(drop=True) for t in zip(*drawn, strict=True))
    missing = next(half for half, k in halves.items() if changed.count(half) < k)
    what = f"interchanging {', '.join(vary)} {'changes' if missing else 'leaves'} {model.output}"
    raise DataError(
        f"too few examples in which {what}: {changed.count(missing):,} of {len(changed):,} drawn, where "
        f"{halves[missing]:,} are wanted; give the inputs other domains, or leave balance out."
    )


def _level(rows: Sequence[int], values: Sequence[Any], n: int) -> list[int]:
    """``n`` of the rows, or all, with their values as equally frequent as can be: the rarest give all they have."""
    by_value = sorted(groups(values[i] for i in rows).values(), key=len)
    kept: list[int] = []
    for left, members in zip(range(len(by_value), 0, -1), by_value, strict=True):
        kept += [rows[i] for i in members[: -(-(n - len(kept)) // left)]]
    return kept


def _is_level(values: Iterable[Any]) -> bool:
    """Whether all values are equally frequent, give or take one."""
    counts = [len(rows) for rows in groups(values).values()]
    return max(counts, default=0) - min(counts, default=0) <= 1


def _shares(values: Sequence[Any], n: int, rng: np.random.Generator) -> dict[Any, int]:
    """How many of ``n`` examples each value gets; which values get one more is drawn."""
    more = set(rng.permutation(len(values))[: n % len(values)].tolist())
    return {value: n // len(values) + (i in more) for i, value in enumerate(values)}


def _fill(
    draw: Callable[[int], tuple[Tables, list[Hashable]]], wanted: Mapping[Any, int], rng: np.random.Generator, what: str
) -> Tables:
    """Examples from successive draws, until there are as many of each class as are wanted, in random order."""
    left, parts, drawn = Counter(wanted), list[Tables](), 0
    for turn in range(ROUNDS):
        tables, classes = draw(turn)
        rows = [row for row, value in enumerate(classes) if _take(left, value)]
        parts.append(tuple(table.iloc[rows] for table in tables))
        drawn += len(classes)
        if not left.total():
            order = rng.permutation(sum(len(part[0]) for part in parts))
            return tuple(pd.concat(same).iloc[order].reset_index(drop=True) for same in zip(*parts, strict=True))
    missing = [value for value in wanted if left[value]]
    raise DataError(
        f"too few examples {what} {show(missing)}: {sum(left.values()):,} are missing after {drawn:,} were drawn; "
        "give the inputs other domains, or leave balance out."
    )


def _take(left: Counter[Any], value: Hashable) -> bool:
    if left[value] <= 0:
        return False
    left[value] -= 1
    return True
