"""What `edge_scores` and `find_circuit` are given and refuse, and whether their numbers can be trusted at the edges."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import causalmi as cm
from causalmi.errors import CausalmiWarning, DataError, ModelError, SpecError
from causalmi.methods.circuits.checkpoint import fingerprint
from causalmi.methods.circuits.problem import Problem
from causalmi.methods.circuits.search import Search
from tests.networks import draw_tokens, gpt2, llama, reference


def pairs(n: int = 8) -> cm.CounterfactualPairs:
    return cm.CounterfactualPairs.from_tokens(draw_tokens(n, 0), draw_tokens(n, 1), answer=1, foil=2)


@pytest.fixture(scope="module")
def model() -> cm.Model:
    return cm.load_model(reference())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_searched_as_single_precision_is(dtype: torch.dtype) -> None:
    net, some = llama(torch.float32), pairs()
    full = cm.find_circuit(net, some, metric="kl", method=cm.ACDC(threshold=0.01), split=None)
    half = cm.find_circuit(net.to(dtype), some, metric="kl", method=cm.ACDC(threshold=0.01), split=None)
    below = (half.frame["effect"] < 0.01) & half.frame["kept"]
    assert below.sum() <= 0.02 * len(half.frame)
    assert len(full.circuit & half.circuit) >= 0.85 * len(full.circuit | half.circuit)
    assert len(cm.find_circuit(net, some, method=cm.EAP(), select=cm.Greedy(30)).circuit) > 0


@pytest.mark.parametrize("layer", [0, -1])
def test_a_hook_inside_a_block_is_not_overlooked(layer: int) -> None:
    net = gpt2()
    model = cm.load_model(net)
    hook = net.transformer.h[layer].attn.c_proj.register_forward_hook(lambda module, args, out: 0 * out)
    with pytest.raises(ModelError, match="hooks or changed modules"):
        cm.edge_scores(model, pairs(), method=cm.EAP())
    with pytest.raises(ModelError, match="hooks or changed modules"):
        Problem.of(model, pairs()).losses([np.zeros(cm.graph_of(model).shape, dtype=bool)])
    hook.remove()
    cm.edge_scores(model, pairs(), method=cm.EAP())


def test_repeated_bases_make_nothing_surer(model: cm.Model) -> None:
    once, often = draw_tokens(4, 0), draw_tokens(4, 1)
    many = cm.CounterfactualPairs.from_tokens(once.repeat(5, 1), often.repeat(5, 1), answer=1, foil=2)
    few = cm.CounterfactualPairs.from_tokens(once, often, answer=1, foil=2)
    one, other = (cm.edge_scores(model, some, method=cm.EAP(), batch_size=3) for some in (few, many))
    np.testing.assert_allclose(one[["score", "low", "high"]], other[["score", "low", "high"]], rtol=1e-9, atol=1e-12)


def test_the_interval_is_that_of_a_mean(model: cm.Model) -> None:
    frame = cm.edge_scores(model, pairs(), method=cm.ExactPatching(), level=0.9)
    problem, edge = Problem.of(model, pairs()), frame.attrs["graph"].edges[5]
    without = problem.graph.exists.copy()
    without[problem.graph.place(edge)] = False
    effects = np.subtract(*problem.losses([without, problem.graph.exists]))
    from causalmi.stats.means import mean

    e = mean(effects, level=0.9)
    assert frame.loc[5, ["score", "low", "high"]].tolist() == pytest.approx([e.value, e.low, e.high])


def test_shared_keys_can_be_told_apart() -> None:
    model = cm.load_model(llama())
    apart = cm.graph_of(model, split_groups=True)
    assert len(apart.edges) == 262 and len(cm.graph_of(model).edges) == 190
    a, b = (cm.edge_scores(model, pairs(), method=cm.EAP(), graph=g) for g in (apart, None))
    for slot in "qkv":
        sums = [x.loc[x["receiver"].str.endswith(f"<{slot}>"), "score"].sum() for x in (a, b)]
        assert sums[0] == pytest.approx(sums[1], rel=1e-5)
    circuit = cm.Circuit.from_json(cm.TopN(80).circuit(a).to_json())
    problem = Problem.of(model, pairs(), metric="kl", graph=circuit.graph)
    clean, ablated = Problem.of(model, pairs(), metric="kl").ends()
    np.testing.assert_allclose(problem.ends(), [clean, ablated], atol=1e-9)
    assert np.isfinite(problem.losses([circuit.array])).all()


def squares(logits: Tensor, target: Any) -> Tensor:
    return (logits - target.clean).square().sum(-1)


def test_a_derivative_that_is_next_to_nothing_is_refused(model: cm.Model) -> None:
    metric = cm.Metric("squares", squares, needs=("clean",), better="lower")
    with pytest.raises(DataError, match="next to 0"):
        cm.edge_scores(model, pairs(), metric=metric, method=cm.EAP())
    assert cm.edge_scores(model, pairs(), metric=metric, method=cm.EAPIG())["score"].abs().max() > 1e-3
    with pytest.raises(DataError, match="minimum"):
        cm.edge_scores(model, pairs(), metric="kl", method=cm.EAPIG(steps=1, rule="right"))


def test_a_function_may_be_named_as_a_metric_is(model: cm.Model) -> None:
    def kl(logits: Tensor, target: Any) -> Tensor:
        return -squares(logits, target)

    mine = cm.edge_scores(model, pairs(), metric=kl, method=cm.EAPIG())
    other = cm.edge_scores(model, pairs(), metric=lambda x, t: -squares(x, t), method=cm.EAPIG())
    assert mine["score"].tolist() == other["score"].tolist()


def test_a_checkpoint_knows_its_metric(model: cm.Model) -> None:
    def of(k: int) -> Callable[[Tensor, Any], Tensor]:
        return lambda logits, target: logits[:, k]

    prints = []
    for metric in (of(1), of(1), of(5)):
        problem, method = Problem.of(model, pairs(), metric=metric), cm.ACDC(threshold=0.1)
        prints.append(fingerprint(problem, method, Search.begin(problem, method).start))
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": cm.EAPIG}, "gives no scores"),
        ({"method": cm.ACDC(threshold=1.0)}, "gives no scores"),
        ({"method": "eap"}, "gives no scores"),
        ({"level": 95}, "level is 95"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"metric": "accuracy"}, "no derivative"),
    ],
)
def test_bad_input_is_told_in_a_sentence(model: cm.Model, change: dict[str, Any], words: str) -> None:
    with pytest.raises((SpecError, DataError), match=words):
        cm.edge_scores(model, pairs(), **{"method": cm.EAP(), **change})


def test_nothing_to_ablate_is_refused(model: cm.Model) -> None:
    same = cm.CounterfactualPairs.from_tokens(draw_tokens(8, 0), draw_tokens(8, 0), answer=1, foil=2)
    with pytest.raises(DataError, match="its own base"):
        cm.find_circuit(model, same, metric="kl", method=cm.ACDC(threshold=0.1))


def test_inference_mode_is_named(model: cm.Model) -> None:
    with torch.inference_mode(), pytest.raises(DataError, match="inference_mode"):
        cm.edge_scores(model, pairs(), method=cm.EAP())


def test_a_selection_that_leaves_nothing_says_so(model: cm.Model) -> None:
    with pytest.warns(CausalmiWarning, match="leaves no edge on a path"):
        found = cm.find_circuit(model, pairs(), method=cm.Magnitude(), select=cm.TopN(1))
    assert len(found.circuit) == 0


def test_the_network_is_as_it_was(model: cm.Model) -> None:
    net: nn.Module = model.module.train()
    before = {name: (x.clone(), x.requires_grad, x.grad) for name, x in net.named_parameters()}
    cm.edge_scores(model, pairs(), method=cm.EAPIG())
    cm.find_circuit(model, pairs(), method=cm.ACDC(threshold=0.1))
    assert net.training and not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())
    for name, x in net.named_parameters():
        value, wanted, grad = before[name]
        assert torch.equal(x, value) and x.requires_grad == wanted and x.grad is grad
