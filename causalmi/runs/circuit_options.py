"""How is a circuit to be searched for? Names and numbers of a command line, as methods, selections and ablations."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from causalmi.engine.metrics import metric_of
from causalmi.errors import UsageError
from causalmi.methods.ablations import Mean, MeanPositional, Zero
from causalmi.methods.circuits.acdc import ACDC
from causalmi.methods.circuits.eap import EAP, EAPIG, CleanCorrupted
from causalmi.methods.circuits.exact import ExactPatching
from causalmi.methods.circuits.flow import InformationFlow, Magnitude, RandomScores
from causalmi.methods.circuits.masks import EdgePruning, SampledMasks, SubnetworkProbing
from causalmi.methods.circuits.nodes import HISP, AtP, AtPStar
from causalmi.methods.circuits.select import TopN
from causalmi.methods.circuits.smallest import Smallest
from causalmi.spec.hypothesis import Resample

METHODS: Mapping[str, type] = MappingProxyType(
    {
        "acdc": ACDC,
        "eap": EAP,
        "eap-ig": EAPIG,
        "clean-corrupted": CleanCorrupted,
        "exact": ExactPatching,
        "atp": AtP,
        "atp-star": AtPStar,
        "hisp": HISP,
        "information-flow": InformationFlow,
        "magnitude": Magnitude,
        "random": RandomScores,
        "subnetwork-probing": SubnetworkProbing,
        "edge-pruning": EdgePruning,
        "sampled-masks": SampledMasks,
    }
)
FLAT = (EAP, AtP, AtPStar)  # derivatives on the clean run, where kl has none
ABLATIONS: Mapping[str, Any] = MappingProxyType(
    {
        "paired": Resample(share="paired"),
        "zero": Zero(),
        "mean": Mean(),
        "mean-positional": MeanPositional(),
        "node": Resample(),
    }
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `causalmi discover` was asked for: plain values, as they go into the record."""

    method: str = "eap-ig"
    threshold: float | None = None
    steps: int | None = None
    edges: int | None = None
    faithfulness: float | None = None
    metric: str | None = None
    ablation: str = "paired"
    n: int = 512
    seed: int = 0


@dataclass(frozen=True)
class How:
    """The same as values that :func:`causalmi.find_circuit` takes; ``select`` is None for a search."""

    method: Any
    select: Any
    metric: str
    ablation: Any

    @classmethod
    def of(cls, asked: Asked) -> "How":
        """Raises UsageError, SpecError or DataError for what does not go together, before anything is computed."""
        kind = METHODS[_known("method", asked.method, METHODS)]
        metric = asked.metric or ("logit_diff" if issubclass(kind, FLAT) else "kl")
        metric_of(metric)
        return cls(
            _method(kind, asked), _select(kind, asked), metric, ABLATIONS[_known("ablation", asked.ablation, ABLATIONS)]
        )


def _known(what: str, name: str, table: Mapping[str, Any]) -> str:
    if name not in table:
        raise UsageError(f"there is no {what} {name!r}; there are {', '.join(table)}")
    return name


def _method(kind: type, asked: Asked) -> Any:
    own = {field.name for field in fields(kind)}
    given = {name: getattr(asked, name) for name in ("threshold", "steps", "edges")}
    for name, suited in (("threshold", "acdc"), ("steps", "eap-ig")):
        if given[name] is not None and name not in own:
            raise UsageError(f"--{name} is not for {asked.method}; leave it out, or take --method {suited}")
    for name, such in (("threshold", 0.01), ("edges", 50)):
        if name in own and given[name] is None:
            raise UsageError(f"--method {asked.method} needs --{name}, such as --{name} {such}")
    return kind(**{name: value for name, value in given.items() if name in own and value is not None})


def _select(kind: type, asked: Asked) -> TopN | Smallest | None:
    if asked.edges is not None and asked.faithfulness is not None:
        raise UsageError("--edges and --faithfulness are two ways to say how large the circuit is; give one of them")
    if kind is not ACDC:
        return (
            Smallest(0.9 if asked.faithfulness is None else asked.faithfulness)
            if asked.edges is None
            else TopN(asked.edges)
        )
    if asked.edges is not None or asked.faithfulness is not None:
        raise UsageError("acdc selects by its --threshold; leave --edges and --faithfulness out")
    return None
