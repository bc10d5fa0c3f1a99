"""Where does each tool run? In an environment of its own, made on first use, for the tools' pins conflict."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TORCH = "torch==2.13.0"  # first and alone: as a dependency it may bring gigabytes of another build
SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "HF_HUB_OFFLINE": "1",
    "PYTHONHASHSEED": "0",
}


class UnavailableError(Exception):
    """A tool cannot be installed, or does not run; the message says why in one line."""


@dataclass(frozen=True)
class Tool:
    """A program that does the job; ``requirements`` None means: in this very environment."""

    title: str
    distribution: str
    worker: str
    requirements: tuple[str, ...] | None = None


OURS = Tool("causalmi", "causalmi", "benchmarks.workers.causalmi")
TRANSFORMER_LENS = Tool(
    "TransformerLens", "transformer-lens", "benchmarks.workers.transformer_lens",
    ("transformer-lens==3.9.0", "transformers==5.23.0"),
)  # fmt: skip
PYVENE = Tool("pyvene", "pyvene", "benchmarks.workers.pyvene", ("pyvene==0.1.8", "transformers==5.23.0"))
PEERS = (TRANSFORMER_LENS, PYVENE)


def run_worker(tool: Tool, folder: str) -> None:
    """Do the job in ``folder`` with ``tool``, in a process of its own; raises UnavailableError with the last line."""
    _call([_python(tool), "-m", tool.worker, folder], f"{tool.title} does not run")


def _python(tool: Tool) -> str:
    """The interpreter of the tool's environment, which is made if it is not there whole."""
    if tool.requirements is None:
        return sys.executable
    home = cache() / tool.distribution
    python, done = home / "bin" / "python", home / "installed.txt"
    wanted = "\n".join((TORCH, *tool.requirements))
    if not (done.is_file() and done.read_text() == wanted):
        failed = f"{tool.title} cannot be installed"
        _call([sys.executable, "-m", "venv", "--clear", str(home)], failed)
        for requirements in ([TORCH], [TORCH, *tool.requirements]):
            _call([str(python), "-m", "pip", "install", "--quiet", *requirements], failed)
        done.write_text(wanted)
    return str(python)


def cache() -> Path:
    given = os.environ.get("CAUSALMI_CACHE")
    return (Path(given) if given else Path.home() / ".cache" / "causalmi") / "benchmarks"


def _call(command: list[str], failed: str) -> None:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **SETTINGS}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:]
        reason = last[0].replace(command[0], "python") if last else f"status {done.returncode}"
        error = UnavailableError(f"{failed}: {reason}")
        error.add_note(done.stderr)
        raise error
