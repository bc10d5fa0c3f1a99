"""The command line, as its users and their scripts meet it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from causalmi.cli import app

ROOT = Path(__file__).parents[1]
BRACKETS = str(ROOT / "hypotheses" / "balanced_brackets.py")
EQUAL_COUNT = f"{BRACKETS}@equal_count_at_start"
EQUALITY = str(ROOT / "hypotheses" / "hierarchical_equality.py")
HANDCRAFTED = f"{EQUALITY}@handcrafted"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["run", *arguments])
    assert result.exit_code == 0, result.output
    return result


def as_json(*arguments: str) -> dict:
    return json.loads(run(*arguments, "--json").stdout)


def test_one_json_object_with_everything() -> None:
    found = as_json(EQUAL_COUNT, "--n", "300")
    assert (
        found["hypothesis"] == "equal_count_at_start" and found["model"] == "balanced-brackets" and found["seed"] == 0
    )
    (test,) = found["tests"]
    assert {"name", "value", "low", "high", "n", "control", "verdict"} <= set(test)
    assert test["name"] == "interchange[equal]" and test["n"] == 300
    assert test["low"] <= test["value"] <= test["high"]
    assert test["control"] < test["value"]


def test_the_seed_decides_and_nothing_else() -> None:
    """The same object again, for another batch size, and in processes with other hash seeds."""
    first = run(EQUAL_COUNT, "--n", "200", "--json").stdout
    assert run(EQUAL_COUNT, "--n", "200", "--json", "--batch-size", "7").stdout == first
    assert run(EQUAL_COUNT, "--n", "200", "--json", "--seed", "1").stdout != first
    command = [sys.executable, "-m", "causalmi.cli", "run", EQUAL_COUNT, "--n", "200", "--json"]
    for hash_seed in ("1", "2"):
        other = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        )
        assert other.stdout == first


def test_verdicts_of_the_shipped_claims() -> None:
    verdicts = {
        EQUAL_COUNT: "supported",
        f"{BRACKETS}@read_from_the_left": "rejected",
        HANDCRAFTED: "supported",
        f"{EQUALITY}@handcrafted_swapped": "rejected",
        f"{EQUALITY}@trained": "rejected",
    }
    assert {file: as_json(file)["verdict"] for file in verdicts} == verdicts


def test_the_table_for_people() -> None:
    result = run(HANDCRAFTED, "--n", "1024")
    assert "supported: IIA is 1.00" in result.stdout.replace("\n", " ")
    result = run(EQUALITY, "--n", "1024")
    assert "rejected: IIA is" in result.stdout.replace("\n", " ")
    assert "running trained" in result.stderr and "@handcrafted_swapped" in result.stderr


def test_parameters_reach_the_hypothesis() -> None:
    assert "attention of layer 0" in as_json(EQUAL_COUNT, "-P", "layer=0", "--n", "64")["claim"]


def test_a_run_leaves_its_record(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "one"
    printed = as_json(HANDCRAFTED, "--n", "64", "--seed", "3", "--batch-size", "16", "--out", str(out))
    record = json.loads((out / "record.json").read_text())
    assert record["status"] == "done" and record["seed"] == 3 and record["batch_size"] == 16 and record["seconds"] > 0
    assert record["hypothesis"] == "handcrafted" and len(record["sha256"]) == 64 and "torch" in record["versions"]
    assert json.loads((out / "result.json").read_text()) == printed
    assert len((out / "interchange.csv").read_text().splitlines()) == 65
    assert not list(out.glob(".*"))


def test_a_run_that_fails_says_so_in_its_record(tmp_path: Path) -> None:
    file, out = tmp_path / "claim.py", tmp_path / "out"
    file.write_text(Path(EQUALITY).read_text().replace('site.module("layer1")[0:4]', 'site.module("layer7")'))
    result = CliRunner().invoke(app, ["run", f"{file}@handcrafted", "--out", str(out)])
    assert result.exit_code == 2
    assert "layer7" in json.loads((out / "record.json").read_text())["status"]
    assert not (out / "result.json").exists()


def test_the_list_names_every_hypothesis_and_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, ["list", str(ROOT / "hypotheses")])
    assert result.exit_code == 0
    for part in (
        "equal_count_at_start",
        "read_from_the_left",
        "handcrafted",
        "repeated_name",
        "layer: int = 17",
        "tasks: task",
    ):
        assert part in result.stdout
    assert CliRunner().invoke(app, ["list", "nowhere"]).exit_code == 2


def test_every_test_of_one_claim() -> None:
    found = as_json(HANDCRAFTED, "--n", "300", "--tests", "all")
    assert [row["test"] for row in found["assessment"]] == ["observational", "local", "interchange", "scrub"]
    assert found["results"]["scrub"]["constant"] > 0 and found["results"]["interchange"]["accuracy"]["value"] == 1
    printed = run(HANDCRAFTED, "--n", "300", "--tests", "interchange,scrub").stdout
    assert "cannot see" in printed and "1.00" in printed
