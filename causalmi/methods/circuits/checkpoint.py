"""From where does an interrupted search go on? A file with its decisions, written after each receiver."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from causalmi.engine.metrics import target_of
from causalmi.errors import UsageError
from causalmi.methods.circuits.acdc import ACDC, Decision
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.examples import readout_of
from causalmi.spec.files import write
from causalmi.spec.graph import Bools

VERSION = 1


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
    settings: dict[str, Any] = {
        "graph": repr(problem.graph),
        "metric": [metric.name, metric.better, code_of(metric.function)],
        "ablation": repr(problem.ablation),
        "seed": problem.seed,
        "method": [method.threshold, method.absolute, method.senders, method.heads],
        "read": [readout_of(problem.model, pairs), {name: list(at) for name, at in pairs.base.spans.items()}],
    }
    digest = hashlib.sha256(json.dumps(settings).encode())
    target = target_of(pairs)
    for inputs in (pairs.base, *pairs.sources.values()):
        _add(digest, "inputs", inputs.values, inputs.mask)
    _add(digest, "target", target.answer, target.foil, torch.from_numpy(np.ascontiguousarray(start)))
    for name, weight in problem.model.module.state_dict().items():
        _add(digest, name, weight)
    return digest.hexdigest()


def code_of(function: Any) -> str:
    """What a function does, as far as its code, constants, defaults and what it closes over tell."""
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{type(function).__qualname__} {getattr(function, '__dict__', function)!r}"
    inner = [
        code_of(cell.cell_contents) if callable(cell.cell_contents) else repr(cell.cell_contents)
        for cell in function.__closure__ or ()
    ]
    return repr(
        (
            code.co_code.hex(),
            [c for c in code.co_consts if not hasattr(c, "co_code")],
            code.co_names,
            function.__defaults__,
            inner,
        )
    )


def _decision(p: int, r: int, s: int, kept: bool, effect: float | None) -> Decision:
    if not isinstance(kept, bool) or not (effect is None or isinstance(effect, float)):
        raise TypeError(f"a decision is {kept!r} with the effect {effect!r}")
    return Decision((p, r, s), kept, effect)


def _add(digest: Any, name: str, *tensors: Tensor | None) -> None:
    for x in tensors:
        digest.update(f"{name}{None if x is None else (x.shape, x.dtype)}".encode())
        if x is not None and x.numel():
            digest.update(x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
