"""Two compiled programs, whose true edges are known for each ablation: the search finds them, in any order."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import causalmi as cm
from causalmi.methods.ablation import Ablation, AblationData, Replacement
from causalmi.methods.circuits.exact import ExactPatching
from causalmi.methods.circuits.order_stability import order_stability
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.search import Search
from causalmi.methods.circuits.sweep import sweep

MODELS = Path(__file__).parents[2].parent / "shared" / "models"
pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason="the folder of third-party networks is not here")

MSE = cm.Metric("mse", lambda logits, target: (logits - target.clean).square().mean(1), ("clean",), "lower")
SMALL = 1e-9  # a threshold that every edge which does anything passes; float32 weights leave 1e-13
CHAIN = ["embed->m0", "m0->a1.h0<v>", "a1.h0->logits"]
PROPORTION = [*CHAIN, "pos_embed->a1.h0<q>", "pos_embed->a1.h0<k>"]
LOOKUP = ["pos_embed->m1", "m1->m2", "m2->a3.h0<q>", "pos_embed->a3.h0<k>"]
ANSWER = ["embed->a3.h0<v>", "a3.h0->logits"]
LENGTH = {"embed->a0.h0<v>": 4 / 9, "a0.h0->m0": 4 / 9, "embed->m1": 2 / 9, "embed->m0": 1 / 3, "m0->m1": 1 / 3}
REVERSE = [*LENGTH, *LOOKUP, *ANSWER]


@cache
def load(name: str) -> cm.Model:
    config = json.loads((MODELS / name / "config.json").read_text())
    weights = {key: w.double() for key, w in load_file(MODELS / name / "model.safetensors").items()}
    return cm.load_model(cm.load_transformer_lens(config, weights))


def words() -> torch.Tensor:
    """All 256 of four letters, after the first token."""
    return torch.tensor([[0, *word] for word in product((2, 3, 4, 5), repeat=4)])


def some_words() -> torch.Tensor:
    """The 40 that the published numbers are of."""
    return words()[torch.randperm(256, generator=torch.Generator().manual_seed(1))[:40]]


def orders() -> torch.Tensor:
    """The 6 of three letters."""
    return torch.tensor([[3, *order] for order in permutations((0, 1, 2))])


def pairs_of(tokens: torch.Tensor, source: torch.Tensor) -> cm.CounterfactualPairs:
    """The output counts at each position but the first: a copy of each example for each of them, which is read there."""
    n, length = tokens.shape
    copies = length - 1
    made = cm.CounterfactualPairs.from_tokens(tokens.repeat(copies, 1), source.repeat(copies, 1))
    spans = {"read": tuple((at,) for at in range(1, length) for _ in range(n))}
    assert made.tensors is not None
    tensors = replace(made.tensors, base=replace(made.tensors.base, spans=spans))
    return replace(made, tensors=tensors, task=SimpleNamespace(readout="read"))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Scrambled(Ablation):
    """The source's values in a network whose position embeddings are in another order."""

    order: tuple[int, ...]

    def replacement(self, data: AblationData, sites: Sequence[Any]) -> Replacement:
        other = load.__wrapped__("tracr-reverse")
        with torch.no_grad():
            other.module.pos_embed.weight.copy_(other.module.pos_embed.weight[list(self.order)].clone())
        return Replacement(lambda rows: other.capture(data.source.rows(rows), sites))


RESAMPLED = {"tracr-reverse": lambda x: x.roll(1, 0), "tracr-xproportion": lambda x: x[derangement()]}


def derangement() -> torch.Tensor:
    found = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert not (found == torch.arange(40)).any()
    return found


@cache
def problem(name: str, ablation: Any = None, *, merged: bool = False, every: bool = False) -> Problem:
    model = load(name)
    tokens = orders() if name == "tracr-reverse" else words() if every else some_words()
    source = tokens if every else RESAMPLED[name](tokens)
    graph = cm.graph_of(model, split_embeddings=not merged)
    return Problem.of(model, pairs_of(tokens, source), metric=MSE, ablation=ablation, graph=graph)


def found(where: Problem, threshold: float = SMALL, **how: Any) -> cm.Circuit:
    search = Search.begin(where, cm.ACDC(threshold=threshold, **how)).run()
    return cm.Circuit.of(where.graph, search.kept)


def circuit(where: Problem, edges: Any) -> cm.Circuit:
    return cm.Circuit(where.graph, frozenset(cm.Edge(*edge.split("->")) for edge in edges))


def all_ablated(where: Problem) -> float:
    clean, ablated = where.ends()
    assert np.abs(clean).max() == 0
    return float(ablated.mean())


@pytest.mark.parametrize(
    ("name", "split", "merged"), [("tracr-xproportion", 32, 23), ("tracr-reverse", 94, 77)]
)  # fmt: skip
def test_how_many_edges_there_are(name: str, split: int, merged: int) -> None:
    assert len(problem(name).graph.edges) == split
    assert len(problem(name, merged=True).graph.edges) == merged


