"""What do steps and sweeps of distributed alignment search cost, beside pyvene and the least there is? One command.

``python -m benchmarks.align`` prints it; ``--write`` puts it into benchmarks/README.md.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.align_job import Fits, write_fits
from benchmarks.align_table import MARKS, agreement, align_table, middle, targets
from benchmarks.circuit_job import Found, read_found
from benchmarks.environment import PYVENE as PINS
from benchmarks.environment import Tool, UnavailableError, run_worker
from benchmarks.table import write_between

OURS = Tool("causalmi", "causalmi", "benchmarks.workers.align_causalmi")
PYVENE = replace(PINS, worker="benchmarks.workers.align_pyvene")
MIDDLING: Mapping[str, Any] = {
    "n_embd": 256, "n_layer": 12, "n_head": 8, "n_positions": 64, "vocab_size": 8000, "bos_token_id": 0,
    "eos_token_id": 0,
}  # fmt: skip
TINY: Mapping[str, Any] = {**MIDDLING, "n_embd": 32, "n_layer": 3, "n_head": 2, "vocab_size": 50}
GPT2_SMALL: Mapping[str, Any] = {}  # the defaults of GPT2Config


@dataclass(frozen=True)
class Workload:
    """A network and what is fitted in it; the tools take turns ``rounds`` times."""

    config: Mapping[str, Any]
    fits: Fits
    rounds: int = 2


WHOLE = {
    "step": Workload(MIDDLING, Fits("", 16, 48, layers=(2, 6, 10))),
    "gpt2": Workload(GPT2_SMALL, Fits("", 32, 15, layers=(6,))),
    "sweep": Workload(MIDDLING, Fits("", 16, 48, sweep=True, single=((1, 16), (6, 4), (10, 32))), rounds=1),
}
QUICK = {
    "step": Workload(TINY, Fits("", 4, 8, layers=(1,), rank=2, repeats=1)),
    "sweep": Workload(TINY, Fits("", 4, 8, sweep=True, dims=(1, 2), seeds=2, steps=2, single=((1, 2),)), rounds=1),
}


def benchmark(workload: Workload, tools: Sequence[Tool]) -> dict[str, Found | str]:
    """By title what each tool found, or why there is nothing."""
    with tempfile.TemporaryDirectory() as folder:
        write_fits(replace(workload.fits, folder=folder), workload.config)
        found: dict[str, list[Found] | str] = {tool.title: [] for tool in tools}
        for _ in range(workload.rounds):
            for tool in tools:
                _add(found, tool, folder)
        return {title: each if isinstance(each, str) else middle(each) for title, each in found.items()}


def _add(found: dict[str, list[Found] | str], tool: Tool, folder: str) -> None:
    """One more round of ``tool``."""
    rounds = found[tool.title]
    if isinstance(rounds, str):
        return
    try:
        run_worker(tool, folder)
    except UnavailableError as error:
        if tool is OURS:
            raise
        found[tool.title] = str(error)
        return
    rounds.append(read_found(folder, tool.distribution))


def report(part: str, workload: Workload, found: Mapping[str, Found | str]) -> Iterator[str]:
    """The table and what it says, by paragraph."""
    fits = workload.fits
    what = f"rank {fits.rank}"
    if fits.sweep:
        what = f"dims {', '.join(map(str, fits.dims))}, {fits.seeds} starts, {fits.steps} steps each"
    yield f"### Batches of {fits.n} pairs of {fits.length} tokens, last position, {what}"
    yield align_table(found)
    if lines := [*targets(part, found), *agreement(found)]:
        yield "\n".join(f"- {line}" for line in lines)
    yield f"Random weights, float32, {os.cpu_count()} cores, one thread used, torch {torch.__version__}."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.align", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny networks, to see that everything runs")
    parser.add_argument("--part", choices=tuple(WHOLE), help="only this part")
    parser.add_argument("--no-peers", action="store_true", help="only this package")
    parser.add_argument("--write", action="store_true", help="put the figures into benchmarks/README.md")
    given = parser.parse_args(arguments)
    for part, workload in (QUICK if given.quick else WHOLE).items():
        if given.part in (None, part):
            found = benchmark(workload, (OURS,) if given.no_peers else (OURS, PYVENE))
            text = "\n\n".join(report(part, workload, found))
            print(text, end="\n\n", flush=True)
            if given.write:
                write_between(Path(__file__).with_name("README.md"), text, MARKS[part])


if __name__ == "__main__":
    main()
