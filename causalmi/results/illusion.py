"""Does a subspace carry its variable, or does it only seem so? What each of its parts does alone, and how it moves.

Makelov, Lange & Nanda 2023, "Is this the subspace you are looking for? An interpretability illusion for subspace
activation patching".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from causalmi.results.verdicts import plain
from causalmi.stats.estimate import Estimate

# Where both parts carry the variable alike, as they do in a subspace that is truly used, what is read differs by itself
# about as far as interchange moves it: the ratio of mean squares is near 1, and below .1 it moves three times too far.
DORMANT = 0.1
CARRIES = 0.5  # of the separation of the variable's values: the null part has more of it than what is read
WHOLE, NULL, ROW = PARTS = ("whole", "null part", "row part")


@dataclass(frozen=True, kw_only=True)
class IllusionFinding:
    """What was found of the subspace of one variable, or the ``reason`` why it cannot be told.

    ``null_share`` is the share of its squared length that nothing reads, ``chance`` that of a random subspace there.
    By part ("whole", "null part", "row part"), ``iia`` is the interchange intervention accuracy of that part alone,
    made unit vectors, and ``changed`` the same where the right answer is not the base's; None for a part that there is
    not. ``activity``: how far what is read of it differs between inputs, as a share of how far interchange moves it
    (mean squares). ``spread``: its variance beside that of random directions of what is read. ``separation``: the share
    of the variance between the variable's values that lies in the null part. ``leak`` is the share of answers that the
    null part alone changes, 0 where the readers are all there are.
    """

    variable: str
    places: tuple[str, ...]
    reason: str | None = None
    null_share: float | None = None
    chance: float | None = None
    iia: Mapping[str, Estimate | None] = field(default_factory=dict)
    changed: Mapping[str, Estimate | None] = field(default_factory=dict)
    activity: float | None = None
    spread: float | None = None
    separation: float | None = None
    leak: float | None = None

    @property
    def illusory(self) -> bool | None:
        """Whether what is read is dormant, the null part separates the values, and neither has the effect alone.

        None where that cannot be told, such as for values that are not apart, or not known.
        """
        if self.reason is None and self.only_together is False:
            return False
        if self.reason is not None or self.activity is None or self.separation is None:
            return None
        return self.activity < DORMANT and self.separation > CARRIES

    @property
    def only_together(self) -> bool | None:
        """Whether the whole changes answers rightly more often than each part alone does, all intervals apart."""
        whole = self.changed.get(WHOLE)
        if whole is None:
            return None
        return all(part is None or part.high < whole.low for part in (self.changed[NULL], self.changed[ROW]))

    @property
    def sentence(self) -> str:
        """The answer and the numbers it rests on."""
        if self.reason is not None:
            return f"{self.variable}: not available: {self.reason}"
        said = {True: "illusory", False: "no illusion", None: "cannot be told"}[self.illusory]
        parts = ", ".join(f"{name} {x or 'is not there'}" for name, x in self.iia.items())
        return f"{self.variable}: {said}: {self._moves}; IIA: {parts}{self._warning}"

    @property
    def _moves(self) -> str:
        found = f"{self.null_share:.2f} of its squared length is read by nothing ({self.chance:.2f} at random)"
        if self.separation is not None:
            found += f" and has {self.separation:.2f} of the separation of its values"
        if self.activity is None:
            return f"{found}; interchange moves nothing that is read"
        return f"{found}; what is read differs between inputs {self.activity:.2g} times as much as interchange moves it"

    @property
    def _warning(self) -> str:
        if not self.leak:
            return ""
        return f"; the null part alone changes {self.leak:.2f} of the answers, so the place has other readers as well"

    @property
    def row(self) -> dict[str, Any]:
        """The finding in one row."""
        named = {"variable": self.variable, "place": " and ".join(self.places), "illusory": self.illusory}
        numbers = ("null_share", "chance", "activity", "spread", "separation", "leak")
        found = {**named, "only_together": self.only_together, **{n: getattr(self, n) for n in numbers}}
        for what, estimates in (("iia", self.iia), ("changed", self.changed)):
            for part in PARTS:
                x = estimates.get(part)
                ends = (None, None, None) if x is None else (x.value, x.low, x.high)
                found |= {f"{what}[{part}]{end}": n for end, n in zip(("", " low", " high"), ends, strict=True)}
        return {**found, "reason": self.reason}

    def to_dict(self) -> dict[str, Any]:
        """The finding in plain values, for JSON."""
        named = {"variable": self.variable, "places": list(self.places), "reason": self.reason}
        numbers = ("illusory", "only_together", "null_share", "chance", "activity", "spread", "separation", "leak")
        by_part = {what: {p: plain(x) for p, x in getattr(self, what).items()} for what in ("iia", "changed")}
        return {**named, **{n: getattr(self, n) for n in numbers}, **by_part, "sentence": self.sentence}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class IllusionResult:
    """The outcome of :func:`causalmi.diagnose_illusion`: a diagnosis, never a veto.

    ``directions`` has a row for each direction of each subspace: variable, place, ``null_share``, ``activity``,
    ``spread`` and ``separation`` as in :class:`IllusionFinding`, the one with the largest null part first.
    """

    hypothesis: str
    model: str
    seed: int
    n: int
    findings: tuple[IllusionFinding, ...]
    directions: pd.DataFrame

    @property
    def illusory(self) -> tuple[str, ...]:
        """The variables whose subspaces only seem to carry them."""
        return tuple(f.variable for f in self.findings if f.illusory)

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each variable."""
        return pd.DataFrame([f.row for f in self.findings])

    @property
    def sentence(self) -> str:
        """Which variables' subspaces are illusory, and which could not be told."""
        untold = [f.variable for f in self.findings if f.illusory is None]
        told = [f"illusory: {', '.join(self.illusory)}" if self.illusory else "no illusion was found"]
        parts = told if len(untold) < len(self.findings) else []
        return "; ".join([*parts, f"cannot be told: {', '.join(untold)}"] if untold else parts)

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON; without the table of directions."""
        head = {"hypothesis": self.hypothesis, "model": self.model, "seed": self.seed, "n": self.n}
        found = {"illusory": list(self.illusory), "findings": [f.to_dict() for f in self.findings]}
        return {**head, "thresholds": {"dormant": DORMANT, "carries": CARRIES}, **found, "sentence": self.sentence}

    def __str__(self) -> str:
        head = f"illusions of {self.hypothesis} on {self.model}, {self.n} pairs, seed {self.seed}"
        return "\n".join([head, *(f"  {f.sentence}" for f in self.findings), f"  {self.sentence}"])

    __repr__ = __str__
