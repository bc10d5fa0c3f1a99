"""What was run, with what, and how did it end? A run's folder: the record, the result, each test's pairs."""

import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from causalmi.errors import UsageError

PACKAGES = ("causalmi", "torch", "transformers", "numpy", "pandas")


@dataclass
class RunFolder:
    """A folder that holds one run; ``arguments`` say how to repeat it.

    Raises UsageError when the folder holds a run already, or cannot be written.
    """

    path: Path
    arguments: dict[str, Any]
    started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if (self.path / "result.json").exists():
            raise UsageError(f"{self.path} already holds a run; give --out another folder, earlier results are kept")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._record("running")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}; give --out another folder") from error

    def finish(self, result: dict[str, Any], frames: dict[str, pd.DataFrame]) -> None:
        """Write the result, each test's pairs, and that the run is done."""
        for test, frame in frames.items():
            write(self.path / f"{test}.csv", frame.to_csv(index=False))
        write(self.path / "result.json", json.dumps(result, indent=1))
        self._record("done")

    def fail(self, error: BaseException) -> None:
        """Write that the run ended early, and why."""
        self._record(f"{type(error).__name__}: {error}")

    def _record(self, status: str) -> None:
        record = {
            **self.arguments,
            "status": status,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(time.time() - self.started, 3),
        }
        write(self.path / "record.json", json.dumps(record, indent=1))


def write(path: Path, text: str) -> None:
    """Write ``text`` so that the file is always either the old or the whole new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
