"""Does the benchmark of circuit searches give every tool the same, and read what comes back rightly? No other tools."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import causalmi as cm
from benchmarks.circuit_job import Found, Search, read_found, read_search, write_found, write_search
from benchmarks.circuit_table import acdc_table, agreement, eap_table, targets, work_done
from benchmarks.circuits import Workload, report
from benchmarks.environment import UnavailableError
from benchmarks.job import Figure
from benchmarks.sources import Source
from benchmarks.workers import circuits_acdc, circuits_auto_circuit
from benchmarks.workers.circuits import divergence, forward, forward_backward, lens_config, lens_weights
from benchmarks.workers.circuits_causalmi import Task, acdc, backwards, eap
from causalmi.spec.graph import Graph

SMALL = dict(
    n_embd=16, n_layer=2, n_head=2, n_positions=8, vocab_size=30, bos_token_id=0, eos_token_id=0,
    activation_function="gelu", initializer_range=0.3,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quick_collection() -> Iterator[None]:
    """Everything that was there before is left out of the collections of garbage that measuring needs."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    made = Search(str(tmp_path_factory.mktemp("search")), "acdc", repeats=1, digit=3, exponent=-2, reference=True)
    write_search(made, SMALL, (4, 5), 1.0)
    return made


def test_a_search_is_as_it_was_written(search: Search) -> None:
    assert read_search(search.folder) == search
    assert search.threshold == pytest.approx(0.03)
    tokens = search.tokens()
    assert tokens["base"].shape == tokens["source"].shape == (4, 5)
    assert not torch.equal(tokens["base"], tokens["source"])
    assert bool((tokens["answer"] != tokens["foil"]).all())


def test_heads_are_of_unlike_sizes_only_where_that_is_asked(search: Search, tmp_path: Path) -> None:
    def spread(of: Search) -> float:
        sizes = [block.attn.c_proj.weight.unflatten(0, (2, -1)).norm(dim=(1, 2)) for block in of.model().transformer.h]
        return float(torch.stack(sizes).log().std())

    alike = replace(search, folder=str(tmp_path))
    write_search(alike, SMALL, (4, 5))
    assert spread(alike) < 0.2 < spread(search)


def test_the_weights_by_the_other_names_are_the_same_network(search: Search) -> None:
    network, tokens = search.model(), search.tokens()
    module = cm.load_transformer_lens(lens_config(network), lens_weights(network))
    with torch.no_grad():
        torch.testing.assert_close(module(tokens["base"]), forward(network, tokens))


def test_the_bare_backward_pass_is_that_of_the_logit_difference(search: Search) -> None:
    network, tokens = search.model(), search.tokens()
    found, step = forward_backward(network, tokens), 1e-2

    def at(shift: float) -> torch.Tensor:
        x = network.transformer.wte(tokens["base"]).clone()
        x[:, 1, 3] += shift
        logits, rows = network(inputs_embeds=x).logits[:, -1], torch.arange(4)
        return logits[rows, tokens["answer"]] - logits[rows, tokens["foil"]]

    with torch.no_grad():
        slope = (at(step) - at(-step)) / (2 * step)
    torch.testing.assert_close(found[:, 1, 3], slope, rtol=2e-2, atol=2e-3)


def test_the_divergence_is_that_of_the_package() -> None:
    clean, patched = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)).unbind()
    last = torch.nn.functional.kl_div(
        patched[:, -1].log_softmax(-1), clean[:, -1].log_softmax(-1), log_target=True, reduction="batchmean"
    )
    torch.testing.assert_close(divergence(clean)(patched), last)


def test_the_plain_loop_visits_every_edge_once_from_the_end() -> None:
    graph = Graph(n_layers=2, n_heads=2)
    order = backwards(graph)
    seen = np.zeros(graph.shape, dtype=int)
    for place in order:
        seen[place] += 1
    assert np.array_equal(seen, graph.exists.astype(int))
    named = [f"{graph.senders[s]}->{graph.receivers[r]}" for _, r, s in order]
    assert named[:2] == ["m1->logits", "a1.h1->logits"]
    assert (
        named.index("m0->m1") < named.index("m0->a1.h1<v>") < named.index("m0->a1.h0<v>") < named.index("m0->a1.h1<k>")
    )


