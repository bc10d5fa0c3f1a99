"""Did a result survive attempts to explain it away? One row for each attempt, with what it must show."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from causalmi.results.verdicts import plain
from causalmi.stats.estimate import Estimate

MANY = 39  # draws with which p is .05 even where one of them reaches the result
Demand = Literal["below", "one", "zero", "same"]
DEMANDS: dict[Demand, str] = {
    "below": "it must fall below the result",
    "one": "it must be 1",
    "zero": "it must be 0",
    "same": "it must be the result, to the last digit",
}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One refuter against one finding.

    ``observed`` is the finding's number, on the examples that the refuter is made on, ``refuted`` what it is under the
    refuter, ``p`` = (1 + k) / (1 + B) for k of B draws of it that reach the observed (None where nothing is drawn).
    ``passed`` is None, with the ``reason``, where the attempt could not be made, or has too few draws to tell.
    """

    finding: str
    refuter: str
    demand: Demand
    observed: float | None
    refuted: Estimate | None = None
    p: float | None = None
    draws: int = 0
    passed: bool | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.refuted is None:
            return f"{self.finding}, {self.refuter}: {self.reason}"
        few = "only " if self.draws < MANY else ""
        p = "" if self.p is None else f", p = {self.p:.3g} over {few}{self.draws} draws"
        said = f"{self.word}, {self.reason}" if self.reason else self.word
        return f"{self.finding}, {self.refuter}: {self.refuted}{p}; {DEMANDS[self.demand]}: {said}"

    @property
    def word(self) -> str:
        """passed, failed, not made or undecided."""
        return {True: "passed", False: "FAILED", None: "not made" if self.refuted is None else "undecided"}[self.passed]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RefutationResult:
    """The outcome of :func:`causalmi.refute`: the result that was attacked, and every attempt on it."""

    test: str
    hypothesis: str
    model: str
    seed: int
    attempts: tuple[Attempt, ...]

    @property
    def survived(self) -> bool:
        """Whether every attempt that could tell was passed, among them one that a true claim must beat.

        That a test gives what it must by construction ("one", "zero", "same") says nothing for the claim.
        """
        beaten = any(a.passed and a.demand == "below" for a in self.attempts)
        return beaten and not any(a.passed is False for a in self.attempts)

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each attempt."""
        return pd.DataFrame(self.to_dict()["attempts"])

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON."""
        rows = [
            {
                "finding": a.finding,
                "refuter": a.refuter,
                "demand": DEMANDS[a.demand],
                "observed": a.observed,
                "refuted": plain(a.refuted),
                "p": a.p,
                "draws": a.draws,
                "passed": a.passed,
                "reason": a.reason,
            }
            for a in self.attempts
        ]
        head = {"test": self.test, "hypothesis": self.hypothesis, "model": self.model, "seed": self.seed}
        return {**head, "survived": self.survived, "attempts": rows}

    def _lines(self) -> Iterator[str]:
        yield f"{self.test} of {self.hypothesis} on {self.model}, seed {self.seed}"
        yield from (f"  {attempt}" for attempt in self.attempts)
        failed, told = any(a.passed is False for a in self.attempts), [a for a in self.attempts if a.passed is not None]
        left = "did not survive" if failed else "undecided: no attempt that a true claim must beat could tell"
        all_of = "every attempt" if len(told) == len(self.attempts) else f"the {len(told)} attempts that could tell"
        yield f"  survived {all_of}" if self.survived else f"  {left}"

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__
