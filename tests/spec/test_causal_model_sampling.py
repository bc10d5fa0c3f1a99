"""Samples are the same in every process, uniform or balanced as they were asked for, and refused where they cannot be."""

import os
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causalmi.errors import DataError, SpecError
from causalmi.spec.causal_model import CausalModel
from tests.spec.small_models import addition, models


def drawn_sum() -> CausalModel:
    """Drawn inputs, so that nothing can be listed: the output is rarely 0."""
    return CausalModel(
        inputs={name: lambda rng: int(rng.integers(100)) for name in ("x", "y")},
        mechanisms={"partial": lambda x, y: x + y, "out": lambda partial: partial > 20},
        output="out",
    )


def outputs(model: CausalModel, inputs: pd.DataFrame) -> list[Any]:
    return list(model.run_columns(inputs)[model.output])


def test_a_sample_is_uniform_and_of_inputs_only() -> None:
    sample = addition().sample(20_000, seed=0)
    assert list(sample) == ["x", "y", "z"]
    for name in sample:
        shares = sample[name].value_counts(normalize=True)
        assert len(shares) == 10
        assert abs(shares - 0.1).max() < 0.01
    assert abs(np.corrcoef(sample.T) - np.eye(3)).max() < 0.03


def test_seeds_and_uses_have_streams_of_their_own() -> None:
    model = addition()
    pd.testing.assert_frame_equal(model.sample(50, seed=1), model.sample(50, seed=1))
    assert not model.sample(50, seed=1).equals(model.sample(50, seed=2))
    base, sources = model.sample_pairs(50, ["partial", "z"], seed=1)
    assert not base.equals(sources["partial"])
    assert not sources["partial"].equals(sources["z"])
    again, fewer = model.sample_pairs(50, ["z"], seed=1)
    pd.testing.assert_frame_equal(base, again)
    pd.testing.assert_frame_equal(sources["z"], fewer["z"])


@pytest.mark.parametrize("n", [1, 7, 28, 100])
def test_each_output_is_equally_often_there(n: int) -> None:
    counts = Counter(outputs(addition(), addition().sample(n, seed=0, balance="output")))
    assert counts.total() == n
    assert len(counts) == min(n, 28)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_within_an_output_inputs_are_uniform() -> None:
    sample = addition().sample(28_000, seed=0, balance="output")
    twos = sample[sample.sum(axis=1) == 2]
    shares = twos.value_counts(normalize=True)
    assert len(shares) == 6
    assert abs(shares - 1 / 6).max() < 0.05


def test_drawn_inputs_can_be_balanced_too() -> None:
    model = drawn_sum()
    assert Counter(outputs(model, model.sample(300, seed=0, balance="output"))) == {True: 150, False: 150}
    base, sources = model.sample_pairs(301, ["partial"], seed=0, balance="output")
    for inputs in (base, sources["partial"]):
        assert sorted(Counter(outputs(model, inputs)).values()) == [150, 151]


@pytest.mark.parametrize("model", [addition(), drawn_sum()], ids=["listed", "drawn"])
@pytest.mark.parametrize("n", [1, 2, 101])
def test_half_of_the_pairs_change_the_output(model: CausalModel, n: int) -> None:
    base, sources = model.sample_pairs(n, ["partial"], seed=0, balance="change")
    before, after = outputs(model, base), list(model.interchange_columns(base, sources)[model.output])
    assert len(base) == len(sources["partial"]) == n
    assert sum(a != b for a, b in zip(after, before, strict=True)) == n - n // 2


def test_no_constant_answer_does_well_on_changed_pairs() -> None:
    """Within each half the outputs after the interchange are as equally frequent as the draws allow."""
    model = CausalModel(
        {"x": range(10), "y": range(10)}, {"low": lambda x: x < 3, "out": lambda low, y: (low + y) % 2}, "out"
    )
    base, sources = model.sample_pairs(400, ["low"], seed=0, balance="change")
    before, after = outputs(model, base), list(model.interchange_columns(base, sources)["out"])
    for half in (True, False):
        assert Counter(b for a, b in zip(before, after, strict=True) if (a != b) is half) == {0: 100, 1: 100}


