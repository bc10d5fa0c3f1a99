"""The search for a circuit from the command line: what it leaves, how it goes on, and what it refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import causalmi as cm
from causalmi.cli import app
from causalmi.methods.circuits.search import Search
from causalmi.runs import discover as runs_discover
from causalmi.runs.circuit_options import ABLATIONS, METHODS, Asked, How
from causalmi.runs.circuit_pairs import pairs_for
from causalmi.runs.hypothesis_file import read_file

ROOT = Path(__file__).parents[1]
BRACKETS = str(ROOT / "hypotheses" / "balanced_brackets.py")
ADDITION = str(ROOT / "hypotheses" / "modular_addition.py")
SMALL = (ADDITION, "--n", "32")
ACDC = ("--method", "acdc", "--threshold", "0.5")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def found(*arguments: str) -> dict[str, Any]:
    result = call("discover", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_constant=pytest.fail)


def refused(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def test_what_a_search_leaves(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "one"
    printed = found(*SMALL, "--out", str(out))
    assert json.loads((out / "result.json").read_text()) == printed
    record = json.loads((out / "record.json").read_text())
    assert record["status"] == "done" and record["command"] == "discover" and record["n"] == 32
    circuit = cm.Circuit.from_json(out / "circuit.json")
    assert sorted(map(str, circuit.edges)) == sorted(printed["edges"]) and len(circuit) == printed["n_edges"]
    scores, table = cm.scores_from_json(out / "circuit.json"), pd.read_csv(out / "scores.csv")
    assert scores[circuit.graph.exists] == pytest.approx(table["score"])
    drawing = ElementTree.parse(out / "circuit.svg").getroot()
    assert len(drawing.findall(".//{*}path[@data-edge]")) == len(circuit)
    assert set(pd.read_csv(out / "random.csv")["kind"]) == {"walk", "uniform"}
    assert not list(out.glob(".*")) and not (out / "checkpoint.json").exists()


def test_the_table_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = call("discover", *SMALL, *ACDC)
    assert result.exit_code == 0, result.output
    assert "100 random (walk)" in result.stdout and "m0->logits" in result.stdout and "…" not in result.stdout
    assert re.search("(supported|inconclusive): faithfulness is", result.stdout)


def test_the_seed_decides_and_nothing_else() -> None:
    arguments = ["discover", *SMALL, *ACDC, "--json"]
    first = call(*arguments).stdout
    assert call(*arguments, "--seed", "1").stdout != first
    command = [sys.executable, "-m", "causalmi.cli", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert other.stdout == first


def test_other_batches_find_the_same_circuit() -> None:
    whole, parts = (found(*SMALL, *more) for more in ((), ("--batch-size", "5")))
    assert whole["edges"] == parts["edges"]
    assert whole["faithfulness"]["value"] == pytest.approx(parts["faithfulness"]["value"], abs=1e-5)


def interrupted(monkeypatch: pytest.MonkeyPatch, out: Path, *arguments: str) -> Result:
    """A search that is stopped, as by Ctrl-C, at its fourth receiver."""
    receiver, seen = Search._receiver, list[int]()

    def stops(self: Search, *given: Any) -> None:
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        receiver(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Search, "_receiver", stops)
        return call("discover", *arguments, "--out", str(out))


def test_an_interrupted_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    result = interrupted(monkeypatch, out, *SMALL, *ACDC)
    assert result.exit_code == 130 and "the same command goes on" in result.output
    assert json.loads((out / "record.json").read_text())["status"].startswith("KeyboardInterrupt")
    assert not (out / "result.json").exists() and (out / "checkpoint.json").exists()

    done = len(json.loads((out / "checkpoint.json").read_text())["decisions"])
    runs, receiver = list[Any](), Search._receiver
    monkeypatch.setattr(
        Search, "_receiver", lambda self, *given: (runs.append(len(self.decisions)), receiver(self, *given))[1]
    )
    assert found(*SMALL, *ACDC, "--out", str(out)) == found(*SMALL, *ACDC)
    assert runs[0] == done > 0  # it began where it had stopped


def test_a_folder_takes_one_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    interrupted(monkeypatch, out, *SMALL, *ACDC)
    before = (out / "record.json").read_text()
    monkeypatch.setattr(runs_discover, "find_circuit", pytest.fail)
    said = refused("discover", *SMALL, *ACDC, "--seed", "1", "--out", str(out))
    assert "unfinished run with seed 0, not seed 1" in said
    assert "not done" in refused("evaluate", str(out))
    assert (out / "record.json").read_text() == before
    (out / "result.json").write_text("{}")
    assert "already holds a run" in refused("discover", *SMALL, *ACDC, "--out", str(out))


MISTAKES = {
    "--method best": "no method 'best'; there are acdc, eap,",
    "--method acdc": "needs --threshold",
    "--method acdc --threshold nan": "threshold is nan",
    "--method acdc --threshold 0.1 --edges 5": "leave --edges",
    "--threshold 0.1": "--threshold is not for eap-ig",
    "--method exact --steps 5": "--steps is not for exact",
    "--steps 0": "steps is 0",
    "--edges 5 --faithfulness 0.5": "one of them",
    "--edges 24": "--edges is 24, and modular-addition has 23",
    "--faithfulness nan": "faithfulness is nan",
    "--metric best": "the metric is 'best'",
    "--ablation fire": "no ablation 'fire'; there are paired,",
    "--method eap --metric kl": "minimum",
    "-P keys": "no assignment",
}


@pytest.mark.parametrize("options", MISTAKES)
def test_a_mistake_is_told_in_a_sentence(options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_discover, "evaluate_circuit", pytest.fail)
    out = tmp_path / "out"
    assert MISTAKES[options] in refused("discover", *SMALL, *options.split(), "--out", str(out))
    assert not (out / "result.json").exists()


def test_hypotheses_that_cannot_be_searched(tmp_path: Path) -> None:
    file = tmp_path / "claim.py"
    file.write_text(Path(ADDITION).read_text().replace("model=NETWORK", "model=None"))
    assert "names no model" in refused("discover", str(file))
    equality = str(ROOT / "hypotheses" / "hierarchical_equality.py")
    assert "no graph of edges" in refused("discover", equality, "--n", "32")
    assert "no file" in refused("discover", str(tmp_path / "none.py"))


def test_evaluate_judges_on_the_same_pairs(tmp_path: Path) -> None:
    file, out, judged = tmp_path / "claim.py", tmp_path / "out", tmp_path / "judged"
    file.write_text(Path(ADDITION).read_text())
    first = found(str(file), "--n", "32", "-P", "keys=1 6", "--out", str(out))["evaluation"]
    result = call("evaluate", str(out), "--tests", "faithfulness", "--json", "--out", str(judged))
    assert result.exit_code == 0, result.output
    again = json.loads(result.stdout)
    assert again["tests"] == first["tests"] and again["own"] == first["own"]
    assert json.loads((judged / "result.json").read_text()) == again and (judged / "evaluation.csv").exists()
    more = call("evaluate", str(out), "--tests", "faithfulness,sufficiency", "--controls", "walk", "--n-random", "25")
    assert "faithfulness[bootstrap]" in more.stdout and "sufficiency" in more.stdout

    whole = (out / "result.json").read_text()
    (out / "result.json").write_text(whole.replace('"held_out": "', '"held_out": "0'))
    assert "search anew" in refused("evaluate", str(out), "--tests", "faithfulness")
    (out / "result.json").write_text(whole)
    assert "no test 'best'" in refused("evaluate", str(out), "--tests", "best")
    assert "holds no run" in refused("evaluate", str(tmp_path))
    assert "no run of `causalmi discover`" in refused("evaluate", str(judged))
    file.write_text(file.read_text() + "\n")
    assert "has changed" in refused("evaluate", str(out))


def test_every_method_and_ablation_has_its_name() -> None:
    needed = {"acdc": {"threshold": 0.1}, "edge-pruning": {"edges": 5}}
    for name, kind in METHODS.items():
        how = How.of(Asked(method=name, **needed.get(name, {})))
        assert type(how.method) is kind and (how.select is None) == (name == "acdc")
    assert How.of(Asked(steps=7)).method == cm.EAPIG(steps=7)
    assert How.of(Asked(edges=9)).select == cm.TopN(9)
    assert How.of(Asked(method="eap")).metric == "logit_diff" and How.of(Asked()).metric == "kl"
    for name, ablation in ABLATIONS.items():
        assert How.of(Asked(ablation=name)).ablation is ablation


def test_pairs_have_two_answers_and_one_length() -> None:
    hypothesis = read_file(Path(BRACKETS)).get("equal_count_at_start")()  # strings of any length
    model = cm.load_model(hypothesis.model)
    pairs = pairs_for(hypothesis.task, model, 12, seed=0, alike=True)
    assert len(pairs) == 12 and len(set(pairs.lengths.tolist())) > 1 and set(pairs.base_labels.tolist()) == {0, 1}
    assert (pairs.base_labels != pairs.source_labels["balanced"]).all()
    assert (pairs.base.lengths == pairs.source.lengths).all()
    again = pairs_for(hypothesis.task, model, 12, seed=0, alike=True)
    assert again.base.key() == pairs.base.key() and again.source.key() == pairs.source.key()
    hopeless = cm.Task(hypothesis.task.model, encode=lambda v: [0, 1, 2, 3], label=lambda v: 1)
    with pytest.raises(cm.errors.UsageError, match="only 0 of 16 inputs of .*--ablation mean"):
        pairs_for(hopeless, model, 2, seed=0, alike=True)


@pytest.mark.slow
@pytest.mark.parametrize("file", [BRACKETS, ADDITION])
@pytest.mark.parametrize("options", ["", "--method acdc --threshold 0.01"])
def test_the_shipped_networks_have_circuits(file: str, options: str) -> None:
    result = found(file, *options.split())
    assert result["evaluation"]["verdict"] == "supported", result["evaluation"]["sentence"]
