"""What the network answers, and which pairs it gets right."""

import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.errors import DataError, ModelError
from causalmi.results import InterchangeResult
from tests.networks import draw_tokens, gpt2


def pairs(**labels: object) -> cm.CounterfactualPairs:
    return cm.CounterfactualPairs.from_tokens(draw_tokens(6, 0), draw_tokens(6, 1), **labels)


def test_pairs_without_the_sources_answers_cannot_be_filtered() -> None:
    with pytest.raises(DataError, match="no right answers for the sources"):
        cm.filter_pairs(cm.load_model(gpt2()), pairs(answer=3))


def bits(label: object, net: torch.nn.Module) -> InterchangeResult:
    graph = cm.CausalModel({"a": [0, 1], "b": [0, 1]}, {"c": lambda a: a, "out": lambda c, b: c ^ b}, "out")
    task = cm.Task(graph, encode=lambda s: [float(s["a"]), float(s["b"])], label=label)
    claim = cm.Hypothesis(claim="c", task=task, model=net, alignment={"c": site.module("0")}, n=20)
    return cm.interchange_test(claim)


def test_labels_that_are_no_outputs_are_refused() -> None:
    with pytest.raises(DataError, match="label 8 is none of the network's 2 outputs"):
        bits(lambda s: 7 + s["out"], torch.nn.Sequential(torch.nn.Linear(2, 2)))


def test_a_single_logit_is_no_answer() -> None:
    with pytest.raises(ModelError, match="at least two logits"):
        bits(lambda s: s["out"], torch.nn.Sequential(torch.nn.Linear(2, 1)))


def test_nan_is_never_an_answer() -> None:
    class Nan(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / x.sum(-1, keepdim=True)

    net = torch.nn.Sequential(torch.nn.Identity(), Nan())
    with pytest.raises(ModelError, match="NaN"):
        bits(lambda s: s["out"], net)


def test_a_label_that_fails_says_for_what() -> None:
    with pytest.raises(DataError, match="label fails for .*KeyError: 'totl'"):
        bits(lambda s: s["totl"], torch.nn.Sequential(torch.nn.Linear(2, 2)))