def test_change_is_that_of_the_joint_interchange() -> None:
    model = addition()
    base, sources = model.sample_pairs(200, ["partial", "z"], seed=0, balance="change")
    after = model.interchange_columns(base, sources)["total"]
    assert (after != model.run_columns(base)["total"]).sum() == 100


@pytest.mark.parametrize("balance", [None, "output", "change"])
def test_the_order_says_nothing_about_the_class(balance: str | None) -> None:
    model = drawn_sum()
    base, sources = model.sample_pairs(2000, ["partial"], seed=0, balance=balance)
    changed = model.interchange_columns(base, sources)["out"].to_numpy() != np.array(outputs(model, base))
    for flags in (changed, np.array(outputs(model, base))):
        assert abs(flags[:1000].mean() - flags[1000:].mean()) < 0.07


def test_a_class_that_cannot_be_found_is_said() -> None:
    never = CausalModel({"x": lambda rng: rng.normal()}, {"y": lambda x: x > 100}, "y", {"y": [True, False]})
    with pytest.raises(DataError, match=r"too few examples whose y is True: 5 are missing after 102,400 were drawn"):
        never.sample(10, seed=0, balance="output")
    same = CausalModel({"x": [0, 1]}, {"y": lambda x: x, "out": lambda y: y * 0}, "out")
    with pytest.raises(DataError, match="in which interchanging y changes out: 0 of 102,400 drawn, where 3 are wanted"):
        same.sample_pairs(6, ["y"], seed=0, balance="change")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n": 0}, "n is 0; give a whole number from 1"),
        ({"n": 2.5}, "n is 2.5"),
        ({"vary": []}, r"vary is \[\]; give a list"),
        ({"vary": ["partial", "partial"]}, "of different variables"),
        ({"vary": "partial"}, "no such variable|vary is 'partial'"),
        ({"vary": ["sum"]}, "'sum': no such variable"),
        ({"balance": "label"}, "balance is 'label'; there are None, 'output', 'change'"),
    ],
)
def test_what_cannot_be_asked_for(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        addition().sample_pairs(**{"n": 4, "vary": ["partial"], "seed": 0, **arguments})
    if arguments.keys() <= {"n", "balance"}:
        with pytest.raises(SpecError, match=said.removesuffix(", 'change'")):
            addition().sample(**{"n": 4, "seed": 0, **arguments})


def test_change_balances_pairs_only() -> None:
    with pytest.raises(SpecError, match="balance is 'change'; there are None, 'output'"):
        addition().sample(4, seed=0, balance="change")


@given(models(), st.integers(1, 12), st.integers(0, 5))
def test_any_model_can_be_balanced_over_its_output(model: CausalModel, n: int, seed: int) -> None:
    counts = Counter(outputs(model, model.sample(n, seed=seed, balance="output")))
    classes = len(model.equivalence_classes("out"))
    assert counts.total() == n
    assert len(counts) == min(n, classes)
    assert max(counts.values()) - min(counts.values()) <= 1


SCRIPT = """
from causalmi.spec.causal_model import CausalModel
model = CausalModel(
    {"w": {"b", "a", "d", "c"}, "x": frozenset([(1, "a"), (0,), "z"]), "y": lambda rng: int(rng.integers(50))},
    {"m": lambda w, x: (w, x), "n": lambda m, y: len(m[1]) * y, "out": lambda n: n % 3},
    "out",
)
print(model.variables, sorted(model.graph.edges), model.input_domains["w"], model.input_domains["x"])
for balance in (None, "output", "change"):
    base, sources = model.sample_pairs(40, ["m", "n"], seed=3, balance=balance)
    print(model.interchange_columns(base, sources).to_dict("list"))
try:
    CausalModel({"x": [1]}, {"c": lambda d: d, "d": lambda c: c, "a": lambda b, c: b, "b": lambda a: a}, "nowhere")
except ValueError as error:
    print(error)
"""


def test_every_process_gives_the_same() -> None:
    """Whatever the order is in which it hashes strings."""
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(said) == 1
    assert "a cycle: a -> b -> a" in said.pop()