def test_our_search_keeps_what_the_plain_loop_keeps(search: Search) -> None:
    found = acdc(Task(search))
    assert found.kept["ACDC"] == found.kept["plain loop"]
    assert 0 < len(found.kept["ACDC"]) < found.edges["ACDC"] == len(Graph(n_layers=2, n_heads=2).edges)
    assert found.cost["rounds"] > 0
    assert found.figures["plain loop"].seconds > 0


def test_a_search_alone_is_reported_with_its_work(search: Search) -> None:
    found = acdc(Task(replace(search, reference=False, plain=False)))
    text = list(report(Workload(SMALL, (4, 5), search), {"causalmi": found}, "cpu"))
    assert text[0] == "### ACDC, 4 pairs of 5 tokens, KL, threshold 0.03"
    assert len(text[1].splitlines()) == 3
    assert text[2] == work_done({"causalmi": found})
    assert found.kept.keys() == {"ACDC"}
    assert text[3].startswith("Random weights")


def test_our_scores_are_of_all_edges(search: Search) -> None:
    found = eap(Task(replace(search, part="eap", reference=False)))
    edges = {str(edge) for edge in Graph(n_layers=2, n_heads=2).edges}
    assert found.scores["EAP"].keys() == found.scores["EAP-IG"].keys() == edges
    assert found.scores["EAP"] != found.scores["EAP-IG"]
    assert {"bare", "EAP", "EAP-IG"} == found.figures.keys()


def test_what_was_found_is_as_it_was_written(tmp_path: Path) -> None:
    figure = Figure("ACDC", 1.0, 0.0, 2.0, 3)
    found = Found("1", {"ACDC": figure}, {"ACDC": ["a0.h0->m0"]}, {"EAP": {"a0.h0->m0": 0.5}}, {"ACDC": 9}, {"n": 1})
    write_found(str(tmp_path), "some", found)
    assert read_found(str(tmp_path), "some") == found


@pytest.mark.parametrize(
    ("hook", "index", "expected"),
    [
        ("blocks.0.hook_resid_pre", (None,), "input"),
        ("blocks.3.hook_resid_post", (None,), "logits"),
        ("blocks.2.hook_mlp_out", (None,), "m2"),
        ("blocks.2.hook_mlp_in", (None,), "m2"),
        ("blocks.1.attn.hook_result", (None, None, 3), "a1.h3"),
        ("blocks.1.hook_k_input", (None, None, 3), "a1.h3<k>"),
    ],
)
def test_nodes_of_the_first_acdc_have_our_names(hook: str, index: tuple[int | None, ...], expected: str) -> None:
    assert circuits_acdc.name(hook, index) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("Resid Start", "input"), ("Resid End", "logits"), ("MLP 2", "m2"), ("A1.3", "a1.h3"), ("A1.3.Q", "a1.h3<q>")],
)
def test_nodes_of_auto_circuit_have_our_names(given: str, expected: str) -> None:
    assert circuits_auto_circuit.name(given) == expected


def test_a_source_is_copied_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, job = tmp_path / "given", tmp_path / "job"
    (given / "eap").mkdir(parents=True)
    (given / "eap" / "code.py").write_text("device='cuda'\nother=\"cuda\"\n")
    source = Source("Some tool", "some", "no repository", "0", "SOME_FOLDER")
    monkeypatch.setenv("SOME_FOLDER", str(given))
    source.bring(str(job), "cpu")
    assert (job / "some-source" / "eap" / "code.py").read_text() == "device='cpu'\nother=\"cpu\"\n"
    assert "'cuda'" in (given / "eap" / "code.py").read_text()
    assert (job / "some-source" / "VERSION").read_text() == "given in SOME_FOLDER"
    (given / "VERSION").write_text("1.2")
    source.bring(str(tmp_path / "again"), "cpu")
    assert (tmp_path / "again" / "some-source" / "VERSION").read_text() == "1.2"
    monkeypatch.setenv("SOME_FOLDER", str(tmp_path / "missing"))
    with pytest.raises(UnavailableError, match="SOME_FOLDER is .*missing, which is no folder"):
        source.bring(str(job), "cpu")


