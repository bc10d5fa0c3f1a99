"""Which hypothesis is a command about? FILE or FILE@name with its parameters, and the network it names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causalmi.errors import UsageError
from causalmi.runs.hypothesis_file import read_file
from causalmi.runs.terminal import notes
from causalmi.spec.hypothesis import Hypothesis


@dataclass(frozen=True)
class Claimed:
    """A hypothesis of a file, with all that says which: the file, its hash, the hypothesis's name and parameters."""

    hypothesis: Hypothesis
    where: dict[str, Any]

    @property
    def name(self) -> str:
        """The hypothesis's name."""
        return str(self.where["hypothesis"])


def claimed(file: str, parameters: dict[str, str]) -> Claimed:
    """The hypothesis that FILE@name, or the first of FILE, makes of ``parameters``; raises UsageError."""
    path, _, name = file.partition("@")
    source = read_file(Path(path))
    factory = source.get(name or None)
    hypothesis, settings = factory.with_text(parameters)
    others = [f"@{other}" for other in source.hypotheses if other != factory.name]
    if others and not name:
        notes.print(f"running {factory.name}; {path} also holds {', '.join(others)}", markup=False)
    where = {"file": path, "sha256": source.sha256, "hypothesis": factory.name, "parameters": settings}
    return Claimed(hypothesis, where)


def reclaimed(record: dict[str, Any]) -> Claimed:
    """The hypothesis that the run with this record was about; raises UsageError when its file is not as it was."""
    path, name = record["file"], record["hypothesis"]
    source = read_file(Path(path))
    if source.sha256 != record["sha256"]:
        raise UsageError(f"{path} has changed since that run, so its pairs cannot be drawn again; search anew")
    where = {key: record[key] for key in ("file", "sha256", "hypothesis", "parameters")}
    return Claimed(source.get(name)(**record["parameters"]), where)


def assignments(texts: list[str] | None) -> dict[str, str]:
    """The parameters that are set by key=value; raises UsageError for a text that sets none."""
    if bad := [text for text in texts or [] if "=" not in text or text.startswith("=")]:
        raise UsageError(f"-P {bad[0]} is no assignment; write -P key=value")
    return dict(text.split("=", 1) for text in texts or [])


def load(hypothesis: Hypothesis, device: str) -> Any:
    """The network of ``hypothesis``; raises UsageError when it names none."""
    from transformers.utils import logging

    from causalmi.engine.load import load_model

    if hypothesis.model is None:
        raise UsageError(f"{hypothesis.name} names no model; set model= in the hypothesis")
    logging.disable_progress_bar()  # of loading weights; the command has its own
    return load_model(hypothesis.model, device=device)
