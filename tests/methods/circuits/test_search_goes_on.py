"""A search gives one circuit: in any process, after any interruption; and refuses what has none, before any run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi.errors import CausalmiError, DataError, ModelError, PositionError, SpecError, UsageError
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.search import Search
from tests import family_networks as families
from tests.contract.test_sweeps import Before
from tests.methods.circuits.random_searches import Case, gpt2
from tests.networks import draw_tokens, mlp

METHOD = cm.ACDC(threshold=0.02)


def pairs(n: int = 6, **how: Any) -> cm.CounterfactualPairs:
    base, source = draw_tokens(n, 1) % 7, draw_tokens(n, 2) % 7
    how = {"answer": torch.arange(n) % 7, "foil": torch.arange(1, n + 1) % 7, **how}
    return cm.CounterfactualPairs.from_tokens(base, source, **how)


def find(net: Any = None, given: Any = None, **how: Any) -> cm.CircuitResult:
    how = {"metric": "logit_diff", "method": METHOD, "split": None, "batch_size": 4, **how}
    return cm.find_circuit(gpt2(2) if net is None else net, pairs() if given is None else given, **how)


def same(one: cm.CircuitResult, other: cm.CircuitResult) -> None:
    assert one.circuit == other.circuit and one.losses == other.losses
    assert one.frame[["sender", "receiver", "kept"]].equals(other.frame[["sender", "receiver", "kept"]])
    np.testing.assert_allclose(one.frame["effect"], other.frame["effect"], atol=1e-12)
    assert one.faithfulness == other.faithfulness and one.settings == other.settings


SCRIPT = """
import torch; torch.set_num_threads(1)
from tests.methods.circuits.test_search_goes_on import find, cm
for method in (cm.ACDC(threshold=.02), cm.ACDC(threshold=.02, senders="random", heads="random")):
    found = find(method=method)
    print([str(e) for e in sorted(found.circuit.edges)], found.frame.to_csv(), found.losses)
