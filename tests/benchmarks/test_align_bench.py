"""Does the benchmark of alignments give every tool the same, and read what comes back rightly? No other tools."""

import gc
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from benchmarks.align import TINY, Workload, report
from benchmarks.align_job import BATCHES, Fits, read_fits, write_fits
from benchmarks.align_table import agreement, align_table, middle, targets
from benchmarks.circuit_job import Found
from benchmarks.job import Figure
from benchmarks.workers.align import bare_pass, suffix_pass
from benchmarks.workers.align_causalmi import Task, steps, sweep


@pytest.fixture(scope="module", autouse=True)
def quick_collection() -> Iterator[None]:
    """Everything that was there before is left out of the collections of garbage that measuring needs."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> Fits:
    made = Fits(
        str(tmp_path_factory.mktemp("fits")), 3, 5, layers=(0,), rank=2, repeats=1, dims=(1, 2), seeds=2, steps=2,
        single=((1, 2),),
    )  # fmt: skip
    write_fits(made, TINY)
    return made


def test_a_job_is_as_it_was_written(fits: Fits) -> None:
    assert read_fits(fits.folder) == fits
    tokens = fits.tokens()
    assert tokens["base"].shape == tokens["source"].shape == ((BATCHES + 1) * 3, 5)
    rotation = tokens["rotation 0"]
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(2))
    assert not any(p.requires_grad for p in fits.model().parameters())


def test_the_loss_is_that_of_the_interchange_of_the_given_subspace(fits: Fits) -> None:
    network, x = fits.model(), {name: y[:3] for name, y in fits.tokens().items() if name != "rotation 0"}
    rotation, block = fits.tokens()["rotation 0"], network.transformer.h[0]
    seen: list[torch.Tensor] = []
    handle = block.register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        network(x["source"]), network(x["base"])
    handle.remove()
    source, base = seen
    new = base.clone()
    new[:, -1] += (source - base)[:, -1] @ rotation @ rotation.T
    put = block.register_forward_hook(lambda _, __, out: (new, *out[1:]) if isinstance(out, tuple) else new)
    with torch.no_grad():
        wanted = functional.cross_entropy(network(x["base"]).logits[:, -1], x["wanted"])
    put.remove()
    assert Task(fits).loss(0) == pytest.approx(float(wanted), abs=1e-5)


def test_our_steps_are_timed(fits: Fits) -> None:
    found = steps(Task(fits))
    assert found.figures.keys() == {"bare", "cold 0", "step 0", "suffix 0"}
    assert all(figure.seconds > 0 for figure in found.figures.values())
    assert found.scores["loss"].keys() == {"0"}


def test_our_sweep_has_every_fit(fits: Fits) -> None:
    figure = sweep(Task(replace(fits, sweep=True))).figures["sweep"]
    assert (figure.sites, figure.run) == (12, 12)
    assert figure.fixed > 0


def test_the_suffix_alone_has_the_loss_of_the_whole_network(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []

    def heard(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        loss = functional_cross_entropy(logits, wanted)
        losses.append(float(loss.detach()))
        return loss

    functional_cross_entropy = functional.cross_entropy
    monkeypatch.setattr(functional, "cross_entropy", heard)
    network = fits.model()
    bare_pass(fits, network)()
    suffix_pass(fits, network, 0)()
    suffix_pass(fits, network, 2)()
    assert losses[1:] == pytest.approx(losses[:1] * 2, abs=1e-5)


@pytest.fixture
def fitted() -> dict[str, Found | str]:
    def figure(name: str, seconds: float) -> Figure:
        return Figure(name, seconds, 0.0, 0.5, 2**20)

    ours = {name: figure(name, s) for name, s in (("bare", 0.5), ("cold 2", 4.0), ("step 2", 1.0), ("suffix 2", 0.5))}
    theirs = {name: figure(name, s) for name, s in (("bare", 0.5), ("step 2", 5.0))}
    return {
        "causalmi": Found("1", ours, scores={"loss": {"2": 9.0}}),
        "pyvene": Found("2", theirs, scores={"loss": {"2": 9.00001}}),
        "other": "other cannot be installed: no network",
    }


def test_the_table(fitted: dict[str, Found | str]) -> None:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in align_table(fitted).splitlines()]
    assert ["one step, layer 2", "causalmi 1", "1.00", "**2**", "2.00", "1 s, 1 MB"] in lines
    assert ["one step, layer 2", "pyvene 2", "5.00", "**10**", "10", "5 s, 1 MB"] in lines
    assert ["recording, sources, first step, layer 2", "causalmi 1", "1.00", "**8**", "8.00", "4 s, 1 MB"] in lines


def test_the_targets_and_the_agreement(fitted: dict[str, Found | str]) -> None:
    assert list(targets("step", fitted)) == [
        "one step, layer 2: pyvene / ours >= 3: yes, 5", "one step, layer 2: other / ours >= 3: not measured",
    ]  # fmt: skip
    same, missing = agreement(fitted)
    assert same == "pyvene computes the same loss for the same rotation, to 1e-05 of 9"
    assert missing == "other cannot be installed: no network"
    fitted["pyvene"] = Found("2", scores={"loss": {"2": 9.1}})
    assert "ANOTHER" in next(agreement(fitted))


def test_of_several_rounds_the_one_in_the_middle_counts() -> None:
    rounds = [Found("1", {"bare": Figure("bare", s, 0.0, 1.0, size)}) for s, size in ((9.0, 5), (1.0, 7), (2.0, 9))]
    found = middle(rounds).figures["bare"]
    assert (found.seconds, found.bytes) == (2.0, 7)


def test_what_was_found_alone_is_reported(fits: Fits, fitted: dict[str, Found | str]) -> None:
    text = list(report("step", Workload(TINY, fits), {"causalmi": fitted["causalmi"]}))
    assert text[0] == "### Batches of 3 pairs of 5 tokens, last position, rank 2"
    assert text[-1].startswith("Random weights")
