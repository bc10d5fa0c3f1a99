"""A search that was interrupted, wherever that was, goes on to the very result that it would have had."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import UsageError
from causalmi.methods.align.align import align
from causalmi.methods.align.boundless import BoundlessDAS
from causalmi.methods.align.das import DAS
from causalmi.methods.align.dbm import DBM
from causalmi.methods.align.fitting import Training
from causalmi.methods.align.method import Trained
from causalmi.methods.align.multitask import MultiTaskDAS
from causalmi.results.alignment import AlignmentResult
from causalmi.runs.hypothesis_file import read_file

ROOT = Path(__file__).parents[3]
METHOD = DAS(dims=(1, 3), steps=20, check=6, batch=32)
PLACES = [site.module("layer1"), site.module("layer2")]


def search(checkpoint: Path | None = None, **how: Any) -> AlignmentResult:
    told = read_file(ROOT / "hypotheses" / "hierarchical_equality.py").get("trained")()
    how = {"method": METHOD, "sites": PLACES, "n": 200, "controls": (), "seed": 3, **how}
    return align(told, checkpoint=checkpoint, **how)


@cache
def whole() -> AlignmentResult:
    return search()


def same(one: AlignmentResult, other: AlignmentResult) -> None:
    pd.testing.assert_frame_equal(one.frame, other.frame, check_exact=True)
    assert one.number == other.number and one.to_dict() == other.to_dict()
    for variable in one.hypothesis.variables:
        for a, b in zip(one.hypothesis.sites(variable), other.hypothesis.sites(variable), strict=True):
            assert a == b  # of bases: the same bytes


def stop_at(*calls: int) -> Callable[[str, int, int], None]:
    """A progress callback that interrupts at these of its calls."""
    seen = []

    def progress(stage: str, done: int, total: int) -> None:
        seen.append(1)
        if len(seen) in calls:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("calls", [(1,), (6,), (13,), (20,), (21,), (29, 5), (5, 10, 16, 3)])
def test_it_goes_on_to_the_same_result(calls: tuple[int, ...], tmp_path: Path) -> None:
    for call in calls:
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, progress=stop_at(call))
    same(search(tmp_path), whole())


OTHERS = [
    DAS(dims=(1, 3), nested=True, steps=14, check=4, batch=32),
    BoundlessDAS(steps=14, check=4, batch=32),
    DBM(gate="hard_concrete", penalty=(0.1, 1.0), steps=14, check=4, batch=32),
    DBM(gate="budget", features=3, steps=14, check=4, batch=32),
    MultiTaskDAS(dims=2, steps=14, check=4, batch=32, patience=1),
]


@pytest.mark.parametrize("method", OTHERS, ids=lambda m: f"{m.name}-{getattr(m, 'gate', '')}")
def test_every_way_of_training_goes_on_alike(method: Trained, tmp_path: Path) -> None:
    for step in (5, 9):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, method=method, sites=PLACES[:1], progress=stop_at(step))
    same(search(tmp_path, method=method, sites=PLACES[:1]), search(method=method, sites=PLACES[:1]))


def test_it_begins_where_it_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, progress=stop_at(20 + 8))  # in the second place, two steps after the first check
    wanted = whole()  # before its steps would be counted
    begun, learn = list[int](), Training._learn
    monkeypatch.setattr(Training, "_learn", lambda self: (begun.append(self.step), learn(self))[1])
    same(search(tmp_path), wanted)
    assert begun == list(range(6, 20))
    same(search(tmp_path), wanted)
    assert len(begun) == 14  # all was done


def test_a_step_that_takes_long_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causalmi.methods.align.checkpoint.SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, progress=stop_at(3))
    wanted = whole()  # before its steps would be counted
    begun, learn = list[int](), Training._learn
    monkeypatch.setattr(Training, "_learn", lambda self: (begun.append(self.step), learn(self))[1])
    same(search(tmp_path), wanted)
    assert begun[0] == 3


KILLED = """
import os, sys
from pathlib import Path
from tests.methods.align.test_checkpoint import search
calls = []
def progress(*_):
    calls.append(1)
    if len(calls) == 33:
        os.kill(os.getpid(), 9)
search(Path(sys.argv[1]), progress=progress)
"""


def test_the_folder_of_a_killed_process_is_usable(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    same(search(tmp_path), whole())


CHANGES: dict[str, dict[str, Any]] = {
    "seed": {"seed": 4},
    "method": {"method": DAS(dims=(1, 3), steps=20, check=6, batch=32, lr=0.11)},
    "pairs": {"n": 201},
    "places": {"sites": PLACES[:1]},
}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, progress=stop_at(7))
    return tmp_path


@pytest.mark.parametrize("change", CHANGES)
def test_another_search_is_refused(change: str, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "_learn", pytest.fail)
    with pytest.raises(UsageError, match="is of another search"):
        search(begun, **CHANGES[change])


def test_another_network_is_refused(begun: Path) -> None:
    told = read_file(ROOT / "hypotheses" / "hierarchical_equality.py").get("trained")()
    net = cm.testbeds.load(told.model)
    next(net.parameters()).data[0, 0] += 1e-6
    with pytest.raises(UsageError, match="is of another search"):
        align(told, net, method=METHOD, sites=PLACES, n=200, controls=(), seed=3, checkpoint=begun)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[:-9],
    "text": lambda _: b"what is this",
    "no state": lambda content: content.replace(b'"__metadata__"', b'"__metadatu__"'),
    "other points": lambda content: content.replace(b'\\"taken\\": [', b'\\"takem\\": ['),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told_in_a_sentence(damage: str, begun: Path) -> None:
    (file,) = begun.glob("*.safetensors")
    content = file.read_bytes()
    file.write_bytes(DAMAGES[damage](content))
    assert file.read_bytes() != content
    with pytest.raises(UsageError, match="is no checkpoint of a search"):
        search(begun)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(UsageError, match="cannot be written"):
        search(tmp_path / "file")
    (tmp_path / "search.json").write_text("text")
    with pytest.raises(UsageError, match="is no checkpoint of a search"):
        search(tmp_path)
    (tmp_path / "search.json").write_text(json.dumps({"version": 99}))
    with pytest.raises(UsageError, match="is of another search"):
        search(tmp_path)