"""


@pytest.mark.slow  # whole processes, which other tests start more cheaply
def test_every_process_finds_one_circuit() -> None:
    """Whatever the order of sets and dictionaries of strings is there."""
    root = Path(__file__).parents[3]
    told = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT], cwd=root, check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert told[0] == told[1] and "m1->logits" in told[0]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 6, 100])
def test_any_batch_size_finds_one_circuit(batch_size: int) -> None:
    same_as = find(batch_size=4)
    found = find(batch_size=batch_size)
    assert found.circuit == same_as.circuit and 0 < len(found.circuit) < 40
    assert found.losses == pytest.approx(same_as.losses, abs=1e-12)
    assert found.margin is not None and found.margin > 1e-6  # else this shows little


class Stop:
    """A progress callback that interrupts the search at its k-th call."""

    def __init__(self, k: int) -> None:
        self.left = k

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1


@pytest.mark.parametrize("k", [0, 1, 4, 8, 12])
def test_an_interrupted_search_leaves_no_trace_and_goes_on(k: int, tmp_path: Path) -> None:
    net, file = gpt2(2).train(), tmp_path / "search.json"
    net.transformer.h[1].eval()
    net.transformer.h[0].mlp.c_fc.weight.requires_grad_(False)
    whole, before = find(net), Before(net)
    before.is_now()
    with pytest.raises(KeyboardInterrupt):
        find(net, checkpoint=file, progress=Stop(k))
    before.is_now()
    kept = len(json.loads(file.read_text())["decisions"])
    with pytest.raises(KeyboardInterrupt):
        find(net, checkpoint=file, progress=Stop(k + 1))
    assert kept < len(json.loads(file.read_text())["decisions"]) < len(whole.frame)
    found = find(net, checkpoint=file)
    before.is_now()
    same(found, whole)
    assert found.cost is not None and whole.cost is not None and found.cost.rounds < whole.cost.rounds
    again = find(net, checkpoint=file)
    same(again, whole)
    assert again.cost is not None and again.cost.rounds == 0
    assert [path.name for path in tmp_path.iterdir()] == ["search.json"]


@pytest.mark.parametrize("number", [1, 3, 8, 10])
def test_a_search_goes_on_from_any_receiver(number: int) -> None:
    """With grouped heads, classes of positions, padding: the state is rebuilt from the decisions alone."""
    problem = Case(number).problem(100)
    method = replace(Case(number).method(0.01), absolute=False)
    stages: list[list] = []
    whole = Search.begin(problem, method).run(after=lambda decisions: stages.append([*decisions]))
    for done in stages[:: max(1, len(stages) // 6)]:
        found = Search.begin(problem, method).run(done)
        assert np.array_equal(found.kept, whole.kept)
        assert [(d.place, d.kept) for d in found.decisions] == [(d.place, d.kept) for d in whole.decisions]
        assert found.baseline == pytest.approx(whole.baseline, abs=1e-10)


def swapped() -> Any:
    """Other weights with the same sums."""
    net = gpt2(2)
    weight = net.transformer.h[0].mlp.c_fc.weight
    with torch.no_grad():
        weight[:, :2] = weight[:, [1, 0]].clone()
    return net


OTHERS: dict[str, Callable[[], dict[str, Any]]] = {
    "weights": lambda: {"net": swapped()},
    "answers": lambda: {"given": pairs(answer=torch.zeros(6, dtype=torch.long))},
    "foils": lambda: {"given": pairs(foil=torch.tensor([3, 3, 5, 6, 6, 0]))},
    "pairs": lambda: {"given": pairs(5)},
    "mask": lambda: {"given": pairs(mask=torch.arange(5).expand(6, 5) > 0)},
    "metric": lambda: {"metric": "kl"},
    "ablation": lambda: {"ablation": cm.Zero()},
    "bias": lambda: {"ablation": cm.Zero(bias="ablate")},
    "seed": lambda: {"seed": 1},
    "threshold": lambda: {"method": cm.ACDC(threshold=0.03)},
    "absolute": lambda: {"method": cm.ACDC(threshold=0.02, absolute=True)},
    "order": lambda: {"method": cm.ACDC(threshold=0.02, senders="earliest")},
    "graph": lambda: {"graph": cm.graph_of(cm.load_model(gpt2(2)), split_qkv=False)},
    "among": lambda: {"among": cm.Circuit.full(cm.graph_of(cm.load_model(gpt2(2)))) - one_edge()},
}


def one_edge() -> cm.Circuit:
    return cm.Circuit(cm.graph_of(cm.load_model(gpt2(2))), frozenset([cm.Edge("input", "logits")]))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("search") / "search.json"
    with pytest.raises(KeyboardInterrupt):
        find(checkpoint=file, progress=Stop(3))
    return file.read_text()


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_search_is_refused(name: str, checkpoint: str, tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    file.write_text(checkpoint)
    with pytest.raises(UsageError, match="of another search"):
        find(checkpoint=file, **OTHERS[name]())
    assert file.read_text() == checkpoint


@pytest.mark.parametrize("at_once", [1, 16])
def test_how_it_is_computed_is_no_part_of_what_a_search_is(at_once: int, checkpoint: str, tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    file.write_text(checkpoint)
    found = find(checkpoint=file, batch_size=2, method=cm.ACDC(threshold=0.02, at_once=at_once))
    assert found.circuit == find().circuit


DAMAGED: dict[str, Callable[[str], str]] = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "list": lambda text: "[]",
    "no decisions": lambda text: json.dumps({**json.loads(text), "decisions": None}),
    "short row": lambda text: json.dumps({**json.loads(text), "decisions": [[0, 1, 2]]}),
    "kept is text": lambda text: json.dumps({**json.loads(text), "decisions": [[0, 1, 0, "no", 0.1]]}),
    "effect is text": lambda text: json.dumps({**json.loads(text), "decisions": [[0, 1, 0, False, "0.1"]]}),
    "no such edge": lambda text: json.dumps({**json.loads(text), "decisions": [[0, 999, 0, True, 0.1]]}),
    "an edge backwards": lambda text: json.dumps({**json.loads(text), "decisions": [[0, 0, 3, True, 0.1]]}),
    "later version": lambda text: json.dumps({**json.loads(text), "version": 99}),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_checkpoint_is_refused(how: str, checkpoint: str, tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    file.write_text(DAMAGED[how](checkpoint))
    with pytest.raises(UsageError, match=r"no checkpoint of a search|of another search"):
        find(checkpoint=file)


def test_a_checkpoint_in_no_folder_is_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "search.json", tmp_path):
        with pytest.raises(UsageError, match="folder"):
            find(checkpoint=path, progress=Stop(0))


def the_method() -> cm.ACDC:
    return METHOD


def among_of_another() -> dict[str, Any]:
    return {"among": cm.Circuit.full(cm.Graph(n_layers=1, n_heads=2))}


REFUSED: dict[str, tuple[type[CausalmiError], str, Callable[[], dict[str, Any]]]] = {
    "threshold": (SpecError, "nan", lambda: {"make": partial(cm.ACDC, threshold=float("nan"))}),
    "senders": (SpecError, "senders", lambda: {"make": partial(cm.ACDC, threshold=0.1, senders="last")}),
    "method": (SpecError, "give ACDC", lambda: {"method": "acdc"}),
    "select": (SpecError, "leave select out", lambda: {"select": cm.TopN(3)}),
    "no select": (SpecError, "select is None", lambda: {"method": cm.EAP()}),
    "among another": (SpecError, "among", among_of_another),
    "among edges": (SpecError, "give a Circuit", lambda: {"among": {cm.Edge("input", "logits")}}),
    "graph": (ModelError, "one network's graph", lambda: {"graph": cm.Graph(n_layers=1, n_heads=2)}),
    "neurons": (SpecError, "neurons", lambda: {"graph": cm.graph_of(cm.load_model(gpt2(2)), neurons=True)}),
    "gemma2": (ModelError, "no graph", lambda: {"net": families.gemma2(attention="eager")}),
    "bert": (ModelError, "no graph", lambda: {"net": families.bert()}),
    "mlp": (ModelError, "no graph", lambda: {"net": mlp()}),
    "metric": (DataError, "accurate", lambda: {"metric": "accurate"}),
    "no foil": (DataError, "foil", lambda: {"given": pairs(foil=None)}),
    "no answer": (DataError, "answer", lambda: {"given": pairs(answer=None, foil=None), "metric": "cross_entropy"}),
    "batch": (DataError, "batch_size", lambda: {"batch_size": 0}),
    "split": (DataError, "split", lambda: {"split": (0.5, 0.5)}),
    "ablation": (SpecError, "ablation", lambda: {"ablation": "zero"}),
    "position": (
        PositionError, "none of", lambda: {"graph": cm.graph_of(cm.load_model(gpt2(2)), positions=("0", "1"))},
    ),
    "positions twice": (
        PositionError, "overlap",
        lambda: {"graph": cm.graph_of(cm.load_model(gpt2(2)), positions=("0", "-5", "rest"))},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_circuit_is_refused_before_any_pass(name: str) -> None:
    error, says, how = REFUSED[name]
    given = how()
    net = given.pop("net", None) or gpt2(2)
    model, passes = cm.load_model(net), list[int]()
    net.register_forward_pre_hook(lambda *_: passes.append(1))
    for part in net.modules():
        part.register_forward_pre_hook(lambda *_: passes.append(1))
    make = given.pop("make", the_method)
    with pytest.raises(error, match=says):
        find(model, **{"method": make(), **given})
    assert passes == []


@pytest.mark.parametrize("where", ["transformer.h.1.mlp.c_proj.weight", "lm_head.weight", "transformer.wte.weight"])
@pytest.mark.parametrize("ablation", [None, cm.Zero(), cm.Mean()], ids=str)
def test_nan_weights_never_give_a_circuit(where: str, ablation: Any) -> None:
    net = gpt2(2)
    with torch.no_grad():
        net.get_parameter(where)[0, 0] = float("nan")
    with pytest.raises(CausalmiError):
        find(net, ablation=ablation)


def test_a_loss_that_is_not_a_number_without_some_edge_stops_the_search() -> None:
    """The clean loss is finite; only where an edge is gone it is not."""

    def odd(logits: torch.Tensor, target: Any) -> torch.Tensor:
        same = (logits - CLEAN[: len(logits)]).abs().amax(1) < 1e-9 if len(logits) <= len(CLEAN) else None
        return torch.where(same, 1.0, torch.nan) if same is not None else logits[:, 0] * torch.nan

    net, given = gpt2(2), pairs()
    CLEAN = Problem.of(cm.load_model(net), given).batch(slice(0, 6)).net.clean_logits
    with pytest.raises(ModelError, match="nan"):
        find(net, given, metric=odd, batch_size=None)
