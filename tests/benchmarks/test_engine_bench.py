"""Does the benchmark measure what it says, and is its table right? No other tools, and no test of speed."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.job import KEPT, Figure, Job, Result, read_job, read_result, write_job, write_workload
from benchmarks.measure import figure_of_edit, figure_of_sweep, measure
from benchmarks.table import MARKS, Measured, agreement, table, targets, write_between
from benchmarks.workers.causalmi import spread, work

SMALL = dict(
    n_embd=16, n_layer=4, n_head=2, n_positions=8, vocab_size=300, bos_token_id=0, eos_token_id=0, initializer_range=0.3
)
EDITS = ((1, 0), (2, 2), (3, 4))


@pytest.fixture(scope="module", autouse=True)
def quick_collection() -> Iterator[None]:
    """Everything that was there before is left out of the collections of garbage that measuring needs."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    assert write_workload(folder, SMALL, (3, 5)) == (4, 2)
    job = Job(str(folder), repeats=2, edits=EDITS)
    write_job(job)
    work(read_job(str(folder)))
    return job


def patched(job: Job, path: str, change: Any) -> Tensor:
    """Logits at the last position of the plain network, where ``change`` writes the source's values at ``path``."""
    network, tokens = job.model(), job.tokens()
    values: list[Tensor] = []

    def act(_: Any, __: Any, output: Tensor) -> Tensor:
        values.append(output)
        return output if len(values) == 1 else change(output.clone(), values[0])

    with torch.no_grad(), network.get_submodule(path).register_forward_hook(act):
        network(tokens["source"])
        return network(tokens["base"]).logits[:, -1, ::KEPT]


def test_a_job_and_a_workload_are_as_they_were_written(job: Job) -> None:
    assert read_job(job.folder) == job
    tokens = job.tokens()
    assert tokens["base"].shape == tokens["source"].shape == (3, 5)
    assert not torch.equal(tokens["base"], tokens["source"])


@pytest.mark.parametrize(("layer", "at"), [*EDITS, (0, 3)])
def test_our_edits_of_the_stream_are_those_of_a_hook(job: Job, layer: int, at: int) -> None:
    def change(x: Tensor, source: Tensor) -> Tensor:
        x[:, at] = source[:, at]
        return x

    found = read_result(job.folder, "causalmi").logits[f"resid_post {layer} {at}"]
    torch.testing.assert_close(found, patched(job, f"transformer.h.{layer}", change))


def test_our_edits_of_a_head_are_those_of_a_hook(job: Job) -> None:
    network, tokens = job.model(), job.tokens()
    values: list[Tensor] = []

    def act(_: Any, args: Any) -> Any:
        values.append(args[0])
        return None if len(values) == 1 else (torch.cat([args[0][..., :8], values[0][..., 8:]], -1),)

    with torch.no_grad(), network.transformer.h[1].attn.c_proj.register_forward_pre_hook(act):
        network(tokens["source"])
        expected = network(tokens["base"]).logits[:, -1, ::KEPT]
    torch.testing.assert_close(read_result(job.folder, "causalmi").logits["z 1 1"], expected)


def test_every_site_is_run_and_every_operation_has_a_figure(job: Job) -> None:
    result = read_result(job.folder, "causalmi")
    assert {k for k in result.logits if k.startswith("z")} == {f"z {a} {b}" for a in range(4) for b in range(2)}
    assert sum(k.startswith("resid_post") for k in result.logits) == 4 * 5
    assert {"bare", "edit 1 0", "edit 2 2", "edit 3 4", "resid_post", "z"} <= result.figures.keys()
    assert (result.figures["resid_post"].sites, result.figures["z"].run) == (20, 8)
    assert all(f.seconds > 0 and f.bare > 0 and f.bytes >= 0 for f in result.figures.values())


def test_bare_passes_alternate_with_pieces() -> None:
    done: list[str] = []
    pieces = [lambda: done.append("piece")] * 5
    costs, _ = measure(pieces, lambda: done.append("bare"), device="cpu", every=2)
    assert len(costs) == 5
    assert "".join(x[0] for x in done) == "bppbppbpb"


