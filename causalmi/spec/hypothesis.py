"""What is claimed? A causal model's variables at places in a network, and the rule by which that stands or falls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from causalmi.errors import SpecError
from causalmi.spec.donor import Donor
from causalmi.spec.hypothesis_checks import (
    alignment_problems,
    donor_table,
    field_problems,
    route_problems,
    table_problems,
)
from causalmi.spec.route import Route
from causalmi.spec.site import Site

SHARES = ("node", "term", "exact", "paired", "zero", "mean")


def _unit(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and 0 <= x <= 1


@dataclass(frozen=True, kw_only=True)
class AtLeast:
    """The rule of a claim: IIA of at least ``iia``, and at least ``above_control`` more than the strongest control.

    ``iia`` is asked of every test of agreement, ``recovered`` of the loss that is recovered under causal scrubbing.
    All are compared with the ends of their 95 % intervals. Raises SpecError outside 0 to 1.
    """

    iia: float = 0.9
    above_control: float = 0.1
    recovered: float = 0.8

    def __post_init__(self) -> None:
        values = vars(self)
        if bad := [f"{name} is {x!r}, it must be a number from 0 to 1" for name, x in values.items() if not _unit(x)]:
            raise SpecError("AtLeast", bad)


@dataclass(frozen=True, kw_only=True)
class Resample:
    """What ablated places receive: what a test gives to those that a claim does not mention, or what ``ablation=`` is.

    ``share`` says which of them receive the same donor, another input drawn at random: all of one ``"node"``, one for
    each ``"term"``, the ``"exact"`` input, a ``"paired"`` one, or no donor but ``"zero"`` or the ``"mean"``. As an
    ablation, ``"node"`` is one donor for all ablated sites of an example, ``"term"`` a donor of its own for each site,
    ``"paired"`` the pair's own source. Interchange interventions leave unmapped places as they are on the base.
    In causal scrubbing the nodes whose ``name`` is the same share their donors.
    Raises SpecError for another value.
    """

    share: Literal["node", "term", "exact", "paired", "zero", "mean"] = "node"
    name: str = ""

    def __post_init__(self) -> None:
        if self.share not in SHARES:
            raise SpecError("Resample", [f"share is {self.share!r}, it must be one of {', '.join(SHARES)}"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Hypothesis:
    """A claim about a network: which place carries which variable of ``task``'s causal model.

    ``alignment`` maps a variable to a `Site`, or to several that carry it together. ``model`` is what
    :func:`causalmi.load_model` takes. ``n`` is how many examples a test draws when it is not told.

    For causal scrubbing, ``donors`` says from which input a variable's place is set (by default one that agrees on the
    variable; for the output, the reference itself), ``routes`` which paths an edge (parent, child) means, ``unmapped``
    what everything else receives, for all nodes or by variable, and ``estimates`` gives a variable as a function from a
    setting to the part of its site that carries it, the remainder being unmapped. ``readouts`` maps a variable to a
    function from the numbers at its sites, [n, width], to its values; where there is none it is learned.
    Raises SpecError that lists everything wrong at once.
    """

    claim: str
    task: Any
    alignment: Mapping[str, Site | Sequence[Site]]
    model: Any = None
    rule: AtLeast = AtLeast()
    unmapped: Resample | Mapping[str, Resample] = Resample()
    donors: Mapping[str, Donor] = field(default_factory=dict)
    routes: Mapping[tuple[str, str], Route] = field(default_factory=dict)
    readouts: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    estimates: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    n: int = 1024
    name: str = "hypothesis"

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise SpecError(f"hypothesis {self.name!r}", problems)
        sites = {v: (s,) if isinstance(s, Site) else tuple(s) for v, s in self.alignment.items()}
        object.__setattr__(self, "alignment", MappingProxyType(sites))
        for name in ("donors", "routes", "readouts", "estimates"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def variables(self) -> tuple[str, ...]:
        """The mapped variables, in the order of the alignment."""
        return tuple(self.alignment)

    def sites(self, variable: str) -> tuple[Site, ...]:
        """The sites that carry ``variable``."""
        found = self.alignment[variable]
        return (found,) if isinstance(found, Site) else tuple(found)

    def unmapped_at(self, variable: str) -> Resample:
        """What the unmapped rest receives where ``variable`` is computed."""
        return self.unmapped if isinstance(self.unmapped, Resample) else self.unmapped.get(variable, Resample())

    def __str__(self) -> str:
        places = ", ".join(f"{v} at {' and '.join(map(str, self.sites(v)))}" for v in self.variables)
        return f"{self.name}: {self.claim} ({places})"

    def _problems(self) -> Iterator[str]:
        known = getattr(getattr(self.task, "model", None), "variables", None)
        yield from field_problems(self.task, self.claim, self.n)
        rule, unmapped = (getattr(self, name) for name in ("rule", "unmapped"))
        if not isinstance(rule, AtLeast):
            yield f"rule is {rule!r}, it must be of the type AtLeast"
        if isinstance(unmapped, Mapping):
            yield from table_problems("unmapped", unmapped, Resample, known)
        elif not isinstance(unmapped, Resample):
            yield f"unmapped is {unmapped!r}, it must be of the type Resample, or a mapping from variables to it"
        yield from alignment_problems(self.alignment, known)
        yield from donor_table(self.donors, known)
        yield from route_problems(self.routes, known)
        for name in ("readouts", "estimates"):
            yield from table_problems(name, getattr(self, name), None, known)
