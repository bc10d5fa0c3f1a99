"""What do all tests together say of a claim? One table from the least strict to the strictest, and one verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from causalmi.results.verdicts import ORDER, Result, Verdict

BLIND: dict[str, str] = {
    "observational": "It cannot see whether what is there is used.",
    "local": "It cannot see errors that add up over several steps, nor paths around the places that it sets.",
    "interchange": "It cannot see what the places that are not claimed do, since they stay as they are on the base.",
    "scrub": "It cannot see values that are exchanged one for one, nor features that always go together in the data.",
}
DECISIVE = ("interchange", "scrub")  # the tests that see whether what is there is used
STRICTNESS = (
    "From the least strict to the strictest; the last two are not ordered: interchange asks for the right changed "
    "answer, scrubbing that nothing else matters."
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Assessment:
    """The outcome of :func:`causalmi.assess`: each test's result, or the reason why it could not be had."""

    hypothesis: str
    claim: str
    model: str
    seed: int
    results: Mapping[str, Result | str]

    @property
    def verdict(self) -> Verdict:
        """The worst of the verdicts of the tests that could tell; uninformative when none could.

        Without support by interchange or scrubbing it is at most inconclusive: what is read need not be used.
        """
        told = [r.verdict for r in self.results.values() if isinstance(r, Result) and r.verdict != "uninformative"]
        worst: Verdict = min(told, key=ORDER.index, default="uninformative")
        return "inconclusive" if worst == "supported" and not self._shown_to_be_used else worst

    @property
    def _shown_to_be_used(self) -> bool:
        found = (self.results.get(test) for test in DECISIVE)
        return any(isinstance(r, Result) and r.verdict == "supported" for r in found)

    @property
    def sentence(self) -> str:
        """The verdict, and which tests it rests on."""
        by: dict[str, list[str]] = {}
        for test, found in self.results.items():
            by.setdefault(found.verdict if isinstance(found, Result) else "not available", []).append(test)
        said = f"{self.verdict}: " + "; ".join(f"{word} by {', '.join(tests)}" for word, tests in by.items())
        if self.verdict == "inconclusive" and not self._shown_to_be_used:
            said += f"; a claim is supported only where {' or '.join(DECISIVE)} supports it, which none did"
        return said

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each test: its estimate with interval, strongest control, verdict, and what it cannot see."""
        return pd.DataFrame([_row(test, found) for test, found in self.results.items()])

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The table of every test, by its name."""
        return {test: found.frame for test, found in self.results.items() if isinstance(found, Result)}

    def to_dict(self) -> dict[str, Any]:
        """The assessment in plain values, for JSON; ``results`` has each test's own in full, or why there is none."""
        head = {"hypothesis": self.hypothesis, "claim": self.claim, "model": self.model, "seed": self.seed}
        parts = [part.to_dict() for r in self.results.values() if isinstance(r, Result) for part in r.parts]
        rows = [_row(test, found) for test, found in self.results.items()]
        whole = {test: r if isinstance(r, str) else r.to_dict() for test, r in self.results.items()}
        end = {"verdict": self.verdict, "sentence": self.sentence}
        return {**head, "tests": parts, "assessment": rows, "results": whole, **end}

    def __str__(self) -> str:
        rows = [f"{self.hypothesis} on {self.model}, seed {self.seed}: {self.claim}"]
        for test, found in self.results.items():
            rows += [f"  {test}: {_shown(found)}", f"    {BLIND[test]}"]
        return "\n".join([*rows, f"  {STRICTNESS}", f"  {self.sentence}"])

    __repr__ = __str__


def _shown(found: Result | str) -> str:
    if isinstance(found, str):
        return f"not available: {found}"
    beside = f", control {found.control}" if found.control else ""
    return f"{found.measure} {found.estimate or 'not tested'}{beside}: {found.verdict}"


def _row(test: str, found: Result | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"test": test, "verdict": "not available", "sentence": found, "cannot see": BLIND[test]}
    x, control = found.estimate, found.control
    return {
        "test": test,
        "measure": found.measure,
        "value": None if x is None else x.value,
        "low": None if x is None else x.low,
        "high": None if x is None else x.high,
        "n": None if x is None else x.n,
        "control": None if control is None else control.value,
        "verdict": found.verdict,
        "sentence": found.sentence,
        "cannot see": BLIND[test],
    }
