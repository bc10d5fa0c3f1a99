"""What did an interchange test find? The accuracy of each set of variables, beside its controls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from causalmi.results.verdicts import Controls, Result, Verdict, plain, strongest, summary, weakest
from causalmi.stats.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the interchange of one set of variables, jointly, showed.

    ``variables``: those that were set; ``v(u)`` where v was read while u was itself interchanged in v's source.
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
    controls: Controls

    @property
    def name(self) -> str:
        """The test and its variables."""
        return f"interchange[{'+'.join(self.variables)}]"

    @property
    def estimate(self) -> Estimate | None:
        """The interchange intervention accuracy."""
        return self.iia

    @property
    def control(self) -> Estimate | None:
        """The strongest control."""
        return strongest(self.controls)[1]

    def to_dict(self) -> dict[str, Any]:
        """The finding in plain values, for JSON."""
        return {
            **summary(self),
            "changed": plain(self.changed),
            "unchanged": plain(self.unchanged),
            "vocabulary": plain(self.vocabulary),
            "controls": {name: plain(x) for name, x in self.controls.items()},
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class InterchangeResult(Result):
    """The outcome of :func:`causalmi.interchange_test`.

    ``findings`` has one entry for each set of variables that was interchanged; a claim stands only if every one does.
    ``accuracy`` is the network's own on the task. ``frame`` has a row per pair.
    """

    measure = "IIA"
    test: str = "interchange"
    accuracy: Estimate
    findings: tuple[Finding, ...]

    @property
    def parts(self) -> tuple[Finding, ...]:
        """The findings."""
        return self.findings

    @property
    def weakest(self) -> Finding:
        """The finding that decides: the worst verdict, then the lowest accuracy."""
        return weakest(self.findings)

    @property
    def iia(self) -> Estimate | None:
        """Interchange intervention accuracy of the weakest finding; None when the test was stopped before it."""
        return self.weakest.iia

    def _more(self) -> Mapping[str, Estimate]:
        return {"accuracy": self.accuracy}
