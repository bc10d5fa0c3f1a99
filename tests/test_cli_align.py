"""The search for an alignment from the command line: what it leaves, how it goes on, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import causalmi as cm
from causalmi.cli import app
from causalmi.engine.featurizers.saved import load_alignment
from causalmi.methods.align.das import DAS
from causalmi.methods.align.fitting import Training
from causalmi.runs import align as runs_align
from causalmi.runs.align_options import DIMS, METHODS, Asked

ROOT = Path(__file__).parents[1]
EQUALITY = str(ROOT / "hypotheses" / "hierarchical_equality.py")
ADDITION = str(ROOT / "hypotheses" / "modular_addition.py")
SMALL = (EQUALITY, "--dims", "2", "--n", "160", "--steps", "30")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def found(*arguments: str) -> dict[str, Any]:
    result = call("align", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_constant=pytest.fail)


def refused(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("align")
    file, out = folder / "claims.py", folder / "runs" / "one"
    shutil.copy(EQUALITY, file)
    return out, found(str(file), *SMALL[1:], "--out", str(out))


def test_what_a_search_leaves(run: tuple[Path, dict[str, Any]]) -> None:
    out, printed = run
    assert json.loads((out / "result.json").read_text()) == printed
    record = json.loads((out / "record.json").read_text())
    assert record["status"] == "done" and record["command"] == "align" and record["dims"] == "2"
    table = pd.read_csv(out / "fits.csv")
    assert list(table["dims"]) == [2] and table["chosen"].all() and printed["tried"] == 1
    alignment = load_alignment(out)
    assert {v: list(map(str, sites)) for v, sites in alignment.items()} == printed["places"]
    assert set(printed["places"]) == {"left", "right"} and "module('layer1').along" in printed["places"]["left"][0]
    assert (out / "original.py").read_bytes() == Path(EQUALITY).read_bytes()
    assert (out / "interchange.csv").exists()
    assert not list(out.glob(".*")) and not (out / "checkpoint").exists()


def test_what_is_found_is_a_hypothesis_that_can_be_run(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, printed = run
    result = call("run", str(out / "hypothesis.py"), "--n", "100", "--json")
    assert result.exit_code == 0, result.output
    again = json.loads(result.stdout)
    assert again["hypothesis"] == "trained_aligned" and again["claim"] == printed["claim"]
    moved = tmp_path / "elsewhere"
    shutil.copytree(out, moved)
    assert json.loads(call("run", str(moved / "hypothesis.py"), "--n", "100", "--json").stdout) == again
    (moved / "original.py").write_text("")
    assert "has changed or is missing" in refused("run", str(moved / "hypothesis.py"))
    (moved / "alignment.safetensors").write_text("")
    shutil.copy(out / "original.py", moved)
    assert "cannot be read" in refused("run", str(moved / "hypothesis.py"))


def test_parameters_and_places_reach_the_search() -> None:
    sites = ("--site", "module('layer1')", "--site", "module('layer2', neurons=range(0, 4))")
    printed = found(*SMALL, *sites, "-P", "layer=3", "--steps", "2", "--seed", "1", "--seeds", "2")
    assert printed["tried"] == 4 and printed["seed"] == 1
    third = found(*SMALL, "-P", "layer=3", "--steps", "1")
    assert "module('layer3')" in third["places"]["left"][0]


def test_the_table_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = call("align", *SMALL, "--steps", "2")
    assert result.exit_code == 0, result.output
    assert "DAS: 1 of 1 alignments taken" in result.stdout and "left + right" in result.stdout
    assert "…" not in result.stdout and "searched in an" in result.stdout


def interrupted(monkeypatch: pytest.MonkeyPatch, out: Path, step: int) -> Result:
    """A search that is stopped, as by Ctrl-C, at a step."""
    learn = Training._learn

    def stops(self: Training) -> None:
        if self.step == step:
            raise KeyboardInterrupt
        learn(self)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_learn", stops)
        return call("align", *SMALL, "--out", str(out))


def test_an_interrupted_search_goes_on(
    run: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    result = interrupted(monkeypatch, out, 27)
    assert result.exit_code == 130 and "the same command goes on" in result.output
    assert json.loads((out / "record.json").read_text())["status"].startswith("KeyboardInterrupt")
    assert not (out / "result.json").exists() and list((out / "checkpoint").glob("*.safetensors"))

    said = refused("align", *SMALL, "--seed", "1", "--out", str(out))
    assert "unfinished run with seed 0, not seed 1" in said
    begun, learn = list[int](), Training._learn
    monkeypatch.setattr(Training, "_learn", lambda self: (begun.append(self.step), learn(self))[1])
    assert found(*SMALL, "--out", str(out)) == run[1]
    assert begun[0] == 25  # it began where it had stopped; the controls begin at 0
    assert load_alignment(out) == load_alignment(run[0]) and not (out / "checkpoint").exists()
    assert "already holds a run" in refused("align", *SMALL, "--out", str(out))


MISTAKES = {
    "--method best": "no method 'best'; there are das,",
    "--method brute": "needs --dims",
    "--method brute --dims 1 --steps 5": "--steps is not for brute",
    "--method boundless --dims 2": "--dims is not for boundless",
    "--dims many": "give a whole number, or several",
    "--dims 0": "dims is 0",
    "--dims 9": "which leaves nothing to be learned",
    "--steps 0": "steps is 0",
    "--site layer1": "is no site",
    "--site module('layer9')": "layer9",
    "-P layer": "no assignment",
}


@pytest.mark.parametrize("options", MISTAKES)
def test_a_mistake_is_told_in_a_sentence(options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "_learn", pytest.fail)
    out = tmp_path / "out"
    assert MISTAKES[options] in refused("align", EQUALITY, "--n", "160", *options.split(), "--out", str(out))
    assert not (out / "result.json").exists()


def test_a_claim_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_align, "align", pytest.fail)
    file = tmp_path / "claim.py"
    file.write_text(Path(ADDITION).read_text().replace("model=NETWORK", "model=None"))
    assert "names no model" in refused("align", str(file))


def test_every_method_has_its_name() -> None:
    for name in METHODS:
        method = Asked(method=name, dims=None if name in ("boundless", "dbm") else "2").how()
        if name in DIMS:
            assert getattr(method, DIMS[name]) == 2
    assert Asked(dims="1,4", steps=7, seeds=2).how() == DAS(dims=(1, 4), steps=7, seeds=2)
    assert Asked(sites=["resid_post(1, at='last')"]).where() == (cm.site.resid_post(1, at="last"),)
    assert Asked().where() is None


@pytest.mark.slow
@pytest.mark.parametrize("file", [EQUALITY, ADDITION])
def test_the_first_claims_of_the_shipped_files_are_aligned(file: str, tmp_path: Path) -> None:
    printed = found(file, "--method", "das", "--dims", "8", "--out", str(tmp_path / "out"))
    assert printed["verdict"] == "supported", printed["sentence"]
    again = json.loads(call("run", str(tmp_path / "out" / "hypothesis.py"), "--seed", "1", "--json").stdout)
    assert again["verdict"] == "supported", again["sentence"]
