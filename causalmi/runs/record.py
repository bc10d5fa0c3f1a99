"""What was run, with what, and how did it end? A run's folder: the record, the result, each test's pairs."""

import json
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import typer

from causalmi.errors import UsageError
from causalmi.runs.terminal import INTERRUPTED, notes
from causalmi.spec.files import write

PACKAGES = ("causalmi", "torch", "transformers", "numpy", "pandas")
ANYHOW = ("device", "batch_size")  # what an unfinished run may go on with another value of


@dataclass
class RunFolder:
    """A folder that holds one run; ``arguments`` say how to repeat it.

    Where there is a checkpoint of a run with the same arguments, that run can be gone on with. Raises UsageError when
    the folder holds a run already, the checkpoint of another one, or cannot be written.
    """

    path: Path
    arguments: dict[str, Any]
    started: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if (self.path / "result.json").exists():
            raise UsageError(f"{self.path} already holds a run; give --out another folder, earlier results are kept")
        if self.checkpoint.exists():
            self._refuse_another(read_record(self.path))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._record("running")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}; give --out another folder") from error

    @property
    def checkpoint(self) -> Path:
        """Where a method that can be gone on with keeps what it has done."""
        return self.path / "checkpoint.json"

    def finish(self, result: dict[str, Any], frames: dict[str, pd.DataFrame]) -> None:
        """Write the result, each test's pairs, and that the run is done."""
        for test, frame in frames.items():
            write(self.path / f"{test}.csv", frame.to_csv(index=False))
        write(self.path / "result.json", json.dumps(result, indent=1))
        if self.checkpoint.is_dir():
            shutil.rmtree(self.checkpoint)
        self.checkpoint.unlink(missing_ok=True)
        self._record("done")

    def fail(self, error: BaseException) -> None:
        """Write that the run ended early, and why."""
        self._record(f"{type(error).__name__}: {error}")

    def _refuse_another(self, record: dict[str, Any]) -> None:
        given = json.loads(json.dumps(self.arguments))
        names = [name for name in given if name not in ANYHOW and record.get(name) != given[name]]
        if names:
            was, now = (f"{names[0]} {x.get(names[0])!r}" for x in (record, given))
            raise UsageError(
                f"{self.path} holds an unfinished run with {was}, not {now}; repeat its command to go on with it, or "
                "give --out another folder"
            )

    def _record(self, status: str) -> None:
        record = {
            **self.arguments,
            "status": status,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(time.time() - self.started, 3),
        }
        write(self.path / "record.json", json.dumps(record, indent=1))


def read_record(path: Path) -> dict[str, Any]:
    """The record of the run in the folder at ``path``; raises UsageError when there is none."""
    try:
        record = json.loads((path / "record.json").read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"{path} holds no run: it has no record.json; give the folder that --out named") from None
    except ValueError as error:
        raise UsageError(f"{path / 'record.json'} is no record of a run: {error}") from error
    if not isinstance(record, dict):
        raise UsageError(f"{path / 'record.json'} is no record of a run: it is a {type(record).__name__}")
    return record


@contextmanager
def recorded(folder: RunFolder | None) -> Iterator[None]:
    """Whatever ends the run early is written down in its folder, if it has one."""
    try:
        yield
    except BaseException as error:
        if folder is not None:
            folder.fail(error)
        raise


@contextmanager
def interruptible(folder: RunFolder | None) -> Iterator[None]:
    """An interrupted search says how to go on, where there is a checkpoint, and ends with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        more = "" if folder is None or not folder.checkpoint.exists() else "; the same command goes on from here"
        notes.print(f"interrupted; nothing was left half written{more}")
        raise typer.Exit(INTERRUPTED) from None
