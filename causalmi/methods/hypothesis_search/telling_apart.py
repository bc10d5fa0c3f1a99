"""Which of two claims is right where they disagree? Only pairs on which they expect different answers can say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causalmi.methods.hypothesis_search.retelling import Rival
from causalmi.methods.subsets import expected_labels, title
from causalmi.methods.swap import sampling_units
from causalmi.results.rival_pair import RivalPair
from causalmi.stats.means import cluster_totals
from causalmi.stats.multiplicity import adjust
from causalmi.stats.paired import sign_test

Hits = Mapping[str, NDArray[np.bool_]]  # by set of variables, whether each test pair agreed


@dataclass(frozen=True, eq=False)
class _Apart:
    """For each test pair and corresponding sets of variables, whether two claims expect other answers."""

    differ: NDArray[np.bool_]  # [n, sets]
    first: NDArray[np.bool_]  # hits, [n, sets]
    second: NDArray[np.bool_]


def told_apart(judged: Sequence[tuple[Rival, Hits | None]], tokenizer: Any) -> tuple[RivalPair, ...]:
    """Every two claims: where they differ, and which is right there more often.

    The test is the sign test of the sum of hit differences over what shares a base: McNemar's exact test where each
    pair has a base of its own and one set of variables corresponds. p-values are adjusted by Holm's method.
    """
    found = [_compared(a, b, tokenizer) for a, b in combinations(judged, 2)]
    tested = [i for i, each in enumerate(found) if each.p is not None]
    if tested:
        for i, p in zip(tested, adjust([found[i].p for i in tested], "holm"), strict=True):
            found[i] = replace(found[i], p_adjusted=float(p))
    return tuple(found)


def _compared(a: tuple[Rival, Hits | None], b: tuple[Rival, Hits | None], tokenizer: Any) -> RivalPair:
    (first, hits_a), (second, hits_b) = a, b
    ours, theirs = first.slotted(), second.slotted()
    shared = [(ours[slots], theirs[slots]) for slots in ours if slots in theirs]
    differ = np.zeros((len(first.pairs), 0), dtype=np.bool_)
    if shared:
        labels = [
            [expected_labels(r.pairs, s, tokenizer) for r, s in zip((first, second), x, strict=True)] for x in shared
        ]
        differ = np.stack([(mine != other).numpy() for mine, other in labels], axis=1)
    apart, units = np.asarray(differ.any(axis=1)), sampling_units(first.pairs)
    found = RivalPair(
        first=first.name,
        second=second.name,
        sets=tuple(f"{title(x)} / {title(y)}" for x, y in shared),
        n=apart.size,
        natural=float((first.pairs.base_labels != second.pairs.base_labels).double().mean()),
        differ=float(apart.mean()),
        separating=int(apart.sum()),
        bases=len(set(units[apart].tolist())),
    )
    if hits_a is None or hits_b is None or not found.separable:
        return found
    right = [
        np.stack([hits[title(subset)] for subset in sets], axis=1)
        for hits, sets in zip((hits_a, hits_b), zip(*shared, strict=True), strict=True)
    ]
    return _tested(found, _Apart(differ, *right), units)


def _tested(found: RivalPair, apart: _Apart, units: NDArray[np.int64]) -> RivalPair:
    """With how often each claim is right where they differ, and how often by base."""
    gain = (apart.differ & apart.first).sum(1) - 1.0 * (apart.differ & apart.second).sum(1)
    total, by_base = apart.differ.sum(), cluster_totals(gain[:, None], units)[:, 0]
    return replace(
        found,
        first_right=float((apart.differ & apart.first).sum() / total),
        second_right=float((apart.differ & apart.second).sum() / total),
        first_wins=int((by_base > 0).sum()),
        second_wins=int((by_base < 0).sum()),
        p=sign_test(by_base),
    )
