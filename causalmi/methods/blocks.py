"""How many examples does a test take? As many as it is told, or block after block until its numbers are known."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from causalmi.data.drawn import Drawn
from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.model import Model
from causalmi.errors import DataError, SpecError
from causalmi.methods.tally import Evidence
from causalmi.rng import stream
from causalmi.spec.hypothesis import Hypothesis

BLOCK = 256  # pairs that are drawn at a time
MOST = 2**15  # pairs that are drawn in all
_UNTIL = re.compile(r"until\s*(?:±|\+-)\s*(\d*\.\d+)")


@dataclass(frozen=True)
class Blocks:
    """The pairs of a test: those given, ``n`` drawn from the hypothesis's task, or ``n="until ±0.02"``.

    In the last case blocks of 256, each with a seed of its own, are drawn until the anytime-valid interval of every
    agreement has a half width of at most 0.02, or 32,768 pairs are drawn. ``n`` and ``seed`` are those of
    :func:`asked`. Raises DataError for pairs that are given together with such an ``n``.
    """

    hypothesis: Hypothesis
    model: Model
    data: CounterfactualPairs | None
    n: Any
    seed: int
    first: int = BLOCK  # as many are drawn first, where readouts have to learn from them

    def __post_init__(self) -> None:
        if self.half_width is not None and self.data is not None:
            raise DataError(f"n is {self.n!r}, and pairs that are given cannot be added to; leave out data= or n=")

    @property
    def half_width(self) -> float | None:
        """How narrow intervals are to be; None for a number of pairs that is fixed."""
        return _half_width(self.n)

    def gather(self, evaluate: Callable[[CounterfactualPairs, int, bool], Evidence]) -> Evidence:
        """All that ``evaluate(pairs, seed, whether they are the first)`` finds."""
        found: Evidence | None = None
        for pairs, seed in self.draws():
            part = evaluate(pairs, seed, found is None)
            found = part if found is None else found + part
            if self.reached(found):
                break
        assert found is not None  # there is a block at least
        return found

    def reached(self, found: Evidence) -> bool:
        """Whether every interval is as narrow as asked."""
        intervals = [tally.estimate(anytime=True) for tally in found.tallies.values()] if self.half_width else []
        return all((x.high - x.low) / 2 <= (self.half_width or 1) for x in intervals)

    def said(self, found: Evidence) -> str:
        """How the number of pairs came about, for the end of a sentence."""
        if self.half_width is None or not found.tallies:
            return ""
        if self.reached(found):
            return f"; {len(found.frame)} pairs were drawn until every interval was ±{self.half_width} or narrower"
        return f"; drawing ended at the cap of {MOST:,} pairs, before every interval was ±{self.half_width}"

    def draws(self) -> Iterator[tuple[CounterfactualPairs, int]]:
        """The blocks, bound to the network's tokenizer, and their seeds."""
        if self.half_width is None:
            yield self._ready(self.data, self.hypothesis.n if self.n is None else self.n, self.seed), self.seed
            return
        for number in range(MOST // BLOCK):
            seed = int(stream(self.seed, "block", str(number)).integers(2**31))
            yield self._ready(None, BLOCK if number else max(BLOCK, self.first), seed), seed

    def _ready(self, data: Any, n: int, seed: int) -> CounterfactualPairs:
        h = self.hypothesis
        pairs = h.task.pairs(n, vary=list(h.variables), seed=seed) if data is None else data
        if not isinstance(pairs, CounterfactualPairs):
            raise DataError(f"data is a {type(pairs).__name__}; give CounterfactualPairs, as task.pairs makes")
        if missing := [v for v in h.variables if v not in pairs.vary]:
            said = f"the pairs have no sources for {', '.join(missing)}"
            raise DataError(f"{said}; draw them with vary={list(h.variables)}")
        return pairs.claimed_by(h.task).bind(self.model.tokenizer)


def asked(test: str, hypothesis: Any, n: Any, seed: Any) -> tuple[int | str | None, int]:
    """``n`` and ``seed`` as Python's own numbers, checked before anything is computed.

    Raises SpecError for what is no hypothesis, DataError for an ``n`` or a ``seed`` that there cannot be.
    """
    if not isinstance(hypothesis, Hypothesis):
        raise SpecError(test, [f"the hypothesis is a {type(hypothesis).__name__}; give a causalmi.Hypothesis"])
    if not _whole(seed) or seed < 0:
        raise DataError(f"seed is {seed!r}; give a whole number from 0")
    if not (n is None or 0 < (_half_width(n) or 0) < 0.5 or (_whole(n) and n > 0)):
        raise DataError(f"n is {n!r}; give a whole number, or 'until ±0.02' with a half width below 0.5")
    return int(n) if _whole(n) else n, int(seed)


def joined(parts: Sequence[CounterfactualPairs], tokenizer: Any) -> CounterfactualPairs:
    """The pairs of several blocks as one, in their order."""
    first = parts[0]
    if len(parts) == 1 or first.task is None or first.drawn is None:
        return first
    drawn, names = [part.drawn for part in parts if part.drawn is not None], list(first.task.model.inputs)
    base = pd.concat([d.base[names] for d in drawn], ignore_index=True)
    sources = {v: pd.concat([d.sources[v][names] for d in drawn], ignore_index=True) for v in first.vary}
    return replace(first, drawn=Drawn.of(first.task.model, base, sources), tensors=None).bind(tokenizer)


def _half_width(n: Any) -> float | None:
    found = _UNTIL.fullmatch(n.strip()) if isinstance(n, str) else None
    return None if found is None else float(found[1])


def _whole(x: Any) -> bool:
    return isinstance(x, int | np.integer) and not isinstance(x, bool)