def test_a_source_that_git_does_not_have_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_FOLDER", raising=False)
    monkeypatch.setenv("CAUSALMI_CACHE", str(tmp_path))
    source = Source("Some tool", "some", str(tmp_path / "nothing"), "0", "SOME_FOLDER")
    with pytest.raises(UnavailableError, match="Some tool cannot be had .set SOME_FOLDER to a folder"):
        source.bring(str(tmp_path), "cpu")


def rows(text: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return {" ".join(row[:1]): row[1:] for row in cells}


@pytest.fixture
def searched() -> dict[str, Found | str]:
    def figure(name: str, seconds: float) -> Figure:
        return Figure(name, seconds, 0.0, 0.5, 2**20)

    ours = Found(
        "1", {"ACDC": figure("ACDC", 1.0), "plain loop": figure("plain loop", 30.0)},
        {"ACDC": ["a", "b"], "plain loop": ["a", "b"]}, edges={"ACDC": 9}, cost={"rounds": 4, "nodes": 5000},
    )  # fmt: skip
    peer = Found("2", {"ACDC": figure("ACDC", 10.0)}, {"ACDC": ["b", "c", "d"]}, edges={"ACDC": 11})
    return {"causalmi": ours, "ACDC": peer, "circuitkit": "circuitkit cannot be installed: no network"}


def test_the_table_of_searches(searched: dict[str, Found | str]) -> None:
    found = rows(acdc_table(searched))
    assert found["causalmi 1"] == ["1.0", "**2.0**", "1 s, 1 MB", "2 of 9", "2"]
    assert found["causalmi's engine, plain loop"] == ["30.0", "**60.0**", "30 s, 1 MB", "2 of 9", "2"]
    assert found["ACDC 2"] == ["10.0", "**20.0**", "10 s, 1 MB", "3 of 11", "1"]
    assert work_done(searched) == "Our search counts: rounds 4, nodes 5,000."


def test_the_targets_of_searches_are_judged(searched: dict[str, Found | str]) -> None:
    plain, peer = targets(searched)
    assert plain == "the plain loop of our engine / ours >= 25: yes, 30"
    assert peer == "the fastest other program / ours >= 15: no, 10"
    assert agreement(searched) == [
        "circuitkit cannot be installed: no network", "ours keeps the same edges as the plain loop of whole runs",
    ]  # fmt: skip
    searched["causalmi"] = replace(searched["causalmi"], kept={"ACDC": ["a"], "plain loop": ["b"]})  # type: ignore[type-var]
    assert agreement(searched)[1] == "ours keeps OTHER EDGES than the plain loop of whole runs"


def test_scores_are_compared() -> None:
    def figures(seconds: float, size: int) -> dict[str, Figure]:
        return {name: Figure(name, seconds, 0.0, 2.0, size * 2**20) for name in ("bare", "EAP", "EAP-IG")}

    mine = {"a": 1.0, "b": 2.0, "c": 3.0}
    ours = Found("1", figures(4.0, 10), scores={"EAP": mine, "EAP-IG": mine})
    theirs = Found("2", figures(40.0, 50), scores={"EAP": {"a": 2.0, "b": 4.0, "c": 5.0}, "EAP-IG": {"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0}})  # fmt: skip
    results: dict[str, Found | str] = {"causalmi": ours, "auto-circuit": theirs, "EAP-IG": "no git"}
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in eap_table(results).splitlines()]
    assert lines[2] == ["Hugging Face", "the bare passes", "-", "-", "**1.00**", "4 s, 10 MB"]
    assert lines[4] == ["auto-circuit 2", "EAP", "10.0", "5.0", "**20.00**", "40 s, 50 MB"]
    assert targets(results) == [
        "EAP: forward + backward passes <= 2.5: yes, 2",
        "EAP-IG: forward + backward passes <= 12: yes, 2",
        "EAP: auto-circuit / ours >= 7: yes, 10",
        "EAP: memory of auto-circuit / ours >= 10: no, 5",
        "EAP: EAP-IG / ours >= 10: not measured",
        "EAP: memory of EAP-IG / ours >= 10: not measured",
    ]
    assert agreement(results) == [
        "no git",
        "EAP of auto-circuit: Spearman correlation with ours 1.0000 over 3 edges",
        "EAP-IG of auto-circuit: Spearman correlation with ours -1.0000 over 3 edges",
    ]
