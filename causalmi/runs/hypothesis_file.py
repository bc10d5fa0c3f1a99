"""Which hypotheses does a file hold? Reads it as Python and picks what is marked `@hypothesis`."""

import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causalmi.data.task import Task
from causalmi.errors import CausalmiError, UsageError
from causalmi.spec.factory import HypothesisFactory


@dataclass(frozen=True)
class HypothesisFile:
    """A file's hypotheses by name, in its own order, its tasks, and the hash of its source."""

    path: Path
    hypotheses: dict[str, HypothesisFactory]
    tasks: dict[str, Task]
    sha256: str

    def get(self, name: str | None) -> HypothesisFactory:
        """The hypothesis called ``name``, or the file's first; raises UsageError when there is none."""
        if not self.hypotheses:
            raise UsageError(
                f"{self.path} holds no hypothesis; mark a function that returns a Hypothesis with @causalmi.hypothesis"
            )
        if name is None:
            return next(iter(self.hypotheses.values()))
        if name not in self.hypotheses:
            raise UsageError(f"{self.path} has no hypothesis {name!r}; it has {', '.join(self.hypotheses)}")
        return self.hypotheses[name]


def read_file(path: Path) -> HypothesisFile:
    """The hypotheses in the Python file at ``path``, which is executed.

    Raises UsageError when there is no such file, it is not Python, or it fails, with the line.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}; `causalmi list` shows the hypotheses at hand")
    if path.suffix != ".py":
        raise UsageError(f"{str(path)!r} is not a Python file; hypotheses are written in .py files")
    names = vars(_execute(path))
    return HypothesisFile(
        path=path,
        hypotheses={x.name: x for x in names.values() if isinstance(x, HypothesisFactory)},
        tasks={name: x for name, x in names.items() if isinstance(x, Task)},
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _execute(path: Path) -> Any:
    name = f"causalmi_file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{str(path)!r} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and annotations look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        kind = "" if isinstance(error, CausalmiError) else f"{type(error).__name__}: "
        raise UsageError(f"{path}{_line(error, path)}: {kind}{error}") from error
    return module


def _line(error: BaseException, path: Path) -> str:
    """Where in the file the error arose, as ``:line``."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    lines, trace = [], error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f":{lines[-1]}" if lines else ""
