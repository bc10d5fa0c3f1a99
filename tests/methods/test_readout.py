"""Readouts: what they give, refuse and learn, and that no example is both learned from and judged."""

import numpy as np
import pytest
import torch
from torch import Tensor

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, ModelError, SiteError
from causalmi.methods.reader import Reader, nodes
from causalmi.methods.readout import Readout, flat, learn
from tests.methods.digit_claims import NETWORKS, PLACES, claim
from tests.networks import gpt2

ROWS = torch.arange(6.0).reshape(3, 2)


def numbers(n: int, width: int, seed: int) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("given", [torch.tensor([1, 2, 3]), np.array([1, 2, 3]), [1, 2, 3], (1, 2, 3)])
def test_a_given_readout_may_give_tensors_arrays_or_lists(given: object) -> None:
    assert Readout("A", lambda x: given)(ROWS) == [1, 2, 3]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 2], "gives a list for 3 rows"),
        (ROWS, "of shape"),
        (7, "gives a int for 3 rows"),
        (torch.tensor(7), "of shape"),
        ([1.0, float("nan"), 2.0], "gives nan, which is no value"),
        ([[1], [2], [3]], "which is no value"),
    ],
)
def test_what_is_no_readout_is_refused(given: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        Readout("A", lambda x: given)(ROWS)


def test_a_readout_that_fails_says_of_what() -> None:
    with pytest.raises(DataError, match="readout of A fails: ZeroDivisionError"):
        Readout("A", lambda x: 1 / 0)(ROWS)


def test_numbers_lie_side_by_side_and_are_finite() -> None:
    a, b = site.module("a"), site.module("b")
    values = {a: torch.ones(3, 2, 2), b: torch.zeros(3, 1)}
    assert flat([b, a], values).tolist() == [[0, 1, 1, 1, 1]] * 3
    assert flat([a], {a: torch.ones(3, 2, dtype=torch.bfloat16)}).dtype == torch.float32
    with pytest.raises(ModelError, match="NaN or infinite numbers at module"):
        flat([b], {b: torch.tensor([[float("inf")]])})


def test_what_is_linearly_there_is_learned_and_what_is_not_is_not() -> None:
    x, other = numbers(400, 12, 0), numbers(400, 12, 1)
    side, both = ["up" if row[3] > 0 else "down" for row in x], (x[:, 0] * x[:, 1] > 0).tolist()
    right = ["up" if row[3] > 0 else "down" for row in other]
    assert np.mean([a == b for a, b in zip(learn("A", x, side)(other), right, strict=True)]) > 0.95
    parity = (other[:, 0] * other[:, 1] > 0).tolist()
    assert abs(np.mean([a == b for a, b in zip(learn("A", x, both)(other), parity, strict=True)]) - 0.5) < 0.12


def test_scale_does_not_matter_to_what_is_learned() -> None:
    x, other = numbers(100, 5, 0), numbers(50, 5, 1)
    values = (x[:, 0] > x[:, 1]).tolist()
    scale = torch.tensor([1e4, 1e-4, 1.0, 1e2, 1e-2], dtype=torch.float64)
    assert learn("A", x, values)(other) == learn("A", x * scale + 5, values)(other * scale + 5)


def test_only_values_that_were_seen_are_given() -> None:
    x = numbers(30, 4, 0)
    readout = learn("A", x, [i % 3 for i in range(30)])
    assert readout.seen == {0, 1, 2} and readout.how == "learned"
    assert set(readout(numbers(50, 4, 1))) <= {0, 1, 2}
    assert learn("A", x, ["only"] * 30)(x) == ["only"] * 30
    with pytest.raises(DataError, match="no examples are left"):
        learn("A", torch.empty(0, 4), [])
    with pytest.raises(DataError, match="A has 300 values in 300 examples.*give readouts={'A': "):
        learn("A", numbers(300, 4, 0), range(300))


@pytest.mark.parametrize("n", [40, 400])
def test_no_example_is_on_both_sides(n: int) -> None:
    """In a domain so small that every example comes again and again."""
    model = cm.load_model(gpt2())
    task = cm.Task(
        cm.CausalModel({"a": range(4), "b": range(5)}, {"s": lambda a, b: a + b, "out": lambda s: s % 2}, "out"),
        encode=lambda s: [s["a"], s["b"]],
        label=lambda s: s["out"],
    )
    h = cm.Hypothesis(claim="x", task=task, alignment={"s": site.resid_post(1, at=1)})
    pairs = task.pairs(n, vary=["s"], seed=0)
    reader = Reader.of(h, model, pairs, seed=0, batch_size=None)
    shown = {*pairs.base.key(), *pairs.sources["s"].key()}
    assert reader.trained < shown and len(reader.trained) == len(shown) // 4
    judged = reader.fresh([pairs.base])
    assert {key for key, new in zip(pairs.base.key(), judged, strict=True) if new} == {
        key for key in pairs.base.key() if key not in reader.trained
    }
    both = reader.fresh([pairs.base, pairs.sources["s"]])
    assert both.sum() < judged.sum()
    other = Reader.of(h, model, pairs, seed=1, batch_size=None)
    assert other.trained != reader.trained
    again = Reader.of(h, model, pairs, seed=0, batch_size=3)
    assert again.trained == reader.trained and again.readouts["s"].seen == reader.readouts["s"].seen


def test_given_readouts_need_no_training() -> None:
    h = claim("s", "t")
    reader = Reader.of(h, cm.load_model(gpt2()), h.task.pairs(5, vary=["s", "t"], seed=0), seed=0, batch_size=None)
    assert reader.trained == frozenset() and nodes(h) == ["s", "t", "out"]
    assert {readout.how for readout in reader.readouts.values()} == {"given"}


def test_places_of_unequal_width_are_refused() -> None:
    task = cm.Task(
        cm.CausalModel({"x": range(1, 9)}, {"u": lambda x: x % 2, "out": lambda u: u}, "out"),
        encode=lambda s: [s["x"]] * (3 + (s["x"] > 4)),
        label=lambda s: s["out"],
    )
    for given in ({}, {"u": lambda x: x[:, 0]}):
        h = cm.Hypothesis(claim="x", task=task, alignment={"u": site.resid_post(0)}, readouts=given)
        with pytest.raises(SiteError, match="unequal lengths, which no readout can take"):
            Reader.of(h, cm.load_model(gpt2()), task.pairs(20, seed=0), seed=0, batch_size=None)


def test_one_example_cannot_do_both() -> None:
    h = claim("s", given=False)
    pairs = h.task.pairs(1, vary=["s"], seed=0)
    pairs = cm.CounterfactualPairs.from_tokens(pairs.base.values, pairs.base.values)
    with pytest.raises(DataError, match="one example, which cannot both"):
        Reader.of(h, cm.load_model(NETWORKS["gpt2"]()), pairs, seed=0, batch_size=None)
    assert PLACES["s"] in h.sites("s")
