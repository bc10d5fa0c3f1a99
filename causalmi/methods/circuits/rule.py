"""When is a circuit faithful, and complete? The rule by which it stands or falls, and how that is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from causalmi.errors import SpecError

TESTS = (
    "faithfulness", "completeness", "minimality", "sufficiency", "necessity", "independence", "equivalence",
)  # fmt: skip
CONTROLS = ("walk", "uniform", "layer")
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class FaithfulWithin:
    """The rule of a circuit: faithfulness from ``low`` to ``high``, by the ends of its 95 % interval.

    ``gap`` is the largest |F(C - K) - F(M - K)| of a complete circuit, and the margin of equivalence, both as a share
    of m(full) - m(empty); ``signs`` the margin of the share of examples on which the circuit is above the network;
    ``beats`` the share of random circuits, or edges, that has to be beaten. Raises SpecError for numbers out of order.
    """

    low: float = 0.8
    high: float = 1.2
    gap: float = 0.2
    signs: float = 0.1
    beats: float = 0.9

    def __post_init__(self) -> None:
        checks = {
            f"low is {self.low!r} and high {self.high!r}; give low < 1 < high": self.low < 1 < self.high,
            f"gap is {self.gap!r}; give a share above 0": self.gap > 0,
            f"signs is {self.signs!r}; give a share between 0 and 1/2": 0 < self.signs < 0.5,
            f"beats is {self.beats!r}; give a share between 0 and 1": 0 < self.beats < 1,
        }
        if problems := [problem for problem, fine in checks.items() if not fine]:
            raise SpecError("FaithfulWithin", problems)


@dataclass(frozen=True, kw_only=True)
class How:
    """Which tests and controls, with how many random circuits, by which rule; raises SpecError for what is none."""

    tests: tuple[str, ...] = TESTS
    controls: tuple[str, ...] = CONTROLS
    n_random: int = 100
    rule: FaithfulWithin = field(default_factory=FaithfulWithin)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tests", _names(self.tests))
        object.__setattr__(self, "controls", _names(self.controls))
        problems = [f"there is no test {t!r}; the tests are {', '.join(TESTS)}" for t in self.tests if t not in TESTS]
        problems += [
            f"there is no control {c!r}; the controls are {', '.join(CONTROLS)}"
            for c in self.controls
            if c not in CONTROLS
        ]
        if not self.tests:
            problems.append(f"there are no tests; give some of {', '.join(TESTS)}")
        if type(self.n_random) is not int or self.n_random < 1:
            problems.append(f"n_random is {self.n_random!r}; give a whole number from 1, such as 100")
        if type(self.rule) is not FaithfulWithin:
            problems.append(f"the rule is {self.rule!r}; give one such as FaithfulWithin(low=0.8, high=1.2)")
        if type(self.seed) is not int or self.seed < 0:
            problems.append(f"the seed is {self.seed!r}; give a whole number from 0")
        if problems:
            raise SpecError("evaluate_circuit", problems)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
