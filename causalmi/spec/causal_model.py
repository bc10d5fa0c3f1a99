"""What does a person claim a network computes? Variables, and the function that gives each from its parents.

Interchange interventions: Geiger et al. 2021, "Causal Abstractions of Neural Networks".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import networkx as nx
import pandas as pd

from causalmi.errors import SpecError
from causalmi.spec import follow, sampling
from causalmi.spec.checks import Draft, draft
from causalmi.spec.columns import frame, groups
from causalmi.spec.domain import Domain, Draw, Finite, Open, count, grid
from causalmi.spec.mechanism import Mechanism
from causalmi.spec.setting import Many, One, Setting

__all__ = ["CausalModel", "Setting"]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class CausalModel:
    """A causal graph with a function per variable; each function's argument names are its parents.

    ``inputs``: name -> a finite iterable of values, or a function (numpy Generator) -> value. ``mechanisms``: name ->
    function. ``domains``: the allowed values of variables that are not inputs, where those are to be checked.
    A value of a variable with a domain is the member of the domain that equals it.

    A setting is a mapping from names to values: the inputs, or all variables. Its form for many examples is a table,
    one row each. An intervened setting or table remembers what was fixed (``Setting.fixed``, ``table.attrs["fixed"]``).

    Raises SpecError that lists all mistakes in the model; DataError for a setting that does not fit it.

    >>> model = CausalModel({"x": range(10), "y": range(10)}, {"total": lambda x, y: x + y}, "total")
    >>> model.interchange({"x": 1, "y": 2}, {"x": {"x": 5, "y": 0}})
    Setting(x:=5, y=2, total=7)
    """

    inputs: tuple[str, ...]
    variables: tuple[str, ...]  # parents before children, inputs first
    output: str
    parents: Mapping[str, tuple[str, ...]]
    mechanisms: Mapping[str, Mechanism]
    admits: Mapping[str, Domain]
    input_domains: Mapping[str, tuple[Any, ...] | Draw]
    domains: Mapping[str, tuple[Any, ...]]
    graph: nx.DiGraph

    def __init__(
        self,
        inputs: Mapping[str, Iterable[Any] | Draw],
        mechanisms: Mapping[str, Callable[..., Any]],
        output: str,
        domains: Mapping[str, Iterable[Any]] | None = None,
    ):
        for name, value in _fields(draft(inputs, mechanisms, output, {} if domains is None else domains)).items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "output", output)

    def __repr__(self) -> str:
        computed = "; ".join(f"{name}({', '.join(m.parents)})" for name, m in self.mechanisms.items())
        return f"CausalModel(inputs: {', '.join(self.inputs)}; {computed}; output: {self.output})"

    def run(self, setting: Mapping[str, Any]) -> Setting:
        """All values that follow from a setting of the inputs; variables that an intervention fixed stay."""
        return self.intervene(setting, {})

    def intervene(self, setting: Mapping[str, Any], values: Mapping[str, Any]) -> Setting:
        """`run` with these variables set to these values, whatever their parents say: do(variable = value)."""
        result: Setting = follow.intervene(self, setting, values, One())
        return result

    def interchange(self, base: Mapping[str, Any], sources: Mapping[str, Mapping[str, Any]]) -> Setting:
        """`run` on ``base`` with each variable of ``sources`` set to the value that it has in its own source.

        A value of the variable that a source already holds, computed or intervened, is taken as it is.
        """
        result: Setting = follow.interchange(self, base, sources, One())
        return result

    def together(self, variables: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Which of ``variables`` are interchanged together, where nobody says otherwise: each alone, then all.

        >>> CausalModel({"x": [0, 1]}, {"y": lambda x: x, "z": lambda y: y}, "z").together(["y", "z"])
        (('y',), ('z',), ('y', 'z'))
        """
        return (*((v,) for v in variables), *([tuple(variables)] if len(variables) > 1 else []))

    def run_columns(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """`run` for every row: a table of all variables."""
        return self.intervene_columns(inputs, {})

    def intervene_columns(self, inputs: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
        """`intervene` for every row: ``values`` gives each variable one value per row."""
        result: pd.DataFrame = follow.intervene(self, inputs, values, Many(inputs.index))
        return result

    def interchange_columns(self, base: pd.DataFrame, sources: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """`interchange` for every row: row i of ``base`` takes from row i of each source, whatever their indices."""
        result: pd.DataFrame = follow.interchange(self, base, sources, Many(base.index))
        return result

    def enumerate(self, limit: int = 1_000_000) -> pd.DataFrame:
        """All settings of the inputs with all variables, the last input changing fastest.

        Raises SpecError when an input is drawn, or when there are more than ``limit`` settings.
        """
        domains = [self.admits[name] for name in self.inputs]
        if drawn := [d.name for d in domains if isinstance(d, Open)]:
            said = f"the values of {', '.join(drawn)} are drawn, so the settings cannot be listed"
            raise SpecError("CausalModel.enumerate", [f"{said}; use sample(n, seed=...)"])
        if (size := count(domains)) > limit:
            said = f"there are {size:,} settings, more than the limit of {limit:,}"
            raise SpecError("CausalModel.enumerate", [f"{said}; raise the limit or use sample(n, seed=...)"])
        return self.run_columns(frame(grid([d for d in domains if isinstance(d, Finite)])))

    def equivalence_classes(self, variable: str) -> dict[Any, pd.DataFrame]:
        """The rows of `enumerate` by the value that they give ``variable``."""
        follow.known(self, [variable])
        table = self.enumerate()
        return {value: table.iloc[rows] for value, rows in groups(table[variable].tolist()).items()}

    def sample(self, n: int, *, seed: int, balance: str | None = None) -> pd.DataFrame:
        """``n`` settings of the inputs, drawn independently: uniformly, or with ``balance="output"``.

        ``"output"``: each value of the output equally often, as nearly as ``n`` allows. The values are those of
        `enumerate`; where that is impossible, the output's domain, or else what a first sample shows.
        Raises DataError when one of them cannot be found.
        """
        return sampling.sample(self, n, seed=seed, balance=balance)

    def sample_pairs(
        self, n: int, vary: Sequence[str], *, seed: int, balance: str | None = None
    ) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
        """``n`` bases, and for each variable of ``vary`` as many sources, all independent: settings of the inputs.

        ``balance="output"`` balances the base and each source. ``"change"``: interchanging all of ``vary`` changes the
        output of half of the bases. Raises DataError when such examples cannot be found.
        """
        follow.known(self, vary)
        return sampling.sample_pairs(self, n, vary, seed=seed, balance=balance)


def _fields(parts: Draft) -> dict[str, Any]:
    mechanisms, admits = parts.mechanisms, parts.inputs | {name: m.domain for name, m in parts.mechanisms.items()}
    parents: dict[str, tuple[str, ...]] = dict.fromkeys(parts.inputs, ()) | {
        k: m.parents for k, m in mechanisms.items()
    }
    shown = {name: d.values if isinstance(d, Finite) else d.draw for name, d in admits.items()}
    views: dict[str, dict[str, Any]] = {
        "parents": parents,
        "mechanisms": mechanisms,
        "admits": admits,
        "input_domains": {name: shown[name] for name in parts.inputs},
        "domains": {name: shown[name] for name in mechanisms if shown[name] is not None},
    }
    return {
        "inputs": tuple(parts.inputs),
        "variables": tuple(parents),
        "graph": _graph(parents),
        **{name: MappingProxyType(view) for name, view in views.items()},
    }


def _graph(parents: Mapping[str, Sequence[str]]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(parents)
    graph.add_edges_from((parent, child) for child in parents for parent in parents[child])
    return nx.freeze(graph)