def test_memory_is_the_peak_above_what_was_held() -> None:
    held: list[Tensor] = []
    pieces = [lambda: held.append(torch.ones(2**24)), lambda: torch.ones(2**24), lambda: held.append(torch.ones(2))]
    costs, _ = measure(pieces, lambda: None, device="cpu", every=9)
    assert [round(cost.bytes / 2**26) for cost in costs][:2] == [1, 2]


@pytest.mark.parametrize(("width", "n", "expected"), [(128, 4, [16, 48, 80, 112]), (5, 5, [0, 1, 2, 3, 4])])
def test_a_part_of_a_sweep_is_spread_evenly(width: int, n: int, expected: list[int]) -> None:
    assert spread(width, n) == expected


def result(version: str, figures: list[Figure], **logits: float) -> Result:
    tensors = {name: torch.full((2, 3), value) for name, value in logits.items()}
    return Result(version, {f.operation: f for f in figures}, tensors)


@pytest.fixture
def measured() -> Measured:
    ours = [
        Figure("bare", 2.0, 0.0, 2.0, 2**20),
        Figure("edit 1 4", 0.1, 3.0, 2.0, 2**21),
        Figure("resid_post", 0.4, 4.0, 2.0, 2**21, sites=10, run=10),
        Figure("z", 1.0, 0.0, 2.0, 2**22, sites=8, run=4),
    ]
    lens = [Figure("bare", 1.0, 0.0, 1.0, 0), Figure("edit 1 4", 1.0, 0.0, 1.0, 0), Figure("z", 1.5, 0.0, 1.0, 0, 8, 2)]
    results = {"causalmi": result("1", ours, clean=0.0, a=2.0, b=9.0), "TransformerLens": result("3", lens, a=2.001)}
    return Measured(n=3, length=5, layers=2, heads=4, results={**results, "pyvene": "no pyvene"})


def test_the_table_has_a_row_an_operation_and_a_column_a_tool(measured: Measured) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(measured).splitlines()]
    assert rows[0] == ["operation", "causalmi 1", "TransformerLens 3", "pyvene", "TransformerLens / causalmi"]
    found = {row[0]: row[1:] for row in rows[2:]}
    assert found["one edit, layer 1, last position"] == [
        "**0.05**, with recording 1.55; 0.1 s, 2 MB", "**1.00**; 1 s, 0 MB", "-", "20.0",
    ]  # fmt: skip
    assert found["2 × 5 sites of the residual stream, each"] == ["**0.40**; 0.8 s, 2 MB", "-", "-", "-"]
    assert found["2 × 4 heads, all positions, each"] == [
        "**0.50**; 1 s, 4 MB, 4 run", "**1.50**; 1.5 s, 0 MB, 2 run", "-", "3.0",
    ]  # fmt: skip
    assert len({len(line) for line in table(measured).splitlines()}) == 1


def test_the_targets_are_judged(measured: Measured) -> None:
    lines = targets([measured])
    assert lines[0] == "an edit of the last of 5 positions, layer 1 < 0.1: yes, 0.05"
    assert lines[1] == "residual stream, 3 pairs of 5 tokens: bare passes a site <= 0.25: no, 0.4"
    assert lines[2].endswith("TransformerLens / causalmi >= 5: not measured")
    assert lines[3].endswith("<= 0.45: no, 0.5")
    assert lines[4].endswith(">= 2.5: yes, 3")


def test_agreement_is_the_largest_difference_and_a_missing_tool_is_named(measured: Measured) -> None:
    lens, pyvene = agreement(measured)
    assert "TransformerLens differ from ours by at most 0.001 on 1 sites, whose edits move them by up to 2" in lens
    assert pyvene == "3 pairs of 5 tokens: no pyvene"


def test_figures_of_costs() -> None:
    costs, bare = measure([lambda: None] * 3, lambda: None, device="cpu", every=1)
    assert figure_of_edit("edit 0 0", costs, bare, 2.0).fixed == 2.0
    sweep = figure_of_sweep("z", costs, bare, sites=10, run=4)
    assert sweep.seconds == pytest.approx((costs[1].seconds + costs[2].seconds) / 4)
    assert sweep.fixed == costs[0].seconds


def test_writing_keeps_what_is_around_the_figures(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    write_between(page, "new")
    assert page.read_text() == f"before\n{MARKS[0]}\nnew\n{MARKS[1]}\nafter\n"
