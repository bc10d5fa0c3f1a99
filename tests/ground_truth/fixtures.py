"""Six networks with a claim about each, where every test has a known answer: each pair of tests is told apart by one.

All inputs are whole numbers from 0 to 9, taken equally often; a readout is the number itself, and chance is 1 in 10.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd
import pytest

import causalmi as cm
from causalmi import site
from causalmi.data.drawn import Drawn

DIGITS = range(10)
OUTPUTS = range(-20, 121)  # class i is the output OUTPUTS[i]; wide enough for whatever an intervention makes of it
CHANCE = 0.1


@dataclass(frozen=True, eq=False)
class Fixture:
    """A network, one hypothesis about it that every test takes as it is, and what each test must find.

    ``observed``: by node, the share of inputs on which its readout is the claimed value. ``local``: that of the output
    given the values read at its parents, under natural and under interchanged states. ``iia``: by variables, with
    independent sources. ``scrubbed``: mean |scrubbed output - claimed output of the reference|, by what the unmapped
    rest shares.
    """

    name: str
    low: cm.CausalModel
    net: cm.CausalModule
    hypothesis: cm.Hypothesis
    observed: Mapping[str, float]
    local: tuple[float, float]
    iia: Mapping[tuple[str, ...], float]
    scrubbed: Mapping[str, float]

    def factorial(self, seed: int = 0) -> cm.CounterfactualPairs:
        """A pair for every input, each once, with sources drawn at random."""
        base = self._settings()
        names, n = self.hypothesis.variables, len(base)
        inputs = self.hypothesis.task.model.sample(n * len(names), seed=seed)[list(base)]
        parts = [inputs[i * n : (i + 1) * n].reset_index(drop=True) for i in range(len(names))]
        return self._pairs(base, dict(zip(names, parts, strict=True)))

    def crossed(self, limit: int = 100) -> cm.CounterfactualPairs:
        """Every base with every source, the same one for all variables; of more settings the first ``limit``."""
        every = self._settings()[:limit]
        rows = pd.DataFrame(list(product(range(len(every)), repeat=2)), columns=["base", "source"])
        base, source = (every.iloc[rows[c]].reset_index(drop=True) for c in ("base", "source"))
        return self._pairs(base, dict.fromkeys(self.hypothesis.variables, source))

    def _settings(self) -> pd.DataFrame:
        model = self.hypothesis.task.model
        return model.enumerate()[list(model.inputs)]

    def _pairs(self, base: pd.DataFrame, sources: dict[str, pd.DataFrame]) -> cm.CounterfactualPairs:
        task = self.hypothesis.task
        drawn = Drawn.of(task.model, base, sources)
        return cm.CounterfactualPairs(drawn=drawn, task=task, vary=tuple(sources)).bind(None)


def graph(inputs: str, **mechanisms: Callable[..., Any]) -> cm.CausalModel:
    return cm.CausalModel(dict.fromkeys(inputs.split(), DIGITS), mechanisms, "out")


def fixture(
    low: cm.CausalModel, high: cm.CausalModel, variables: str, *, encode: Callable[..., Any] | None = None, **known: Any
) -> Fixture:
    net = cm.CausalModule(low, outputs=OUTPUTS)
    task = cm.Task(high, encode=encode or net.encode, label=lambda s: OUTPUTS.index(int(s["out"])))
    name, rule = known.pop("name"), known.pop("rule", cm.AtLeast())
    claim = cm.Hypothesis(
        claim="each variable is where its name is, as its number",
        name=name,
        task=task,
        model=net,
        alignment={v: site.module(v) for v in variables},
        readouts=dict.fromkeys(variables, lambda x: x[:, 0]),
        rule=rule,
    )
    return Fixture(name, low, net, claim, **known)


def each(value: float, variables: str) -> dict[tuple[str, ...], float]:
    """The same IIA for each variable alone, and for all jointly."""
    return {**{(v,): value for v in variables}, tuple(variables): value}


def shares(node: float, term: float, exact: float) -> dict[str, float]:
    return {"node": node, "term": term, "exact": exact}


SUM = graph("x0 x1", A=lambda x0: 2 * x0, B=lambda x1: 3 * x1, out=lambda A, B: A + B)

identical = fixture(
    SUM, SUM, "AB", name="identical",
    observed={"A": 1, "B": 1, "out": 1}, local=(1, 1), iia=each(1, "AB"), scrubbed=shares(0, 0, 0),
)  # fmt: skip
dead_copy = fixture(  # A is there, and nobody reads it
    graph("x0", A=lambda x0: x0, out=lambda x0, A: x0),
    graph("x0", A=lambda x0: x0, out=lambda A: A),
    "A", name="dead_copy",
    observed={"A": 1, "out": 1}, local=(1, CHANCE), iia=each(CHANCE, "A"), scrubbed=shares(3.3, 3.3, 0),
)  # fmt: skip
intermediates_cancel = fixture(  # a perfect output, and wrong intermediates
    graph("x0 x1 x2", A=lambda x0, x2: x0 + x2, B=lambda x1, x2: x1 - x2, out=lambda A, B: A + B),
    graph("x0 x1 x2", A=lambda x0: x0, B=lambda x1: x1, out=lambda A, B, x2: A + B),
    "AB", name="intermediates_cancel",
    observed={"A": CHANCE, "B": CHANCE, "out": 1}, local=(1, 1), iia=each(CHANCE, "AB"), scrubbed=shares(3.3, 3.3, 3.3),
)  # fmt: skip
off_support_mech = fixture(  # the data always have x1 = 2 x0; on them alone is the claimed mechanism right
    SUM,
    graph("x0", A=lambda x0: 2 * x0, B=lambda x0: 6 * x0, out=lambda A, B: 4 * A),
    "AB", name="off_support_mech", encode=lambda s: [float(s["x0"]), 2.0 * s["x0"]],
    observed={"A": 1, "B": 1, "out": 1}, local=(1, CHANCE), iia=each(CHANCE, "AB"), scrubbed=shares(0, 0, 0),
)  # fmt: skip
unmapped_cancel = fixture(  # two unmapped terms that cancel as long as both see the same input
    graph("x0 x1", A=lambda x0: x0, P=lambda x1: x1, Q=lambda x1: x1, out=lambda A, P, Q: A + P - Q),
    graph("x0 x1", A=lambda x0: x0, out=lambda A, x1: A),
    "A", name="unmapped_cancel",
    observed={"A": 1, "out": 1}, local=(1, 1), iia=each(1, "A"), scrubbed=shares(0, 3.3, 0),
)  # fmt: skip
large_deviation = fixture(  # the claim is wrong by as much as scrubbing changes
    graph("x0 x1", A=lambda x0, x1: 2 * x0 + x1, B=lambda x1: 3 * x1, out=lambda A, B: A + B),
    SUM,
    "AB", name="large_deviation", rule=cm.AtLeast(iia=0.05),  # a network right once in ten is tested all the same
    observed={"A": CHANCE, "B": 1, "out": CHANCE}, local=(1, 1), iia=each(CHANCE, "AB"), scrubbed=shares(4.5, 4.5, 4.5),
)  # fmt: skip

FIXTURES = (identical, dead_copy, intermediates_cancel, off_support_mech, unmapped_cancel, large_deviation)
every_fixture = pytest.mark.parametrize("known", FIXTURES, ids=lambda f: f.name)
