"""Is a circuit faithful, complete, minimal, and better than random ones? Every test of it on the same pairs.

Wang et al. 2022 (arXiv:2211.00593) for faithfulness, completeness and minimality; Shi et al. 2024 (arXiv:2410.13032)
for tests of minimality, sufficiency, partial necessity, independence and equivalence.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd

from causalmi.errors import SpecError
from causalmi.methods.circuits.against_random import against, necessity, sufficiency
from causalmi.methods.circuits.case import Case, Measured
from causalmi.methods.circuits.completeness import completeness
from causalmi.methods.circuits.faithfulness import decided, faithfulness, inverted
from causalmi.methods.circuits.minimality import minimality
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.rule import ALPHA, CONTROLS, TESTS, FaithfulWithin, How
from causalmi.methods.circuits.same_scores import equivalence, independence
from causalmi.results.circuit import COLUMNS, CircuitEvaluation, CircuitFinding
from causalmi.spec.circuit import Circuit
from causalmi.stats.multiplicity import adjust

PARTS: Mapping[str, Callable[[Case], list[Measured]]] = MappingProxyType(
    {
        "faithfulness": faithfulness,
        "completeness": completeness,
        "minimality": minimality,
        "sufficiency": sufficiency,
        "necessity": necessity,
        "independence": independence,
        "equivalence": equivalence,
    }
)


def evaluate_circuit(  # noqa: PLR0913  (the public call: which circuit, of which network, on what, and by which tests)
    model: Any,
    circuit: Circuit,
    pairs: Any,
    *,
    metric: Any = "logit_diff",
    ablation: Any = None,
    tests: str | Sequence[str] = TESTS,
    controls: str | Sequence[str] = CONTROLS,
    n_random: int = 100,
    rule: FaithfulWithin | None = None,
    direction: Literal["ablate", "restore"] = "ablate",
    seed: int = 0,
    batch_size: int | None = None,
) -> CircuitEvaluation:
    """Judge ``circuit`` on ``pairs``, which should not be those that it was searched on.

    With m the mean ``metric`` when the edges of a set are kept and all others ablated, faithfulness is f = (m(C) -
    m(empty)) / (m(full) - m(empty)). ``rule`` says how close to 1 its 95 % interval has to be; ``controls`` are random
    circuits of the same size that it has to be closer to 1 than: unions of random "walk"s, edges drawn "uniform"ly, or
    as many in each "layer". ``ablation`` None takes each pair's source; ``direction`` "restore" runs the sources and
    gives the circuit's edges the values of the bases. The verdict is that of faithfulness and its controls; the p of
    all other tests are adjusted by Holm's method. A circuit of k edges is run about n_random (controls + 3) + k times,
    and up to 18 n_random + 80 times more for completeness. Raises SpecError for unknown tests, controls or edges,
    DataError for pairs that cannot be used or that all share one base, ModelError for a circuit of another network.
    """
    how = How(tests=tests, controls=controls, n_random=n_random, rule=rule or FaithfulWithin(), seed=seed)  # type: ignore[arg-type]
    if not isinstance(circuit, Circuit):
        raise SpecError("evaluate_circuit", [f"{circuit!r} is no circuit; give one such as find_circuit(...).circuit"])
    problem = Problem.of(
        model,
        pairs,
        metric=metric,
        ablation=ablation,
        graph=circuit.graph,
        direction=direction,
        seed=seed,
        batch_size=batch_size,
    )
    return evaluated(Case(problem, circuit, how), problem.model.name)


def evaluated(case: Case, model: str) -> CircuitEvaluation:
    """The evaluation of a case that was made ready."""
    measured = _undefined(case) if case.degenerate else _measured(case)
    findings = _decided(case, adjusted(measured))
    size, of = int(case.array.sum()), int(case.exists.sum())
    return CircuitEvaluation(
        hypothesis="circuit",
        claim=f"{size:,} of {of:,} edges do what the network does",
        model=model,
        seed=case.how.seed,
        frame=pd.DataFrame([f.row for f in findings], columns=COLUMNS),
        subject=case.circuit,
        metric=case.problem.metric.name,
        ablation=str(case.problem.ablation),
        direction="restore" if case.problem.restore else "ablate",
        full=case.metric(case.full),
        empty=case.metric(case.empty),
        own=case.metric(case.own),
        degenerate=case.degenerate,
        inverted=inverted(case),
        findings=tuple(findings),
        tables=_tables(measured),
    )


def adjusted(measured: Sequence[Measured]) -> list[CircuitFinding]:
    """The findings, with p-values that know how many tests there are, and the verdicts that follow.

    Faithfulness is claimed only where its interval and every control say so, so each is taken at its own level, and the
    largest p is that of the claim (intersection-union, Berger 1982); Holm's adjustment is over all other tests.
    """
    ps = np.array([np.nan if m.p is None else m.p for m in measured])
    others = ~np.isnan(ps) & [not m.part for m in measured]
    found = ps.copy()
    if others.any():
        found[others] = adjust(ps[others], "holm")
    for i in [i for i, m in enumerate(measured) if m.name == "faithfulness" and m.part]:
        found[i] = np.nanmax([p for p, m in zip(ps, measured, strict=True) if m.part])
    return [_finding(m, None if np.isnan(p) else float(p)) for m, p in zip(measured, found, strict=True)]


def _finding(m: Measured, p: float | None) -> CircuitFinding:
    verdict = m.otherwise if p is None or p > ALPHA else m.shows
    return CircuitFinding(
        name=m.name,
        verdict=verdict,
        sentence=f"{verdict}: {m.said}",
        estimate=m.estimate,
        value=m.value,
        p=m.p,
        p_adjusted=p,
        controls=m.controls,
        details=m.details,
    )


def _measured(case: Case) -> list[Measured]:
    """Faithfulness with its controls first, then the other tests in their order."""
    found = list[Measured]()
    for test in TESTS:
        if test in case.how.tests:
            found += PARTS[test](case)
        if test == "faithfulness" and test in case.how.tests:
            found += [against(case, kind) for kind in case.how.controls]
    return found


def _undefined(case: Case) -> list[Measured]:
    """One finding for each test, none of which can tell anything."""
    said = f"{case.problem.metric.name} of the network and with every edge ablated do not differ significantly"
    return [
        Measured(name=test, said=f"{said}, so there is nothing for a circuit to do", otherwise="uninformative")
        for test in TESTS
        if test in case.how.tests
    ]


def _decided(case: Case, findings: list[CircuitFinding]) -> list[CircuitFinding]:
    """The findings, where that of faithfulness takes its controls into account."""
    if case.degenerate or findings[0].name != "faithfulness":
        return findings
    beside = [f for f in findings if f.name.startswith("above random")]
    return [decided(case, findings[0], beside), *findings[1:]]


def _tables(measured: list[Measured]) -> dict[str, pd.DataFrame]:
    """The table of single edges, and that of all random circuits."""
    found = {m.name: m.table for m in measured if m.table is not None}
    edges = {"edges": found.pop("minimality")} if "minimality" in found else {}
    return edges | ({"random": pd.concat(found.values(), ignore_index=True)} if found else {})
