"""Which circuit does a hypothesis's task run on, and is it one? Search, judgement, and the files that both leave."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalmi.engine.model import Model
from causalmi.errors import UsageError
from causalmi.methods.circuits.acdc import ACDC
from causalmi.methods.circuits.evaluate import evaluate_circuit
from causalmi.methods.circuits.find import SHARES, find_circuit, parts_of
from causalmi.methods.circuits.found import CircuitResult
from causalmi.methods.circuits.problem import Progress
from causalmi.methods.circuits.rule import TESTS
from causalmi.methods.circuits.rule import How as Rule
from causalmi.methods.circuits.smallest import Smallest
from causalmi.methods.examples import pairs_of
from causalmi.models.graph import graph_of
from causalmi.report.circuit_drawing import write_drawing
from causalmi.results.circuit import CircuitEvaluation
from causalmi.runs.circuit_options import Asked, How
from causalmi.runs.circuit_pairs import digest, pairs_for
from causalmi.runs.record import RunFolder
from causalmi.spec.circuit import Circuit
from causalmi.spec.edge_values import Floats
from causalmi.spec.hypothesis import Hypothesis


@dataclass(frozen=True)
class Judging:
    """By which tests, beside which random circuits a circuit is judged, and how many of them."""

    tests: tuple[str, ...] = ("faithfulness",)
    controls: tuple[str, ...] = ("walk", "uniform")
    n_random: int = 100

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Judging":
        """The same from names with commas between; raises SpecError for tests or controls that there are not."""
        tests, controls = (
            tuple(x.strip() for x in given[key].split(",") if x.strip()) for key in ("tests", "controls")
        )
        by = cls(TESTS if tests == ("all",) else tests, controls, given["n_random"])
        Rule(tests=by.tests, controls=by.controls, n_random=by.n_random)
        return by


@dataclass(frozen=True)
class Discovered:
    """A circuit, how it was found, and its evaluation on pairs held out."""

    found: CircuitResult
    judged: CircuitEvaluation
    scores: Floats
    width: int

    def to_dict(self) -> dict[str, Any]:
        """What is written as result.json: all but the cost, which depends on interruptions."""
        found = {name: value for name, value in self.found.to_dict().items() if name != "cost"}
        assert self.found.held_out is not None
        return {**found, "held_out": digest(self.found.held_out), "evaluation": self.judged.to_dict()}

    @property
    def frames(self) -> Mapping[str, pd.DataFrame]:
        """The tables that are written: decisions or scores, circuits that were tried, and those of the evaluation."""
        first = "scores" if "score" in self.found.frame else "decisions"
        tried = {} if self.found.tried is None else {"tried": self.found.tried}
        others = {name: frame for name, frame in self.judged.frames.items() if name != self.judged.test}
        return {first: self.found.frame, **tried, "evaluation": self.judged.frame, **others}

    def write(self, folder: RunFolder) -> None:
        """The circuit, its drawing, the tables, and last the result."""
        self.found.circuit.to_json(folder.path / "circuit.json", self.scores, self.width)
        write_drawing(folder.path / "circuit.svg", self.found.circuit, self.scores)
        folder.finish(self.to_dict(), dict(self.frames))


def discover(
    hypothesis: Hypothesis,
    model: Model,
    asked: Asked,
    folder: RunFolder | None,
    batch_size: int | None,
    progress: Progress,
) -> Discovered:
    """The circuit that is asked for, found on pairs of the hypothesis's task; gone on with from ``folder``.

    Raises UsageError for more edges than there are, and what the search raises.
    """
    how, graph = How.of(asked), graph_of(model.adapter)
    if asked.edges is not None and asked.edges > len(graph.edges):
        raise UsageError(f"--edges is {asked.edges}, and {model.name} has {len(graph.edges):,}; give fewer")
    pairs = pairs_for(hypothesis.task, model, asked.n, seed=asked.seed, alike=asked.ablation == "paired")
    found = find_circuit(
        model,
        pairs,
        metric=how.metric,
        method=how.method,
        select=how.select,
        ablation=how.ablation,
        seed=asked.seed,
        batch_size=batch_size,
        checkpoint=folder.checkpoint if folder is not None and isinstance(how.method, ACDC) else None,
        progress=progress,
    )
    progress("judging", 0, 1)
    judged = judge(model, found.circuit, found.held_out, (how, asked.seed, batch_size), Judging())
    return Discovered(found, judged, strengths(found), model.adapter.shape.d_model)  # type: ignore[attr-defined]


def judge(
    model: Model, circuit: Circuit, pairs: Any, settings: tuple[How, int, int | None], by: Judging
) -> CircuitEvaluation:
    """The evaluation of ``circuit`` under the ``settings`` of its search: how, the seed, and the batch size."""
    how, seed, batch_size = settings
    return evaluate_circuit(
        model,
        circuit,
        pairs,
        metric=how.metric,
        ablation=how.ablation,
        tests=by.tests,
        controls=by.controls,
        n_random=by.n_random,
        seed=seed,
        batch_size=batch_size,
    )


def evaluate(
    hypothesis: Hypothesis, model: Model, asked: Asked, run: Path, by: Judging, batch_size: int | None
) -> CircuitEvaluation:
    """The evaluation of the circuit in the folder of a run of :func:`discover`, on the pairs that it judged on.

    Raises UsageError when these cannot be drawn again: others might have been searched on.
    """
    how = How.of(asked)
    pairs = pairs_for(hypothesis.task, model, asked.n, seed=asked.seed, alike=asked.ablation == "paired")
    held_out = parts_of(pairs_of(model, pairs), SHARES, isinstance(how.select, Smallest), asked.seed)[2]
    if held_out is None or digest(held_out) != json.loads((run / "result.json").read_text()).get("held_out"):
        raise UsageError(f"the pairs of {run} come out otherwise now, by another version of the package; search anew")
    return judge(model, Circuit.from_json(run / "circuit.json"), held_out, (how, asked.seed, batch_size), by)


def strengths(found: CircuitResult) -> Floats:
    """The score of each edge, float64 [class, receiver, sender]: for a search the effect of its removal, else 0."""
    graph, frame = found.circuit.graph, found.frame
    column = frame["score"] if "score" in frame else frame["effect"].fillna(0.0)
    scores = np.zeros(graph.shape)
    for sender, receiver, value in zip(frame["sender"], frame["receiver"], column, strict=True):
        scores[0, graph.receivers.index(receiver), graph.senders.index(sender)] = value
    return scores


def strongest(found: Discovered, n: int) -> list[tuple[str, float]]:
    """The ``n`` edges of the circuit with the largest scores, by size, and the scores."""
    graph = found.found.circuit.graph
    edges = [(str(edge), float(found.scores[graph.place(edge)])) for edge in graph.named(found.found.circuit.array)]
    return sorted(edges, key=lambda pair: -abs(pair[1]))[:n]
