"""Structural models as networks: interchange tells apart what observation and output alone cannot."""

import pytest

import causalmi as cm
from causalmi import site

DIGITS = range(10)


def digits(**mechanisms) -> cm.CausalModel:
    return cm.CausalModel({"x0": DIGITS, "x1": DIGITS, "x2": DIGITS}, mechanisms, output="out")


def scores(low: cm.CausalModel, high: cm.CausalModel, variables: str, n: int = 4000) -> dict[str, float]:
    """IIA by subset of ``high`` on the network that ``low`` is."""
    net = cm.CausalModule(low, outputs=range(-60, 100))
    label = {value: i for i, value in enumerate(range(-60, 100))}
    task = cm.Task(
        high, encode=lambda s: [float(s[v]) for v in ("x0", "x1", "x2")], label=lambda s: label[int(s["out"])]
    )
    claim = cm.Hypothesis(
        claim="each variable is where its name is",
        task=task,
        model=net,
        alignment={v: site.module(v) for v in variables},
        rule=cm.AtLeast(iia=0.0, above_control=0.0),
    )
    result = cm.interchange_test(claim, n=n, seed=0, controls=[cm.ShuffledSources()])
    return {"".join(f.variables): f.iia.value for f in result.findings if f.iia}


def test_a_model_is_itself() -> None:
    low = digits(A=lambda x0: 2 * x0, B=lambda x1: 3 * x1, out=lambda A, B, x2: A + B + 0 * x2)
    assert scores(low, low, "AB") == {"A": 1.0, "B": 1.0, "AB": 1.0}


def test_a_variable_that_nobody_reads_is_at_chance() -> None:
    low = digits(A=lambda x0: x0, out=lambda x0, A, x1, x2: x0 + 0 * A + 0 * x1 + 0 * x2)
    high = digits(A=lambda x0: x0, out=lambda A, x1, x2: A + 0 * x1 + 0 * x2)
    assert scores(low, high, "A")["A"] == pytest.approx(0.1, abs=0.02)


def test_variables_that_cancel_are_found_out_one_by_one() -> None:
    """Perfect output, and wrong intermediates: only sources of their own tell (A = x0 + x2 for x0, B = x1 - x2 for x1)."""
    low = digits(A=lambda x0, x2: x0 + x2, B=lambda x1, x2: x1 - x2, out=lambda A, B: A + B)
    high = digits(A=lambda x0: x0, B=lambda x1: x1, out=lambda A, B, x2: A + B + 0 * x2)
    assert scores(low, high, "AB") == pytest.approx({"A": 0.1, "B": 0.1, "AB": 0.1}, abs=0.02)


def test_a_mechanism_that_is_right_on_the_data_alone_is_found_out() -> None:
    low = digits(A=lambda x0: 2 * x0, B=lambda x1: 3 * x1, out=lambda A, B, x2: A + B + 0 * x2)
    high = digits(A=lambda x0: 2 * x0, B=lambda x1: 3 * x1, out=lambda A, x1, x2: 4 * A + 0 * x1 + 0 * x2)
    assert scores(low, high, "A")["A"] < 0.2
