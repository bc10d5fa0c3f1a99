"""What is claimed? A causal model's variables at places in a network, and the rule by which that stands or falls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType
from typing import Any, Literal

from causalmi.errors import SpecError
from causalmi.spec.site import Site

SHARES = ("node", "term", "exact", "paired", "zero", "mean")


def _unit(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and 0 <= x <= 1


@dataclass(frozen=True, kw_only=True)
class AtLeast:
    """The rule of a claim: IIA of at least ``iia``, and at least ``above_control`` more than the strongest control.

    Both are compared with the ends of their 95 % intervals. Raises SpecError outside 0 to 1.
    """

    iia: float = 0.9
    above_control: float = 0.1

    def __post_init__(self) -> None:
        values = {"iia": self.iia, "above_control": self.above_control}
        if bad := [f"{name} is {x!r}, it must be a number from 0 to 1" for name, x in values.items() if not _unit(x)]:
            raise SpecError("AtLeast", bad)


@dataclass(frozen=True, kw_only=True)
class Resample:
    """What ablated places receive: what a test gives to those that a claim does not mention, or what ``ablation=`` is.

    ``share`` says which of them receive the same donor, another input drawn at random: all of one ``"node"``, one for
    each ``"term"``, the ``"exact"`` input, a ``"paired"`` one, or no donor but ``"zero"`` or the ``"mean"``. As an
    ablation, ``"node"`` is one donor for all ablated sites of an example, ``"term"`` a donor of its own for each site,
    ``"paired"`` the pair's own source. Interchange interventions leave unmapped places as they are on the base.
    Raises SpecError for another value.
    """

    share: Literal["node", "term", "exact", "paired", "zero", "mean"] = "node"

    def __post_init__(self) -> None:
        if self.share not in SHARES:
            raise SpecError("Resample", [f"share is {self.share!r}, it must be one of {', '.join(SHARES)}"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Hypothesis:
    """A claim about a network: which place carries which variable of ``task``'s causal model.

    ``alignment`` maps a variable to a `Site`, or to several that carry it together. ``model`` is what
    :func:`causalmi.load_model` takes. ``n`` is how many pairs a test draws when it is not told.
    Raises SpecError that lists everything wrong at once.
    """

    claim: str
    task: Any
    alignment: Mapping[str, Site | Sequence[Site]]
    model: Any = None
    rule: AtLeast = AtLeast()
    unmapped: Resample = Resample()
    n: int = 1024
    name: str = "hypothesis"

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise SpecError(f"hypothesis {self.name!r}", problems)
        sites = {v: (s,) if isinstance(s, Site) else tuple(s) for v, s in self.alignment.items()}
        object.__setattr__(self, "alignment", MappingProxyType(sites))

    @property
    def variables(self) -> tuple[str, ...]:
        """The mapped variables, in the order of the alignment."""
        return tuple(self.alignment)

    def sites(self, variable: str) -> tuple[Site, ...]:
        """The sites that carry ``variable``."""
        found = self.alignment[variable]
        return (found,) if isinstance(found, Site) else tuple(found)

    def __str__(self) -> str:
        places = ", ".join(f"{v} at {' and '.join(map(str, self.sites(v)))}" for v in self.variables)
        return f"{self.name}: {self.claim} ({places})"

    def _problems(self) -> Any:
        known = getattr(getattr(self.task, "model", None), "variables", None)
        if known is None:
            yield f"task is a {type(self.task).__name__}, it must be a causalmi.Task"
        if not isinstance(self.claim, str) or not self.claim.strip():
            yield "claim is empty; say in one sentence what is claimed"
        for name, kind in (("rule", AtLeast), ("unmapped", Resample)):
            if not isinstance(given := getattr(self, name), kind):
                yield f"{name} is {given!r}, it must be of the type {kind.__name__}"
        if type(self.n) is not int or self.n < 1:
            yield f"n is {self.n!r}, it must be a whole number from 1"
        yield from self._alignment_problems(known)

    def _alignment_problems(self, known: tuple[str, ...] | None) -> Any:
        if not isinstance(self.alignment, Mapping) or not self.alignment:
            yield f"alignment is {self.alignment!r}, it must map at least one variable to a site"
            return
        for variable, sites in self.alignment.items():
            if known is not None and variable not in known:
                yield f"alignment names the unknown variable {variable!r}; the causal model has {', '.join(known)}"
            several = sites if isinstance(sites, list | tuple) and sites else (sites,)
            if not all(isinstance(s, Site) for s in several):
                yield f"{variable} is aligned with {sites!r}, it must be a site or a list of sites"
        placed = [(v, s) for v, x in self.alignment.items() for s in (x if isinstance(x, list | tuple) else (x,))]
        for (a, x), (b, y) in combinations(placed, 2):
            if x == y:
                yield f"{a} and {b} are both at {x}; give each numbers of its own" if a != b else f"{a} has {x} twice"
