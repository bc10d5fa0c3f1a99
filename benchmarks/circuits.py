"""What do ACDC, EAP and EAP-IG cost, as multiples of bare passes, and beside other tools? One command, one run.

``python -m benchmarks.circuits`` prints it; ``--write`` puts it into benchmarks/README.md. ``--gpt2-acdc`` runs ACDC on
all edges of GPT-2 small with this package alone, which is work for a GPU.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.circuit_job import Found, Search, read_found, write_search
from benchmarks.circuit_table import MARKS, acdc_table, agreement, eap_table, targets, work_done
from benchmarks.environment import Tool, UnavailableError, run_worker
from benchmarks.sources import Source
from benchmarks.table import write_between

LENS = ("transformers==4.57.6", "beartype==0.14.1")
OURS = Tool("causalmi", "causalmi", "benchmarks.workers.circuits_causalmi")
AUTO_CIRCUIT = Tool(
    "auto-circuit", "auto-circuit", "benchmarks.workers.circuits_auto_circuit",
    ("auto-circuit==1.0.1", "transformer-lens==2.18.0", *LENS, "pyarrow==21.0.0"),
)  # fmt: skip
ACDC = Tool(
    "ACDC, its authors' code", "acdc", "benchmarks.workers.circuits_acdc",
    ("transformer-lens==1.6.1", *LENS, "typeguard==2.13.3", "matplotlib==3.8.4"),
)  # fmt: skip
EAP_IG = Tool(
    "EAP-IG, its authors' code", "eap-ig", "benchmarks.workers.circuits_eap_ig",
    ("transformer-lens==3.9.0", "transformers==5.23.0"),
)  # fmt: skip
CIRCUITKIT = Tool(
    "circuitkit", "circuitkit", "benchmarks.workers.circuits_circuitkit",
    ("circuitkit==0.2.0", "transformer-lens==3.8.0", "transformers==5.23.0"),
)  # fmt: skip
SOURCES = {
    "acdc": Source(
        ACDC.title, "acdc", "https://github.com/ArthurConmy/Automatic-Circuit-Discovery", "bc99ace8", "CAUSALMI_ACDC"
    ),
    "eap-ig": Source(EAP_IG.title, "eap-ig", "https://github.com/hannamw/EAP-IG", "795f560", "CAUSALMI_EAP_IG"),
}
PEERS = {"acdc": (ACDC, AUTO_CIRCUIT, CIRCUITKIT), "eap": (EAP_IG, AUTO_CIRCUIT, CIRCUITKIT)}
SMALL: Mapping[str, Any] = {
    "n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 32, "vocab_size": 100, "bos_token_id": 0,
    "eos_token_id": 0, "activation_function": "gelu", "initializer_range": 0.088,
}  # fmt: skip
GPT2_SMALL: Mapping[str, Any] = {}  # the defaults of GPT2Config
SPREAD = 1.0  # how unlike the small network's heads and MLPs are in size


@dataclass(frozen=True)
class Workload:
    """A network, how many pairs of how many tokens, and what is done with them; the folder is chosen when it runs."""

    config: Mapping[str, Any]
    shape: tuple[int, int]
    search: Search
    spread: float = 0.0


WHOLE = {
    "acdc": Workload(SMALL, (64, 16), Search("", "acdc", digit=1, exponent=-2, reference=True), SPREAD),
    "eap": Workload(GPT2_SMALL, (32, 15), Search("", "eap")),
}
QUICK = {
    "acdc": Workload({**SMALL, "n_layer": 2}, (8, 8), Search("", "acdc", digit=3, exponent=-2, reference=True), SPREAD),
    "eap": Workload({**SMALL, "n_layer": 6, "n_head": 8}, (8, 15), Search("", "eap", repeats=1)),
}
GPT2_ACDC = Workload(GPT2_SMALL, (32, 15), Search("", "acdc", repeats=1, digit=1, exponent=-4, plain=False), SPREAD)


def benchmark(workload: Workload, device: str, peers: Sequence[Tool]) -> dict[str, Found | str]:
    """By title what each tool found, or why there is nothing."""
    with tempfile.TemporaryDirectory() as folder:
        search = replace(workload.search, folder=folder, device=device)
        write_search(search, workload.config, workload.shape, workload.spread)
        run_worker(OURS, folder)
        return {
            OURS.title: read_found(folder, OURS.distribution),
            **{tool.title: _found(tool, folder, device) for tool in peers},
        }


def _found(tool: Tool, folder: str, device: str) -> Found | str:
    try:
        if tool.distribution in SOURCES:
            SOURCES[tool.distribution].bring(folder, device)
        run_worker(tool, folder)
    except UnavailableError as error:
        return str(error)
    return read_found(folder, tool.distribution)


def report(workload: Workload, found: Mapping[str, Found | str], device: str) -> Iterator[str]:
    """The tables and what they say, by paragraph."""
    where = f"{os.cpu_count()} cores, one thread used" if device == "cpu" else torch.cuda.get_device_name()
    (n, length), search = workload.shape, workload.search
    if search.part == "acdc":
        yield f"### ACDC, {n} pairs of {length} tokens, KL, threshold {search.threshold:g}"
        yield acdc_table(found)
        yield work_done(found)
    else:
        yield f"### EAP, EAP-IG with {search.steps} steps, {n} pairs of {length} tokens, logit difference"
        yield eap_table(found)
    if lines := [*targets(found), *agreement(found)]:
        yield "\n".join(f"- {line}" for line in lines)
    yield f"Random weights, float32, {where}, torch {torch.__version__}."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.circuits", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small networks, to see that everything runs")
    parser.add_argument("--part", choices=("acdc", "eap"), help="only this part")
    parser.add_argument("--gpt2-acdc", action="store_true", help="only ACDC on all 32,491 edges of GPT-2 small")
    parser.add_argument("--no-peers", action="store_true", help="only this package")
    parser.add_argument("--device", default="cpu", help="cpu (the default) or cuda")
    parser.add_argument("--write", action="store_true", help="put the figures into benchmarks/README.md")
    given = parser.parse_args(arguments)
    alone = given.no_peers or given.gpt2_acdc
    workloads = {"gpt2-acdc": GPT2_ACDC} if given.gpt2_acdc else QUICK if given.quick else WHOLE
    for name, workload in workloads.items():
        if given.part in (None, workload.search.part):
            found = benchmark(workload, given.device, () if alone else PEERS[workload.search.part])
            text = "\n\n".join(report(workload, found, given.device))
            print(text, end="\n\n", flush=True)
            if given.write:
                write_between(Path(__file__).with_name("README.md"), text, MARKS[name])


if __name__ == "__main__":
    main()
