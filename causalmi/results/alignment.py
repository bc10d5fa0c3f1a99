"""What did the search for a variable's place find? A new hypothesis, judged on pairs that it never saw."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from causalmi.results.interchange import InterchangeResult
from causalmi.results.verdicts import Verdict, plain
from causalmi.spec.alignment_file import save_alignment
from causalmi.spec.hypothesis import Hypothesis
from causalmi.stats.estimate import Estimate


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AlignmentResult:
    """The outcome of :func:`causalmi.align`.

    ``hypothesis`` is the claim with the places that were found; ``test`` its interchange test on pairs that were
    neither learned from nor chosen by. ``train`` and ``validation`` are its agreement on those that were. ``frame`` has
    a row for each alignment that was tried, ``number`` is the row of the chosen one. ``comparisons`` are agreements on
    the test pairs of simpler alignments, such as single neurons, which a variable may well have.
    """

    method: str
    hypothesis: Hypothesis
    test: InterchangeResult
    train: Estimate
    validation: Estimate
    frame: pd.DataFrame
    number: int
    comparisons: Mapping[str, Estimate | str] = field(default_factory=dict)

    @property
    def iia(self) -> Estimate | None:
        """Interchange intervention accuracy on the test pairs, of the set of variables where it is lowest."""
        return self.test.iia

    @property
    def verdict(self) -> Verdict:
        """Of the interchange test on the test pairs."""
        return self.test.verdict

    @property
    def sentence(self) -> str:
        """The verdict and the numbers it rests on."""
        return self.test.sentence

    @property
    def gap(self) -> float | None:
        """How much more often it agrees on the pairs that it was learned from."""
        return None if self.iia is None else self.train.value - self.iia.value

    @property
    def chosen(self) -> Mapping[str, Any]:
        """The row of the chosen alignment."""
        return {str(name): value for name, value in self.frame.iloc[self.number].items()}

    @property
    def curve(self) -> pd.DataFrame:
        """By number of dimensions, the best agreement on the validation pairs; empty where only one was tried."""
        if "dims" not in self.frame or self.frame["dims"].nunique() < 2:
            return pd.DataFrame(columns=["dims", "iia"])
        return self.frame.groupby("dims", sort=False)["iia"].max().reset_index()

    def save(self, folder: str | Path) -> None:
        """Write the places that were found into ``folder``, as :func:`causalmi.save_alignment` does."""
        save_alignment(self.hypothesis, folder)

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON; without the table of fits."""
        return {
            **self.test.to_dict(),
            "method": self.method,
            "places": {v: [str(s) for s in self.hypothesis.sites(v)] for v in self.hypothesis.variables},
            "train": plain(self.train),
            "validation": plain(self.validation),
            "gap": self.gap,
            "tried": len(self.frame),
            "comparisons": {name: plain(x) for name, x in self.comparisons.items()},
        }

    def __str__(self) -> str:
        gap = "" if self.gap is None else f", {self.gap:+.3f} against the test pairs"
        head = f"{self.method}: 1 of {len(self.frame)} alignments taken; IIA {self.validation} on the validation pairs"
        lines = [head, f"  train: IIA {self.train}{gap}"]
        lines += [f"  {name}: {x}" for name, x in self.comparisons.items()]
        return "\n".join([str(self.test), *lines])

    __repr__ = __str__
