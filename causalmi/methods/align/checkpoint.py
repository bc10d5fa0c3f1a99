"""From where does an interrupted search for an alignment go on? A folder with what each training had come to.

For each training there is one file of tensors, with its numbers in the header; both are replaced at once, so that
whatever ends the process leaves a state that was. What needs no training is computed again.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from causalmi.errors import UsageError
from causalmi.methods.fingerprint import Fingerprint
from causalmi.methods.swap import Swap
from causalmi.spec.files import write, write_bytes
from causalmi.spec.site import Site

if TYPE_CHECKING:
    from causalmi.methods.align.fitting import Training
    from causalmi.methods.align.method import Problem

VERSION = 1
SECONDS = 10.0  # at most so much work is lost where checks are rare


def opened(folder: str | Path, search: str) -> Path:
    """The folder of the search with this fingerprint, made when there is none.

    Raises UsageError for that of another search, one that cannot be read, or that cannot be written.
    """
    path, head = Path(folder), {"version": VERSION, "search": search}
    known = path / "search.json"
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not known.exists():
            write(known, json.dumps(head))
        found = json.loads(known.read_text())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; give checkpoint= another folder") from error
    except ValueError as error:
        raise _damaged(known, str(error)) from error
    if found != head:
        raise UsageError(
            f"{path} is of another search: network, pairs, places, method or seed differ; give checkpoint= another "
            "folder"
        )
    return path


def fingerprint(problems: "list[Problem]", method: Any) -> str:
    """What tells one search from all others: a hash of all that what it finds depends on."""
    first, found = problems[0], Fingerprint()
    found.add("method", type(method).__qualname__, method, first.seed, first.subsets)
    for problem in problems:
        found.add("places", {v: list(map(_site, sites)) for v, sites in problem.places.of.items()})
    for pool in (first.train, first.validation):
        _add_pairs(found, pool.swap)
        found.add("expected", *(pool.swap.expected(subset) for subset in first.subsets))
    found.add_network(first.model.module)
    return found.text()


def _site(site: Site) -> Mapping[str, Any]:
    return {name: value for name, value in vars(site).items() if value is not None}


def _add_pairs(found: Fingerprint, swap: Swap) -> None:
    pairs = swap.pairs
    found.add("choices", pairs.choices)
    for inputs in (pairs.base, *(pairs.sources[v] for v in swap.alignment)):
        found.add("inputs", inputs.values, inputs.mask, {name: list(at) for name, at in inputs.spans.items()})


class Kept:
    """The file of one training, in the folder of its search."""

    def __init__(self, training: "Training", folder: Path) -> None:
        found = Fingerprint()
        found.add("training", training.method, str(training.problem.places), training.learner.labels)
        self.path = folder / f"{found.text()[:16]}.safetensors"
        self._saved = time.monotonic()

    def save(self, training: "Training") -> None:
        """Write the state as it is between two steps, at checks and else only after some seconds without."""
        done = training.step % training.method.check == 0 or training.step == training.method.steps
        if not done and time.monotonic() < self._saved + SECONDS:
            return
        numbers = {"step": training.step, "taken": training.taken, "idle": training.idle, "scores": training.scores}
        tensors = {name: value.detach().cpu().contiguous() for name, value in _tensors(training).items()}
        write_bytes(self.path, save(tensors, {"state": json.dumps(numbers)}))
        self._saved = time.monotonic()

    def restore(self, training: "Training") -> None:
        """Bring a training that has not begun to the state in the file, if there is one; raises UsageError."""
        if not self.path.exists():
            return
        try:
            with safe_open(self.path, "pt") as file:
                numbers = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            _take(training, numbers, tensors)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise _damaged(self.path, str(error)) from error


def _tensors(training: "Training") -> dict[str, Tensor]:
    """Parameters, their best, and the optimizer's averages, by name."""
    found = {f"now {name}": value for name, value in training.learner.parameters.items()}
    found |= {f"best {name}": value for name, value in training.best.items()}
    for number, state in training.optimizer.state_dict()["state"].items():
        found |= {f"adam {number} {name}": value for name, value in state.items()}
    return found


@torch.no_grad()
def _take(training: "Training", numbers: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    if training.learner.points != len(numbers["taken"]):
        raise ValueError("it has another number of points")
    for name, value in training.learner.parameters.items():
        value.copy_(_like(value, tensors[f"now {name}"]))
        training.best[name].copy_(_like(value, tensors[f"best {name}"]))
    state: dict[int, dict[str, Tensor]] = {}
    for key in (key for key in tensors if key.startswith("adam ")):
        _, number, name = key.split(" ", 2)
        state.setdefault(int(number), {})[name] = tensors[key]
    training.optimizer.load_state_dict({**training.optimizer.state_dict(), "state": state})
    training.step, training.taken, training.idle = (numbers[name] for name in ("step", "taken", "idle"))
    training.scores = [(float(agreed), float(loss)) for agreed, loss in numbers["scores"]]


def _like(value: Tensor, found: Tensor) -> Tensor:
    if found.shape != value.shape or found.dtype != value.dtype:
        raise ValueError(f"a tensor is {found.dtype} {list(found.shape)}, not {value.dtype} {list(value.shape)}")
    return found


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is no checkpoint of a search ({why}); delete it, or give checkpoint= another folder")
