"""Which of several claims does a network bear out, and could the data tell them apart at all?"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from causalmi.results.alignment import AlignmentResult
from causalmi.results.rival_pair import RivalPair
from causalmi.results.verdicts import plain
from causalmi.stats.estimate import Estimate

SHOWN = 12


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RankedHypothesis:
    """One claim with what the search found for it.

    ``validation`` is its agreement on the validation pairs and ``balanced`` that by which it is ranked: the mean of the
    agreement where the right answer changes and where it does not, of the set of variables where that is lowest.
    ``iia`` is on the test pairs, its interval at the level 1 - .05 / m for m claims. ``reason`` says why there is none.
    """

    name: str
    claim: Any
    found: AlignmentResult | None
    balanced: float
    changed: float
    iia: Estimate | None = None
    reason: str | None = None

    @property
    def hypothesis(self) -> Any:
        """The claim with the places that were found; as it was given where none were."""
        return self.claim if self.found is None else self.found.hypothesis

    @property
    def verdict(self) -> str:
        """Of the interchange test on the test pairs."""
        return "uninformative" if self.found is None else self.found.verdict

    def row(self, rank: int) -> dict[str, Any]:
        """The claim in the ranking."""
        x, found = self.iia, self.found
        where = "" if found is None else str(found.chosen["place"])
        return {
            "rank": rank,
            "hypothesis": self.name,
            "place": where,
            "validation": None if found is None else found.validation.value,
            "balanced": self.balanced,
            "changed": self.changed,
            "iia": None if x is None else x.value,
            "low": None if x is None else x.low,
            "high": None if x is None else x.high,
            "verdict": self.verdict,
            "reason": self.reason,
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class HypothesisSearchResult:
    """The outcome of :func:`causalmi.search_hypotheses`.

    ``ranked`` are the claims, the best on the validation pairs first, each judged on test pairs. ``frame`` has a row
    for each claim, place and size that was tried: ``whole`` is the agreement when a variable's whole place is
    interchanged, of the variable where it is lowest, ``iia`` that of what was found, both on the validation pairs.
    ``pairs`` says of every two claims what tells them apart.
    """

    model: str
    method: str
    seed: int
    n: int
    ranked: tuple[RankedHypothesis, ...]
    pairs: tuple[RivalPair, ...]
    frame: pd.DataFrame

    @property
    def best(self) -> RankedHypothesis:
        """The claim that did best on the validation pairs."""
        return self.ranked[0]

    @property
    def ranking(self) -> pd.DataFrame:
        """A row for each claim, the best first."""
        return pd.DataFrame([each.row(rank) for rank, each in enumerate(self.ranked, 1)])

    @property
    def rivals(self) -> pd.DataFrame:
        """A row for every two claims."""
        rows = [{**vars(pair), "sets": "; ".join(pair.sets), "better": pair.better} for pair in self.pairs]
        return pd.DataFrame([{**row, "sentence": p.sentence} for row, p in zip(rows, self.pairs, strict=True)])

    @property
    def not_beaten(self) -> tuple[str, ...]:
        """The claims that the best one is not significantly better than where the two differ."""
        left_out, best = {r.name for r in self.ranked if r.found is None}, self.best.name
        mine = [p for p in self.pairs if best in (p.first, p.second) and p.better != best]
        return tuple(name for p in mine for name in (p.first, p.second) if name != best and name not in left_out)

    @property
    def sentence(self) -> str:
        """The best claim, its numbers, and the rivals that it does not beat."""
        best, out = self.best, sum(r.found is None for r in self.ranked)
        said = f"{best.name} is first of {len(self.ranked)}, {best.verdict} with IIA {best.iia or 'not tested'}"
        if self.not_beaten:
            said += f"; not shown to be better than {', '.join(self.not_beaten)}"
        elif len(self.ranked) - out > 1:
            said += "; significantly better than every rival where they differ"
        return said + (f"; {out} was left out, since the network answers otherwise" if out else "")

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON; without the table of fits."""
        head = {name: getattr(self, name) for name in ("model", "method", "seed", "n")}
        found = [None if r.found is None else r.found.to_dict() for r in self.ranked]
        ranked = [
            {**r.row(i), "iia": plain(r.iia), "found": x}
            for i, (r, x) in enumerate(zip(self.ranked, found, strict=True), 1)
        ]
        pairs = [{**vars(p), "sets": list(p.sets), "better": p.better, "sentence": p.sentence} for p in self.pairs]
        return {**head, "ranked": ranked, "rivals": pairs, "sentence": self.sentence}

    def __str__(self) -> str:
        head = f"{len(self.ranked)} hypotheses by {self.method} on {self.model}, {self.n} pairs, seed {self.seed}"
        columns = ["rank", "hypothesis", "place", "balanced", "iia", "low", "high", "verdict"]
        table = self.ranking[columns].head(SHOWN).to_string(index=False, float_format=lambda x: f"{x:.2f}")
        return "\n".join([head, *(f"  {x}" for x in [*table.splitlines(), *(p.sentence for p in self.pairs)]),
                          f"  {self.sentence}"])  # fmt: skip

    __repr__ = __str__