@pytest.mark.parametrize(
    ("name", "ablation", "every", "loss"),
    [
        ("tracr-xproportion", cm.Zero(), True, 0.1602),
        ("tracr-xproportion", cm.Zero(), False, 0.156076),
        ("tracr-xproportion", cm.MeanPositional(), False, 0.091662),
        ("tracr-xproportion", None, False, 0.208681),
        ("tracr-reverse", cm.Zero(), False, 0.333333),
        ("tracr-reverse", cm.MeanPositional(), False, 0.222222),
        ("tracr-reverse", None, False, 0.518518),
    ],
    ids=str,
)
def test_the_loss_with_everything_ablated(name: str, ablation: Any, every: bool, loss: float) -> None:
    places = 4 if every else 6
    assert all_ablated(problem(name, ablation, every=every)) == pytest.approx(loss, abs=0.6 * 10**-places)


SETTINGS = [
    ("tracr-xproportion", cm.Zero(), PROPORTION),
    ("tracr-xproportion", cm.MeanPositional(), CHAIN),
    ("tracr-xproportion", None, CHAIN),
    ("tracr-reverse", cm.Zero(), REVERSE),
    ("tracr-reverse", cm.MeanPositional(), ANSWER),
    ("tracr-reverse", None, ANSWER),
    ("tracr-reverse", Scrambled((1, 2, 3, 0, 4, 5)), ANSWER + LOOKUP),
]
every_setting = pytest.mark.parametrize(("name", "ablation", "edges"), SETTINGS, ids=str)


@every_setting
def test_the_search_finds_the_program(name: str, ablation: Any, edges: list[str]) -> None:
    where = problem(name, ablation)
    search = Search.begin(where, cm.ACDC(threshold=SMALL)).run()
    assert cm.Circuit.of(where.graph, search.kept) == circuit(where, edges)
    assert where.losses([search.kept])[0].mean() < 1e-11


@every_setting
def test_single_edges_have_the_programs_effects(name: str, ablation: Any, edges: list[str]) -> None:
    """Each edge alone, and 0 for all others: the ROC curve of these scores is perfect, as is that of a sweep."""
    where = problem(name, ablation)
    scores = ExactPatching().moments(where).mean
    truth, graph = circuit(where, edges), where.graph
    assert np.abs(scores[graph.exists & ~truth.array]).max() < 1e-11
    for edge in truth.edges:
        effect = scores[graph.place(edge)]
        if ablation == cm.Zero() and name == "tracr-reverse":
            assert effect == pytest.approx(LENGTH.get(str(edge), 1 / 3), abs=1e-5)
        elif not isinstance(ablation, Scrambled):
            assert effect == pytest.approx(all_ablated(where), abs=1e-5)
    assert cm.auroc(scores, truth).auc == 1
    swept = sweep(where, cm.ACDC(threshold=0), [SMALL, 0.001, 0.03, 0.1, 0.3, 1])
    assert cm.auroc(sum(search.kept.astype(float) for search in swept), truth).auc == 1


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("tracr-xproportion", {SMALL: 5, 0.001: 5, 0.03: 5, 0.1: 3, 0.3: 0, 1: 0}),
        ("tracr-reverse", {SMALL: 11, 0.03: 11, 0.1: 11, 0.3: 3, 1: 0}),
    ],
)
def test_how_large_the_circuit_is_at_each_threshold(name: str, sizes: dict[float, int]) -> None:
    where = problem(name, cm.Zero())
    swept = sweep(where, cm.ACDC(threshold=0), [*sizes])
    assert [int(search.kept.sum()) for search in swept] == [*sizes.values()]


@pytest.mark.parametrize(("name", "size"), [("tracr-xproportion", 5), ("tracr-reverse", 10)])
def test_with_one_input(name: str, size: int) -> None:
    where = problem(name, cm.Zero(), merged=True)
    edges = PROPORTION if name == "tracr-xproportion" else REVERSE
    one = {edge.replace("pos_embed", "input").replace("embed", "input") for edge in edges}
    assert len(one) == size
    assert found(where) == circuit(where, one)


@every_setting
def test_no_order_changes_the_circuit(name: str, ablation: Any, edges: list[str]) -> None:
    where = problem(name, ablation)
    orders = [("latest", "high"), ("earliest", "high"), ("random", "random")]
    stable = order_stability(
        where.model, where.pairs, method=cm.ACDC(threshold=SMALL), orders=orders, n=6, metric=MSE,
        ablation=ablation, graph=where.graph,
    )  # fmt: skip
    assert len(stable.circuits) == 8 and stable.mean == 1
    assert set(stable.circuits) == {circuit(where, edges)}


@pytest.mark.parametrize("name", ["tracr-xproportion", "tracr-reverse"])
def test_gradients_at_the_clean_run_of_a_squared_error_are_refused_or_nothing(name: str) -> None:
    """The loss is at its minimum there, and flat."""
    where = problem(name, cm.Zero())
    try:
        scores = cm.EAP().moments(where).mean
    except cm.errors.CausalmiError as error:
        assert "flat" in str(error) or "minimum" in str(error) or "0" in str(error)  # noqa: PT017  (either is right)
    else:
        assert np.abs(scores[where.graph.exists]).max() < 1e-9
