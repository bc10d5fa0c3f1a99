"""What do edits and sweeps cost, as multiples of a bare forward pass, and beside other tools? One command, one run.

``python -m benchmarks.engine`` prints it; ``--write`` puts it into benchmarks/README.md.
"""

import argparse
import os
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.environment import OURS, PEERS, Tool, UnavailableError, run_worker
from benchmarks.job import Job, Place, Result, read_result, write_job, write_workload
from benchmarks.table import Measured, agreement, table, targets, write_between

GPT2_SMALL: Mapping[str, Any] = {}  # the defaults of GPT2Config


@dataclass(frozen=True)
class Workload:
    """How many pairs, how long; how often we repeat an edit; how many sites and heads stand for all in a peer."""

    n: int
    length: int
    repeats: int
    sites: int  # besides the single edits
    heads: int


WHOLE = (Workload(32, 15, repeats=3, sites=9, heads=12), Workload(16, 128, repeats=2, sites=0, heads=4))
QUICK = (Workload(4, 15, repeats=1, sites=1, heads=2), Workload(2, 64, repeats=1, sites=0, heads=2))


def benchmark(
    workload: Workload, config: Mapping[str, Any], *, device: str, seconds: tuple[float, float], peers: Sequence[Tool]
) -> Measured:
    """One workload with our package and then the ``peers``; ``seconds`` bound our whole sweeps, and parts of sweeps."""
    with tempfile.TemporaryDirectory() as folder:
        layers, heads = write_workload(Path(folder), config, (workload.n, workload.length))
        job = Job(folder, device, workload.repeats, *seconds, edits=_edits(layers, workload.length))
        write_job(job)
        run_worker(OURS, folder)
        ours = read_result(folder, OURS.distribution)
        write_job(_for_peers(job, ours, workload))
        results = {OURS.title: ours, **{tool.title: _result(tool, folder) for tool in peers}}
    return Measured(workload.n, workload.length, layers, heads, results)


def _edits(layers: int, length: int) -> tuple[Place, ...]:
    return tuple((layer, at) for layer in (1, layers // 2, layers - 1) for at in (0, length // 2, length - 1))


def _for_peers(job: Job, ours: Result, workload: Workload) -> Job:
    """The job with some of the sites that ours ran, drawn at random."""
    sites = {kind: ours.figures[kind].sites for kind in ("resid_post", "z")}
    ran = {kind: sorted(_places(ours, kind) - set(job.edits)) for kind in sites}
    draw = random.Random(0)
    residual = draw.sample(ran["resid_post"], min(workload.sites, len(ran["resid_post"])))
    heads = draw.sample(ran["z"], min(workload.heads, len(ran["z"])))
    return replace(job, residual=tuple(residual), heads=tuple(heads), sites=sites)


def _places(ours: Result, kind: str) -> set[Place]:
    keys = (key.split() for key in ours.logits)
    return {(int(key[1]), int(key[2])) for key in keys if key[0] == kind}


def _result(tool: Tool, folder: str) -> Result | str:
    try:
        run_worker(tool, folder)
    except UnavailableError as error:
        return str(error)
    return read_result(folder, tool.distribution)


def report(workloads: Sequence[Measured], device: str) -> Iterator[str]:
    """The tables and what they say, by paragraph."""
    where = f"{os.cpu_count()} cores, one thread used" if device == "cpu" else torch.cuda.get_device_name()
    yield f"GPT-2 small, random weights, float32, {where}, torch {torch.__version__}."
    for measured in workloads:
        yield f"### {measured.title}"
        yield table(measured)
    for heading, lines in (
        ("Targets", targets(workloads)),
        ("Agreement", [line for measured in workloads for line in agreement(measured)]),
    ):
        if lines:
            yield f"### {heading}"
            yield "\n".join(f"- {line}" for line in lines)


def main() -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and small pairs, to see that everything runs")
    parser.add_argument("--no-peers", action="store_true", help="only this package")
    parser.add_argument("--device", default="cpu", help="cpu (the default) or cuda")
    parser.add_argument("--write", action="store_true", help="put the figures into benchmarks/README.md")
    given = parser.parse_args()
    peers, seconds = () if given.no_peers else PEERS, (8.0, 4.0) if given.quick else (240.0, 90.0)
    workloads = [
        benchmark(workload, GPT2_SMALL, device=given.device, seconds=seconds, peers=peers)
        for workload in (QUICK if given.quick else WHOLE)
    ]
    text = "\n\n".join(report(workloads, given.device))
    print(text)
    if given.write:
        write_between(Path(__file__).with_name("README.md"), text)


if __name__ == "__main__":
    main()
