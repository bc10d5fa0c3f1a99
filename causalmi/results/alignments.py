"""How well does a claim align with several networks that do one task? The distribution, not the best of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from causalmi.errors import DataError
from causalmi.results.alignment import AlignmentResult

SHOWN = 12


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AlignmentsResult:
    """The outcome of :func:`causalmi.align_each`.

    ``results`` has the alignment in each network, in the order given, or the reason why it was left out: it does the
    task too rarely. ``frame`` has a row for each network: its number, ``model``, ``iia`` on the test pairs with its
    interval, ``validation``, ``train``, the ``place`` that was taken, ``verdict``, and ``left_out``, the reason.
    """

    hypothesis: str
    method: str
    seed: int
    names: tuple[str, ...]
    results: tuple[AlignmentResult | str, ...]

    @property
    def aligned(self) -> tuple[AlignmentResult, ...]:
        """The alignments of the networks that were not left out."""
        return tuple(r for r in self.results if isinstance(r, AlignmentResult))

    @property
    def left_out(self) -> dict[int, str]:
        """By the number of a network that was left out, the reason."""
        return {i: r for i, r in enumerate(self.results) if isinstance(r, str)}

    @property
    def iia(self) -> tuple[float, ...]:
        """Interchange intervention accuracy on the test pairs of each network that was not left out."""
        return tuple(r.iia.value for r in self.aligned if r.iia is not None)

    @property
    def median(self) -> float:
        """The median of ``iia``; raises DataError where every network was left out."""
        return float(np.median(self._some))

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile of ``iia``, between which the middle half of the networks lies."""
        low, high = np.quantile(self._some, [0.25, 0.75])
        return float(low), float(high)

    @property
    def best(self) -> AlignmentResult:
        """The alignment with the highest agreement on the validation pairs of its network."""
        if not self.aligned:
            raise DataError(self.sentence)
        return max(self.aligned, key=lambda r: r.validation.value)

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each network."""
        return pd.DataFrame([_row(i, *each) for i, each in enumerate(zip(self.names, self.results, strict=True))])

    @property
    def sentence(self) -> str:
        """The distribution, and how many networks were left out of it."""
        out = f"{len(self.left_out)} of {len(self.results)} networks were left out, which do the task too rarely"
        if not self.iia:
            return f"there is no alignment: {out}"
        low, high = self.quartiles
        said = f"median IIA {self.median:.2f} (quartiles {low:.2f} to {high:.2f}, best {max(self.iia):.2f})"
        return f"{said} over {len(self.iia)} networks" + (f"; {out}" if self.left_out else "")

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON."""
        numbers: dict[str, Any] = {"median": None, "quartiles": None, "best": None}
        if self.iia:
            numbers = {"median": self.median, "quartiles": list(self.quartiles), "best": max(self.iia)}
        networks = [
            {"model": name, "left_out": r} if isinstance(r, str) else {"left_out": None, **r.to_dict()}
            for name, r in zip(self.names, self.results, strict=True)
        ]
        head = {"hypothesis": self.hypothesis, "method": self.method, "seed": self.seed}
        return {**head, **numbers, "networks": networks, "sentence": self.sentence}

    def __str__(self) -> str:
        head = f"{self.hypothesis} aligned by {self.method} in {len(self.results)} networks, seed {self.seed}"
        columns = ["network", "model", "iia", "low", "high", "verdict"]
        table = self.frame[columns].head(SHOWN).to_string(index=False, float_format=lambda x: f"{x:.2f}")
        more = [f"... and {len(self.results) - SHOWN} networks more"] if len(self.results) > SHOWN else []
        return "\n".join([head, *(f"  {line}" for line in [*table.splitlines(), *more]), f"  {self.sentence}"])

    __repr__ = __str__

    @property
    def _some(self) -> tuple[float, ...]:
        if not self.iia:
            raise DataError(self.sentence)
        return self.iia


def _row(number: int, name: str, found: AlignmentResult | str) -> dict[str, Any]:
    row: dict[str, Any] = {"network": number, "model": name}
    if isinstance(found, str):
        numbers = dict.fromkeys(("iia", "low", "high", "validation", "train", "place"))
        return {**row, **numbers, "verdict": "uninformative", "left_out": found}
    x = found.iia
    ends = {"iia": None, "low": None, "high": None} if x is None else {"iia": x.value, "low": x.low, "high": x.high}
    fitted = {"validation": found.validation.value, "train": found.train.value, "place": found.chosen["place"]}
    return {**row, **ends, **fitted, "verdict": found.verdict, "left_out": None}
