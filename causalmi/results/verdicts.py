"""How does what was found become one verdict? What all results have in common: the weakest finding decides."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import pandas as pd

from causalmi.stats.estimate import Estimate

Verdict = Literal["supported", "rejected", "inconclusive", "uninformative"]
ORDER: tuple[Verdict, ...] = ("rejected", "uninformative", "inconclusive", "supported")  # the worst first
Controls = Mapping[str, Estimate | str]


class Judged(Protocol):
    """A part of a claim with what was found about it."""

    @property
    def name(self) -> str: ...
    @property
    def estimate(self) -> Estimate | None: ...
    @property
    def controls(self) -> Controls: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def sentence(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...


Part = TypeVar("Part", bound=Judged)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Result(ABC):
    """What every test of a hypothesis ends in; ``test`` is its name, and ``measure`` what its numbers are called."""

    measure: ClassVar[str]
    test: str
    hypothesis: str
    claim: str
    model: str
    seed: int
    frame: pd.DataFrame
    subject: Any = None  # what was tested, from which refutations start

    @property
    @abstractmethod
    def parts(self) -> tuple[Judged, ...]:
        """What was judged, each by itself."""

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The table of the test, by its name."""
        return {self.test: self.frame}

    @property
    def estimate(self) -> Estimate | None:
        """The number of the weakest finding; None when the test was stopped before it."""
        return weakest(self.parts).estimate

    @property
    def control(self) -> Estimate | None:
        """The strongest control of the weakest finding."""
        return strongest(weakest(self.parts).controls)[1]

    @property
    def verdict(self) -> Verdict:
        """supported, rejected, inconclusive or uninformative."""
        return weakest(self.parts).verdict

    @property
    def sentence(self) -> str:
        """The verdict and the numbers it rests on."""
        return weakest(self.parts).sentence

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON; without the frame."""
        return {
            "hypothesis": self.hypothesis,
            "claim": self.claim,
            "model": self.model,
            "seed": self.seed,
            **{name: plain(x) for name, x in self._more().items()},
            "tests": [part.to_dict() for part in self.parts],
            "verdict": self.verdict,
            "sentence": self.sentence,
        }

    def _more(self) -> Mapping[str, Estimate]:
        """The network's own numbers on the task."""
        return {}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _lines(self) -> Iterator[str]:
        yield f"{self.hypothesis} on {self.model}, seed {self.seed}: {self.claim}"
        yield from (f"  task {name} {x}" for name, x in self._more().items())
        for part in self.parts:
            yield f"  {part.name}: {self.measure} {part.estimate or 'not tested'}"
            yield from (f"    {control}: {x}" for control, x in part.controls.items())
        yield f"  {self.sentence}"


def weakest(parts: tuple[Part, ...]) -> Part:
    """The part that decides: the worst verdict, then the lowest number."""
    return min(parts, key=lambda p: (ORDER.index(p.verdict), p.estimate.value if p.estimate else 0.0))


def strongest(controls: Controls) -> tuple[str | None, Estimate | None]:
    """The control with the highest number, and its name; (None, None) when none could be had."""
    had = [(name, x) for name, x in controls.items() if isinstance(x, Estimate)]
    return max(had, key=lambda pair: pair[1].value, default=(None, None))


def plain(x: Estimate | str | None) -> Any:
    """An estimate as numbers by name; a reason, or None, as it is."""
    return {"value": x.value, "low": x.low, "high": x.high, "n": x.n} if isinstance(x, Estimate) else x


def summary(part: Judged) -> dict[str, Any]:
    """What every finding says of itself in plain values."""
    found, control = part.estimate, strongest(part.controls)[1]
    return {
        "name": part.name,
        "value": None if found is None else found.value,
        "low": None if found is None else found.low,
        "high": None if found is None else found.high,
        "n": 0 if found is None else found.n,
        "control": None if control is None else control.value,
        "verdict": part.verdict,
        "sentence": part.sentence,
    }
