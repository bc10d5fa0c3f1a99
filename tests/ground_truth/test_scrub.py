"""Does scrubbing come out as it must where every answer is known? Six fixtures, and ten claims about small sums."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.methods.scrubbing.scrub import scrub
from tests.ground_truth.fixtures import FIXTURES, OUTPUTS, Fixture, every_fixture


def distance(outputs: Any) -> cm.Metric:
    """|output - right answer| of one-hot logits."""
    values = torch.tensor([float(x) for x in outputs], dtype=torch.float64)
    function = lambda logits, target: (values[logits.argmax(-1)] - values[target.answer]).abs()  # noqa: E731
    return cm.Metric("distance", function, ("answer",), better="lower")


def sharing(claim: cm.Hypothesis, share: Any) -> cm.Hypothesis:
    fields = {f: getattr(claim, f) for f in claim.__dataclass_fields__}
    return cm.Hypothesis(**{**fields, "unmapped": cm.Resample(share=share)})


def table(claim: cm.Hypothesis) -> pd.DataFrame:
    model = claim.task.model
    return model.enumerate()[list(model.inputs)]


LONG = ("intermediates_cancel", "node")  # ten million runs, some minutes; by sampling it is below
LISTED = [(f, share) for f in FIXTURES for share in ("node", "exact")]


@pytest.mark.parametrize(
    ("known", "share"),
    [
        pytest.param(f, share, id=f"{f.name}-{share}", marks=[pytest.mark.slow] * ((f.name, share) == LONG))
        for f, share in LISTED
    ],
)
def test_the_six_fixtures_exactly(known: Fixture, share: str) -> None:
    claim = sharing(known.hypothesis, share)
    found = scrub(claim, data=table(claim), n="all", controls=(), metric=distance(OUTPUTS), batch_size=2**16)
    assert found.loss.value == pytest.approx(known.scrubbed[share], abs=1e-9)


@every_fixture
@pytest.mark.parametrize("share", ["node", "term", "exact"])
def test_the_six_fixtures_by_sampling(known: Fixture, share: str) -> None:
    claim = sharing(known.hypothesis, share)
    found = scrub(claim, data=table(claim), n=4_000, controls=(), metric=distance(OUTPUTS), batch_size=8192)
    error = found.frame["scrubbed"].std() / np.sqrt(len(found.frame))
    assert abs(found.loss.value - known.scrubbed[share]) <= 4 * error + 1e-12


def test_a_percentage_may_hide_what_the_change_of_single_examples_shows() -> None:
    known = next(f for f in FIXTURES if f.name == "large_deviation")
    found = scrub(known.hypothesis, data=table(known.hypothesis), n="all", controls=(), metric=distance(OUTPUTS))
    assert found.clean.value == pytest.approx(4.5)
    assert found.loss_recovered is not None and found.loss_recovered.value == pytest.approx(1.0)
    values = [[2 * x0 + x1 + 3 * x1, 2 * x0 + 3 * x1] for x0, x1 in product(DIGITS, repeat=2)]
    others = [abs(a[0] - b[1]) for a, b in product(values, repeat=2) if a is not b]
    assert found.random.value == pytest.approx(np.mean(others))  # about 13.9
    assert found.change.value > 1  # the share hides it
    numbers = torch.tensor([float(x) for x in OUTPUTS], dtype=torch.float64)
    output = cm.Metric("output", lambda logits, target: numbers[logits.argmax(-1)], better="lower")
    whole = scrub(known.hypothesis, data=table(known.hypothesis), n="all", controls=(), metric=output)
    assert whole.change.value == pytest.approx(3.3)  # |x1 of the donor - x1|


# Claims about sums of digits: the network's mechanisms, the claim's, and the expected |output - label|.


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    low: dict[str, Callable[..., Any]]
    high: dict[str, Callable[..., Any]]
    places: dict[str, str]
    loss: float
    label: Callable[..., Any] | None = None  # where it is not what the claim computes
    options: dict[str, Any] | None = None
    inputs: str = "x0 x1"
    outputs: Any = range(-20, 121)
    data: Any = None


DIGITS = range(10)
ROOT = {"C": cm.Agree()}
CASES = (
    Case(
        "identical",
        {"A": lambda x0: 2 * x0, "B": lambda x1: 3 * x1, "out": lambda A, B: A + B},
        {"A": lambda x0: x0, "B": lambda x1: x1, "out": lambda A, B: 2 * A + 3 * B},
        {"A": "A", "B": "B"},
        0.0,
    ),
    Case(
        "explicit inputs",
        {"p": lambda x0: x0, "q": lambda x1: x1, "out": lambda p, q: p + q},
        {"p": lambda x0: x0, "q": lambda x1: x1, "out": lambda p, q: p + q},
        {"p": "p", "q": "q"},
        0.0,
    ),
    Case(
        "spread over the residual",
        {"p": lambda x0: x0, "q": lambda x1: x1, "A": lambda p, q: p + q, "out": lambda A, q: A + q},
        {"p": lambda x0: x0, "q": lambda x1: x1, "A": lambda p: p, "out": lambda A, q: A + 2 * q},
        {"p": "p", "q": "q", "A": "A"},
        3.3,
        options={"routes": {("q", "out"): cm.Route(excluding=site.module("A"))}},
    ),
    Case(
        "spread over two nodes",
        {"A": lambda x0: 2 * x0, "B": lambda x0: 3 * x0, "out": lambda A, B: A + B},
        {"A": lambda x0: x0, "out": lambda A: 5 * A},
        {"A": "A"},
        9.9,
        inputs="x0",
    ),
    Case(
        "large deviation",
        {"A": lambda x0, x1: 2 * x0 + x1, "B": lambda x1: 3 * x1, "out": lambda A, B: A + B},
        {"A": lambda x0: x0, "B": lambda x1: x1, "out": lambda A, B: 2 * A + 3 * B},
        {"A": "A", "B": "B"},
        4.5,
    ),
    Case(
        "tiny deviation",
        {"A": lambda x0, x1: 2 * x0 + 0.001 * x1, "B": lambda x1: 3 * x1, "out": lambda A, B: A + B},
        {"A": lambda x0: x0, "B": lambda x1: x1, "out": lambda A, B: float(2 * A + 3 * B)},
        {"A": "A", "B": "B"},
        0.0045,
        outputs=sorted({(2 * a + 0.001 * b) + 3 * c for a, b, c in product(range(10), repeat=3)}),
    ),
    Case(
        "swapped intermediates",
        {"A": lambda x0, x1: 2 * x0 + x1, "B": lambda x0, x1: x0 + 2 * x1, "out": lambda A, B: A + B},
        {"A": lambda x0, x1: x0 + 2 * x1, "B": lambda x0, x1: x0 + x1, "out": lambda A, B, x0, x1: 3 * x0 + 3 * x1},
        {"A": "A", "B": "B"},
        float(Fraction(14718443, 3780000)),
        options={"donors": {"out": cm.Agree(lambda x0, x1: 2 * x0 + 3 * x1)}},
    ),
    Case(
        "swapped intermediates, agreeing on the label",
        {"A": lambda x0, x1: 2 * x0 + x1, "B": lambda x0, x1: x0 + 2 * x1, "out": lambda A, B: A + B},
        {"A": lambda x0, x1: x0 + 2 * x1, "B": lambda x0, x1: x0 + x1, "out": lambda A, B, x0, x1: 3 * x0 + 3 * x1},
        {"A": "A", "B": "B"},
        3.65420,
        options={"donors": {"out": cm.Agree()}},
    ),
    Case(
        "data that correlate",
        {"p": lambda x0: x0, "q": lambda x1: x1, "out": lambda p, q: p + q},
        {"p": lambda x0: x0, "out": lambda p, x1: p + x1},
        {"p": "p"},
        6.6,
        options={"donors": {"out": cm.Agree("x0")}},
        data=pd.DataFrame({"x0": range(10), "x1": range(0, 20, 2)}),
    ),
    Case(
        "unspecified nodes",
        {"A": lambda x0: 2 * x0, "B": lambda x1: 3 * x1, "out": lambda A, B: A + B},
        {"A": lambda x0: x0, "out": lambda A, x1: 2 * A + 3 * x1},
        {"A": "A"},
        9.9,
        options={"donors": {"out": cm.Agree()}},
    ),
    Case(
        "unspecified nodes, the rest exact",  # that of the output's own datum, not of the reference
        {"A": lambda x0: 2 * x0, "B": lambda x1: 3 * x1, "out": lambda A, B: A + B},
        {"A": lambda x0: x0, "out": lambda A, x1: 2 * A + 3 * x1},
        {"A": "A"},
        0.0,
        options={"donors": {"out": cm.Agree()}, "unmapped": {"out": cm.Resample(share="exact")}},
    ),
)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def claim_of(case: Case) -> cm.Hypothesis:
    domains: dict[str, Any] = dict.fromkeys(case.inputs.split(), DIGITS)
    if case.data is not None:
        domains = {name: sorted(set(case.data[name].tolist())) for name in case.data}
    low = cm.CausalModel(domains, case.low, "out")
    net, outputs = cm.CausalModule(low, outputs=case.outputs), list(case.outputs)
    high = cm.CausalModel(domains, case.high, "out")
    task = cm.Task(high, encode=net.encode, label=lambda s: outputs.index(s["out"]))
    places = {v: site.module(path) for v, path in case.places.items()}
    return cm.Hypothesis(claim=case.name, task=task, model=net, alignment=places, **(case.options or {}))


def data_of(case: Case, claim: cm.Hypothesis) -> pd.DataFrame:
    return table(claim) if case.data is None else case.data


@every_case
def test_the_value_cases_exactly(case: Case) -> None:
    claim = claim_of(case)
    found = scrub(claim, data=data_of(case, claim), n="all", controls=(), metric=distance(case.outputs))
    assert found.loss.value == pytest.approx(case.loss, abs=1e-9 if case.loss != 3.65420 else 5e-6)


@every_case
def test_the_value_cases_by_sampling(case: Case) -> None:
    claim = claim_of(case)
    found = scrub(
        claim, data=data_of(case, claim), n=4_000, controls=(), metric=distance(case.outputs), batch_size=4096
    )
    error = found.frame["scrubbed"].std() / np.sqrt(len(found.frame))
    assert abs(found.loss.value - case.loss) <= 4 * error + 1e-9
