"""From where does an interrupted search go on? A file with its decisions, written after each receiver."""

import json
from pathlib import Path

import numpy as np

from causalmi.engine.metrics import target_of
from causalmi.errors import UsageError
from causalmi.methods.circuits.acdc import ACDC, Decision
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.examples import readout_of
from causalmi.methods.fingerprint import Fingerprint
from causalmi.spec.files import write
from causalmi.spec.graph import Bools

VERSION = 2


class Checkpoint:
    """The file at ``path`` of one search, which is known by all that its result depends on."""

    def __init__(self, path: str | Path, problem: Problem, method: ACDC, start: Bools) -> None:
        self.path, self.start = Path(path), start
        if not self.path.parent.is_dir() or self.path.is_dir():
            raise UsageError(f"{self.path} cannot be written; give a file in a folder that is there")
        self.search = fingerprint(problem, method, start)

    def save(self, decisions: list[Decision]) -> None:
        """Write the decisions so far, and of which search they are."""
        rows = [[*d.place, d.kept, d.effect] for d in decisions]
        write(self.path, json.dumps({"version": VERSION, "search": self.search, "decisions": rows}))

    def load(self) -> list[Decision]:
        """The decisions in the file, none if there is no file.

        Raises UsageError for a file of another search, or one that cannot be read.
        """
        if not self.path.exists():
            return []
        try:
            found = json.loads(self.path.read_text())
            known, decisions = (found["version"], found["search"]), [_decision(*row) for row in found["decisions"]]
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(str(error)) from error
        if known != (VERSION, self.search):
            raise UsageError(
                f"{self.path} is of another search: network, pairs, metric, ablation, method or seed differ; give "
                "another file"
            )
        edges = set(map(tuple, np.argwhere(self.start).tolist()))
        if not edges.issuperset(decision.place for decision in decisions):
            raise self._damaged("it decides on edges that are not there")
        return decisions

    def _damaged(self, why: str) -> UsageError:
        return UsageError(f"{self.path} is no checkpoint of a search ({why}); give another file, or delete it")


def fingerprint(problem: Problem, method: ACDC, start: Bools) -> str:
    """What tells one search from all others: a hash of all that its result depends on."""
    pairs, metric = problem.pairs, problem.metric
    found = Fingerprint()
    found.add("graph", problem.graph, problem.ablation, problem.seed, start)
    found.add("metric", metric.name, metric.better, metric.function)
    found.add("method", method.threshold, method.absolute, method.senders, method.heads)
    found.add("read", readout_of(problem.model, pairs), {name: list(at) for name, at in pairs.base.spans.items()})
    target = target_of(pairs)
    found.add("target", target.answer, target.foil)
    for inputs in (pairs.base, *pairs.sources.values()):
        found.add("inputs", inputs.values, inputs.mask)
    found.add_network(problem.model.module)
    return found.text()


def _decision(p: int, r: int, s: int, kept: bool, effect: float | None) -> Decision:
    if not isinstance(kept, bool) or not (effect is None or isinstance(effect, float)):
        raise TypeError(f"a decision is {kept!r} with the effect {effect!r}")
    return Decision((p, r, s), kept, effect)
