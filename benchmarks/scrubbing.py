"""What does causal scrubbing cost? Runs with and without sharing, and time beside one forward pass for each node.

python -m benchmarks.scrubbing [--references 4000] [--write]
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import causalmi as cm
from causalmi.methods.scrubbing.run import scored
from causalmi.methods.scrubbing.scores import Scorer
from causalmi.methods.scrubbing.setup import Setup, set_up
from causalmi.runs.hypothesis_file import read_file

ROOT = Path(__file__).parents[1]
CLAIMS = ("scrubbed_heads", "scrubbed_by_position")
START, END = "<!-- scrubbing: start -->", "<!-- scrubbing: end -->"


def row(name: str, claim: cm.Hypothesis, references: int) -> str:
    """A line of the table: one claim."""
    setup = set_up(claim, None, data=None, n=references, seed=0, batch_size=None)
    _forward(setup)  # warms up
    passes = [_forward(setup)]
    began, clock = time.process_time(), time.perf_counter()
    _, made = scored(setup, Scorer(cm.METRICS["cross_entropy"], setup.labels, 0), lambda stage, done, total: None)
    seconds, wall = time.process_time() - began, time.perf_counter() - clock
    passes.append(_forward(setup))
    began = time.perf_counter()
    cm.scrub(claim, n=references)
    whole = time.perf_counter() - began
    forward, nodes = sum(passes) / len(passes), setup.graph.size
    return (
        f"| {name} | {nodes} | {made.ran / references:.2f} | {made.unshared / references:.0f} | {forward:.3f} s "
        f"| {seconds:.2f} s | **{seconds / (nodes * forward):.2f}** | {wall:.2f} s | {whole:.1f} s |"
    )


def _forward(setup: Setup) -> float:
    """One forward pass of the bare network over all references, in the batches of the scrub."""
    module, inputs, began = setup.model.module, setup.inputs, time.process_time()
    with torch.no_grad():
        for values, mask in zip(inputs.values.split(93), inputs.mask.split(93), strict=True):
            module(values, mask)
    return time.process_time() - began


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and, if asked, write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=4000)
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args(arguments)
    claims = read_file(ROOT / "hypotheses" / "brackets_scrubbed.py").hypotheses
    lines = [
        "| claim | nodes | passes run | passes without sharing | one forward pass | scrub | scrub / (nodes x pass) "
        "| on the clock | `cm.scrub`, data and controls included |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row(name, claims[name](), options.references) for name in CLAIMS),
    ]
    print("\n".join(lines))
    if options.write:
        page = ROOT / "benchmarks" / "README.md"
        text = page.read_text()
        head, rest = text.split(START)
        page.write_text(head + START + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
