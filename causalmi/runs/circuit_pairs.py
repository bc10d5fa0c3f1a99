"""On what is a circuit searched and judged? Pairs of a hypothesis's task with two answers, the same for each seed."""

import hashlib
from collections import defaultdict
from typing import Any

from causalmi.data.drawn import Drawn
from causalmi.data.pairs import CounterfactualPairs
from causalmi.data.task import Task
from causalmi.errors import UsageError

MOST = 8  # times as many examples are drawn as are wanted, before that is given up

Row = tuple[int, int]


def pairs_for(task: Task, model: Any, n: int, *, seed: int, alike: bool) -> CounterfactualPairs:
    """``n`` pairs of a base and another input that has another answer; ``alike``: of the same length as well.

    A source with the base's answer would show nothing of what the answer depends on. Bases are as the task draws them,
    and each takes the first of the sources drawn that fits and is not taken. Raises UsageError when fewer than ``n``
    of 8 n bases find one, and what drawing them raises.
    """
    output = task.model.output
    for times in (1, 2, 4, MOST):
        drawn = task.pairs(times * n + n // 4, vary=[output], seed=seed).bind(model.tokenizer)
        rows = _partners(drawn, output, alike)
        if len(rows) >= n:
            return _joined(task, drawn, rows[:n]).bind(model.tokenizer)
    length = " of its length, which ablating with the pair's own source needs" if alike else ""
    such = "--ablation mean or node, or " if alike else ""
    raise UsageError(
        f"only {len(rows):,} of {len(drawn):,} inputs of {task.name!r} have another one with another answer{length}, "
        f"and {n:,} are wanted; take {such}a smaller --n"
    )


def digest(pairs: CounterfactualPairs) -> str:
    """What tells these pairs from others: a hash of the tokens of bases and sources."""
    parts = [inputs.values.cpu().numpy().tobytes() for inputs in (pairs.base, pairs.source)]
    return hashlib.sha256(b"|".join(parts)).hexdigest()


def _partners(drawn: CounterfactualPairs, output: str, alike: bool) -> list[Row]:
    """For each base that finds one, its row and that of its source."""
    source, answers = drawn.sources[output], drawn.source_labels[output].tolist()
    waiting: dict[Any, list[int]] = defaultdict(list)
    for j, key in reversed([*enumerate(_layouts(source, alike))]):
        waiting[key].append(j)
    rows: list[Row] = []
    for i, (key, answer) in enumerate(zip(_layouts(drawn.base, alike), drawn.base_labels.tolist(), strict=True)):
        if fits := [j for j in reversed(waiting[key]) if answers[j] != answer][:1]:
            waiting[key].remove(fits[0])
            rows.append((i, fits[0]))
    return rows


def _layouts(inputs: Any, alike: bool) -> list[Any]:
    """What has to be the same of a base and its source."""
    return list(zip(inputs.starts.tolist(), inputs.lengths.tolist(), strict=True)) if alike else [None] * len(inputs)


def _joined(task: Task, pairs: CounterfactualPairs, rows: list[Row]) -> CounterfactualPairs:
    assert pairs.drawn is not None
    names, (output,) = list(task.model.inputs), pairs.vary
    bases, sources = (list(some) for some in zip(*rows, strict=True))
    base, source = pairs.drawn.base[names].iloc[bases], pairs.drawn.sources[output][names].iloc[sources]
    drawn = Drawn.of(task.model, base.reset_index(drop=True), {output: source.reset_index(drop=True)})
    return CounterfactualPairs(drawn=drawn, task=task, seed=pairs.seed, vary=pairs.vary)
