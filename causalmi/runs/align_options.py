"""By which method is an alignment to be searched for, and where? Names and numbers of a command line, as values."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from causalmi.errors import UsageError
from causalmi.methods.align.boundless import BoundlessDAS
from causalmi.methods.align.brute import BruteForceNeurons
from causalmi.methods.align.components import PCAAlignment
from causalmi.methods.align.das import DAS
from causalmi.methods.align.dbm import DBM
from causalmi.methods.align.means import DifferenceInMeans
from causalmi.methods.align.method import Method
from causalmi.methods.align.multitask import MultiTaskDAS
from causalmi.methods.align.probe import ProbeAlignment
from causalmi.spec.site import Site, parse

METHODS: Mapping[str, Callable[..., Method]] = MappingProxyType(
    {
        "das": DAS,
        "das-nested": partial(DAS, nested=True),
        "multi-task-das": MultiTaskDAS,
        "boundless": BoundlessDAS,
        "dbm": DBM,
        "dbm-budget": partial(DBM, gate="budget"),
        "pca": PCAAlignment,
        "probe": ProbeAlignment,
        "means": DifferenceInMeans,
        "brute": BruteForceNeurons,
    }
)
DIMS: Mapping[str, str] = MappingProxyType({"dbm-budget": "features", "brute": "size"})  # what --dims is called there


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `causalmi align` was asked for: plain values, as they go into the record."""

    method: str = "das"
    dims: str | None = None
    steps: int | None = None
    seeds: int | None = None
    sites: Sequence[str] = ()
    n: int | None = None
    seed: int = 0

    def how(self) -> Method:
        """The method; raises UsageError or SpecError for settings that it has not, or cannot have."""
        if self.method not in METHODS:
            raise UsageError(f"there is no method {self.method!r}; there are {', '.join(METHODS)}")
        make, dims = METHODS[self.method], DIMS.get(self.method, "dims")
        known = inspect.signature(make).parameters
        given = {"dims": (dims, self._dims()), "steps": ("steps", self.steps), "seeds": ("seeds", self.seeds)}
        given = {option: named for option, named in given.items() if named[1] is not None}
        if bad := [option for option, (name, _) in given.items() if name not in known]:
            raise UsageError(f"--{bad[0]} is not for {self.method}; leave it out")
        if "dims" not in given and dims in known and known[dims].default is inspect.Parameter.empty:
            raise UsageError(f"--method {self.method} needs --dims, such as --dims 2")
        return make(**dict(given.values()))

    def where(self) -> tuple[Site, ...] | None:
        """The places to try, each for all variables; None for those of the claim. Raises SiteError."""
        return tuple(map(parse, self.sites)) or None

    def _dims(self) -> int | tuple[int, ...] | None:
        if self.dims is None:
            return None
        try:
            several = tuple(map(int, self.dims.split(",")))
        except ValueError:
            raise UsageError(f"--dims is {self.dims!r}; give a whole number, or several such as 1,2,4") from None
        return several if len(several) > 1 else several[0]
