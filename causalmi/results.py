"""What did a test find? An estimate with its interval, beside its controls, with a verdict in one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from causalmi.stats.estimate import Estimate

Verdict = Literal["supported", "rejected", "inconclusive", "uninformative"]
ORDER: tuple[Verdict, ...] = ("rejected", "uninformative", "inconclusive", "supported")  # the worst first


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the interchange of one set of variables, jointly, showed.

    ``iia`` is the interchange intervention accuracy; ``changed`` and ``unchanged`` split it by whether the causal
    model's counterfactual output differs from the base's, None where there is no such pair. ``controls`` maps a
    control's name to its accuracy, or to the reason why there is none. ``vocabulary`` is the accuracy when all outputs
    compete, where ``iia`` lets only the task's choices do so.
    """

    variables: tuple[str, ...]
    verdict: Verdict
    sentence: str
    iia: Estimate | None = None
    changed: Estimate | None = None
    unchanged: Estimate | None = None
    vocabulary: Estimate | None = None
    controls: Mapping[str, Estimate | str]

    @property
    def name(self) -> str:
        """The test and its variables."""
        return f"interchange[{'+'.join(self.variables)}]"

    @property
    def control(self) -> Estimate | None:
        """The strongest control."""
        return strongest(self.controls)[1]

    def to_dict(self) -> dict[str, Any]:
        """The finding in plain values, for JSON."""
        iia = self.iia
        return {
            "name": self.name,
            "value": None if iia is None else iia.value,
            "low": None if iia is None else iia.low,
            "high": None if iia is None else iia.high,
            "n": 0 if iia is None else iia.n,
            "control": None if self.control is None else self.control.value,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "changed": _plain(self.changed),
            "unchanged": _plain(self.unchanged),
            "vocabulary": _plain(self.vocabulary),
            "controls": {name: _plain(x) for name, x in self.controls.items()},
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class InterchangeResult:
    """The outcome of :func:`causalmi.interchange_test`.

    ``findings`` has one entry for each mapped variable alone, and one for all of them jointly; a claim stands only if
    every one does. ``accuracy`` is the network's own on the task. ``frame`` has a row per pair.
    """

    hypothesis: str
    claim: str
    model: str
    seed: int
    accuracy: Estimate
    findings: tuple[Finding, ...]
    frame: pd.DataFrame

    @property
    def weakest(self) -> Finding:
        """The finding that decides: the worst verdict, then the lowest accuracy."""
        return min(self.findings, key=lambda f: (ORDER.index(f.verdict), f.iia.value if f.iia else 0.0))

    @property
    def iia(self) -> Estimate | None:
        """Interchange intervention accuracy of the weakest finding; None when the test was stopped before it."""
        return self.weakest.iia

    @property
    def control(self) -> Estimate | None:
        """The strongest control of the weakest finding."""
        return self.weakest.control

    @property
    def verdict(self) -> Verdict:
        """supported, rejected, inconclusive or uninformative."""
        return self.weakest.verdict

    @property
    def sentence(self) -> str:
        """The verdict and the numbers it rests on."""
        return self.weakest.sentence

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON; without the frame."""
        return {
            "hypothesis": self.hypothesis,
            "claim": self.claim,
            "model": self.model,
            "seed": self.seed,
            "accuracy": _plain(self.accuracy),
            "tests": [finding.to_dict() for finding in self.findings],
            "verdict": self.verdict,
            "sentence": self.sentence,
        }

    def __str__(self) -> str:
        rows = [f"{self.hypothesis} on {self.model}, seed {self.seed}: {self.claim}"]
        rows += [f"  task accuracy {self.accuracy}"]
        for f in self.findings:
            rows += [f"  {f.name}: IIA {f.iia or 'not tested'}", *(f"    {c}: {x}" for c, x in f.controls.items())]
        return "\n".join([*rows, f"  {self.sentence}"])

    __repr__ = __str__


def strongest(controls: Mapping[str, Estimate | str]) -> tuple[str | None, Estimate | None]:
    """The control with the highest accuracy, and its name; (None, None) when none could be had."""
    had = [(name, x) for name, x in controls.items() if isinstance(x, Estimate)]
    return max(had, key=lambda pair: pair[1].value, default=(None, None))


def _plain(x: Estimate | str | None) -> Any:
    return {"value": x.value, "low": x.low, "high": x.high, "n": x.n} if isinstance(x, Estimate) else x
