"""The network that a causal model becomes gives the causal model's answers, and each submodule is one variable."""

from typing import Any

import pytest
import torch

from causalmi.errors import DataError, SpecError
from causalmi.models.scm import CausalModule
from causalmi.spec.causal_model import CausalModel
from tests.spec.small_models import addition


def logic() -> CausalModel:
    return CausalModel(
        inputs={"a": [False, True], "b": [False, True], "c": [0.5, 1.5]},
        mechanisms={
            "both": lambda a, b: a and b,
            "many": lambda a, b: a + b,
            "out": lambda both, many, c: (both is True) * c + many,
        },
        output="out",
    )


@pytest.mark.parametrize("model", [addition(), logic()], ids=["addition", "logic"])
def test_every_setting_gets_its_output(model: CausalModel) -> None:
    net, table = CausalModule(model), model.enumerate().to_dict("records")
    x = torch.tensor([net.encode(row) for row in table], dtype=torch.float64)
    logits = net(x)
    assert logits.dtype == torch.float64
    assert logits.sum(1).unique().tolist() == [1.0]
    assert logits.argmax(1).tolist() == [net.label(row) for row in table]
    assert [net.outputs[i] for i in logits.argmax(1)] == [row[model.output] for row in table]


def test_a_submodule_is_the_place_of_its_variable() -> None:
    """Swapping what a submodule gives is the interchange of its variable."""
    model = addition()
    net = CausalModule(model)
    assert list(dict(net.named_children())) == ["partial", "total"]
    base, sources = model.sample_pairs(64, ["partial"], seed=0)
    x, y = (torch.tensor(inputs.to_numpy(), dtype=torch.float64) for inputs in (base, sources["partial"]))
    swapped = net.partial(y[:, :1], y[:, 1:2])
    assert swapped.shape == (64, 1)
    with net.partial.register_forward_hook(lambda *_: swapped):
        found = net(x).argmax(1)
    expected = model.interchange_columns(base, sources).to_dict("records")
    assert found.tolist() == [net.label(row) for row in expected]


def test_outputs_are_those_that_were_declared_or_given() -> None:
    model = CausalModel({"x": range(3)}, {"y": lambda x: x + 1}, "y", domains={"y": [3, 2, 1, 9]})
    assert CausalModule(model).outputs == (1, 2, 3, 9)
    assert CausalModule(model, outputs=[3, 2, 1]).outputs == (3, 2, 1)
    with pytest.raises(DataError, match=r"y is 3\.0, which has no logit; there are 1, 2"):
        CausalModule(model, outputs=[1, 2])(torch.tensor([[2.0]]))
    with pytest.raises(DataError, match="y is 4, which has no logit"):
        CausalModule(model).label({"x": 3, "y": 4})


def test_values_off_the_grid_stay_floats() -> None:
    net = CausalModule(addition(), outputs=[6, 6.5])
    assert net(torch.tensor([[1, 2, 3], [1.25, 2.25, 3]])).tolist() == [[1, 0], [0, 1]]


def test_drawn_inputs_need_declared_outputs() -> None:
    inputs: dict[str, Any] = {"x": lambda rng: rng.normal()}
    with pytest.raises(SpecError, match=r"the values of pos cannot be listed .* give outputs="):
        CausalModule(CausalModel(inputs, {"pos": lambda x: x > 0}, "pos"))
    net = CausalModule(CausalModel(inputs, {"pos": lambda x: x > 0}, "pos", domains={"pos": [True, False]}))
    assert net(torch.tensor([[-0.5], [0.5]])).tolist() == [[1, 0], [0, 1]]


def test_what_cannot_be_a_network() -> None:
    words = CausalModel({"x": ["a", "b"]}, {"twice": lambda x: x + x, "out": lambda twice: len(twice)}, "out")
    with pytest.raises(SpecError, match="2 problems") as caught:
        CausalModule(words)
    assert caught.value.problems[0] == "x takes values that are no numbers (str); give it numbers"
    with pytest.raises(SpecError, match="'forward' cannot name a submodule"):
        CausalModule(CausalModel({"x": [1]}, {"forward": lambda x: x}, "forward"))
    large = CausalModel({"x": [1]}, {"y": lambda x: 2**53 + x}, "y", domains={"y": [2**53 + 1]})
    with pytest.raises(DataError, match="beyond 2\\*\\*53"):
        CausalModule(large)(torch.ones(1, 1))


@pytest.mark.parametrize("x", [torch.zeros(3), torch.zeros(2, 2), torch.zeros(2, 3, 1)])
def test_inputs_of_another_shape(x: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"give \[batch, 3\]: x, y, z"):
        CausalModule(addition())(x)
