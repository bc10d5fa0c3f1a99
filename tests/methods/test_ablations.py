"""Do ablations put in what they say, and does `ablate` measure what it costs? Each against plain loops."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import causalmi as cm
from causalmi import Inputs, site
from causalmi.engine.metrics import Metric, Target
from causalmi.errors import CausalmiError, DataError, PositionError, SiteError, SpecError
from causalmi.methods.ablate import ablate
from causalmi.methods.ablation import AblationData
from causalmi.methods.ablation_donors import draw
from causalmi.methods.ablation_optimal import Optimal
from causalmi.methods.ablations import Mean, MeanPositional, Noise, Zero, ablation_of
from tests.networks import draw_numbers, draw_tokens, gpt2, llama, mlp, reference

N = 9
EVERYTHING = slice(None)


def with_biases(net: nn.Module) -> nn.Module:
    """The same network with output biases that are not 0, as GPT-2's are when it is made."""
    generator = torch.Generator().manual_seed(3)
    for name, p in net.named_parameters():
        if name.endswith("bias"):
            p.data = torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return net


@pytest.fixture(scope="module")
def model() -> cm.Model:
    return cm.load_model(with_biases(gpt2()))


@pytest.fixture(scope="module")
def pairs() -> cm.CounterfactualPairs:
    answer = torch.arange(N) % 4
    return cm.CounterfactualPairs.from_tokens(draw_tokens(N, 1), draw_tokens(N, 2), answer=answer, foil=answer + 4)


def padded() -> Inputs:
    """Eight examples of 2 to 6 tokens, padded on either side."""
    starts, lengths = [0, 0, 0, 1, 2, 3, 0, 4], [6, 4, 3, 5, 4, 3, 5, 2]
    mask = torch.zeros(8, 6, dtype=torch.bool)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        mask[row, start : start + length] = True
    return Inputs.of(draw_tokens(8, 5, length=6), mask)


def values(ablation: object, model: cm.Model, examples: object, place: site.Site, **how: object) -> Tensor:
    data = AblationData.of(model, examples, **how)
    return ablation_of(ablation).replacement(data, [place]).rows(EVERYTHING)[place]


class ByHand(nn.Module):
    """y = (h0 + h1, h0 - h1) with h = (x0, 2 x1)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.hidden.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
        self.out.weight.data = torch.tensor([[1.0, 1.0], [1.0, -1.0]])

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(x))


def first_output(logits: Tensor, target: Target) -> Tensor:
    return logits[:, 0]


def test_zero_and_mean_of_a_network_computed_by_hand() -> None:
    x = torch.tensor([[1.0, 1.0], [3.0, 0.0], [5.0, 2.0]])  # h = (1, 2), (3, 0), (5, 4); y0 = 3, 3, 9
    h0, h1 = (site.module("hidden", neurons=[i]) for i in (0, 1))
    frame = ablate(ByHand(), x, [h0, h1], ablation=Zero(), metric=first_output)
    assert frame["effect"].tolist() == [-3.0, -2.0]
    assert frame["value"].tolist() == [2.0, 3.0]
    told = {"metric": "first_output", "ablation": "Zero(bias='keep')", "joint": False, "clean": 5.0}
    assert frame.attrs == told | {"reference": "3 inputs"}
    (both,) = ablate(ByHand(), x, [h0, h1], ablation=Zero(), metric=first_output, joint=True)["effect"]
    assert both == -5.0
    centred = ablate(ByHand(), x, [h0], ablation=Mean(), metric=first_output, reference=x[:2])
    assert centred["value"].tolist() == [pytest.approx(2.0 + 2.0)]  # h0 = 2, h1 = 2, 0, 4


@pytest.mark.parametrize("kind", ["attn_out", "mlp_out"])
def test_zero_keeps_the_output_bias_unless_told(model: cm.Model, pairs: cm.CounterfactualPairs, kind: str) -> None:
    place = site.Site(kind, 1)
    block = model.module.transformer.h[1]
    bias = (block.attn if kind == "attn_out" else block.mlp).c_proj.bias
    kept, gone = (values(Zero(bias=b), model, pairs, place) for b in ("keep", "ablate"))
    torch.testing.assert_close(kept, bias.expand(N, 5, -1))
    assert torch.equal(gone, torch.zeros(N, 5, 24).to(gone))
    inner = site.z(1) if kind == "attn_out" else site.mlp_hidden(1)
    both = [ablate(model, pairs, [s], ablation=Zero())["effect"][0] for s in (place, inner)]
    assert both[0] == pytest.approx(both[1])
    some = values(Zero(), model, pairs, replace(place, neurons=(4, 2)))
    torch.testing.assert_close(some, bias[[4, 2]].expand(N, 5, 2))


@pytest.mark.parametrize("net", [lambda: with_biases(gpt2()), llama, reference])
def test_the_mean_is_that_of_real_positions(net: object) -> None:
    model, inputs = cm.load_model(net()), padded()  # type: ignore[operator]
    for place, rows in (
        (site.resid_post(1), lambda i, x: x[inputs.mask[i]]),
        (site.z(1, 1), lambda i, x: x[inputs.mask[i]]),
        (site.z(1), lambda i, x: x[inputs.mask[i]]),
    ):
        x = model.run(inputs, read=place)[place]
        wanted = torch.cat([rows(i, x[i]) for i in range(8)]).mean(0)
        found = values(Mean(), model, inputs, place, batch_size=3)
        torch.testing.assert_close(found, wanted.expand_as(x))
    few, last = site.mlp_out(0, at=[0, -1]), site.mlp_out(0, at="last")
    whole = model.run(inputs, read=site.mlp_out(0))[site.mlp_out(0)]
    ends = [[x[m][0], x[m][-1]] for x, m in zip(whole, inputs.mask, strict=True)]
    wanted = torch.stack([torch.stack(e) for e in ends])
    torch.testing.assert_close(values(Mean(), model, inputs, few), wanted.mean((0, 1)).expand(8, 2, -1))
    torch.testing.assert_close(values(Mean(), model, inputs, last), wanted[:, 1].mean(0).expand(8, -1))


def test_the_positional_mean_counts_from_each_examples_start(model: cm.Model) -> None:
    inputs, place = padded(), site.z(1)
    x = model.run(inputs, read=place)[place]
    own = [x[i][inputs.mask[i]] for i in range(8)]
    means = [torch.stack([v[p] for v in own if len(v) > p]).mean(0) for p in range(6)]
    found = values(MeanPositional(), model, inputs, place, batch_size=3)
    for i in range(8):
        torch.testing.assert_close(found[i][inputs.mask[i]], torch.stack(means[: len(own[i])]))
    last = values(MeanPositional(), model, inputs, site.z(1, at="last"))
    torch.testing.assert_close(last, torch.stack([means[len(v) - 1] for v in own]))
    short = Inputs.of(inputs.values, inputs.mask).rows([2, 5])  # three tokens each
    with pytest.raises(PositionError, match="has a position 3, and the longest example of the reference has 3"):
        values(MeanPositional(), model, inputs, place, reference=short)
    values(MeanPositional(), model, inputs, site.z(1, at=[0, 1]), reference=short)  # these two are covered


def test_means_refuse_what_has_none(model: cm.Model) -> None:
    with pytest.raises(SiteError, match="no attention pattern"):
        values(Mean(), model, padded(), site.pattern(1))
    with pytest.raises(SiteError, match="different lengths"):
        values(MeanPositional(), model, padded(), site.pattern(1))
    with pytest.raises(SiteError, match="no positions"):
        values(MeanPositional(), cm.load_model(mlp()), draw_numbers(4, 0), site.module("layer1"))
    plain = draw_tokens(4, 1)
    pattern = values(MeanPositional(), model, plain, site.pattern(1))
    torch.testing.assert_close(
        pattern, model.run(plain, read=site.pattern(1))[site.pattern(1)].mean(0).expand_as(pattern)
    )


def test_resampling_takes_another_examples_values(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    a, b = site.z(1, 2), site.resid_post(2)
    clean = model.run(pairs.base, read=[a, b])
    for share, same in (("node", True), ("term", False)):
        data = AblationData.of(model, pairs, seed=1)
        given = ablation_of(cm.Resample(share=share)).replacement(data, [a, b]).rows(EVERYTHING)  # type: ignore[arg-type]
        donors = [[whose(given[s][i], clean[s]) for i in range(N)] for s in (a, b)]
        assert all(donor != i for each in donors for i, donor in enumerate(each))
        assert (donors[0] == donors[1]) == same
    paired = values(cm.Resample(share="paired"), model, pairs, a)
    torch.testing.assert_close(paired, model.run(pairs.source, read=a)[a])
    assert torch.equal(paired, values(Noise(), model, pairs, a))


def whose(value: Tensor, among: Tensor) -> int:
    return int((among - value).flatten(1).abs().sum(1).argmin())


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 9), copies=st.integers(1, 3), seed=st.integers(0, 99))
def test_no_example_is_its_own_donor(n: int, copies: int, seed: int) -> None:
    x = draw_numbers(n, 0).repeat(copies, 1)  # the same input again is no other one
    found = draw(AblationData.of(SMALL, x, seed=seed), [site.module("layer1")])
    assert not bool((x[found] == x).all(1).any())


SMALL = cm.load_model(mlp())


def test_donors_reach_everything_and_depend_on_the_seed() -> None:
    x = draw_numbers(5, 0)
    data = [AblationData.of(SMALL, x, seed=seed) for seed in range(60)]
    drawn = torch.stack([draw(d, [site.module("layer1")]) for d in data])
    assert [sorted(set(column.tolist())) for column in drawn.T] == [[j for j in range(5) if j != i] for i in range(5)]
    assert torch.equal(drawn[3], draw(data[3], [site.module("layer1")]))


def test_donors_of_whole_examples_have_their_length(model: cm.Model) -> None:
    inputs, place = padded(), site.resid_post(1)
    with pytest.raises(DataError, match="no other input of its length and padding"):
        values(cm.Resample(), model, inputs, place)
    twice = Inputs.of(torch.cat([inputs.values, draw_tokens(8, 8, length=6)]), torch.cat([inputs.mask, inputs.mask]))
    found = draw(AblationData.of(model, twice), [place])
    assert found.tolist() == [(i + 8) % 16 for i in range(16)]
    values(cm.Resample(), model, inputs, site.resid_post(1, at="last"))  # one position fits any length
    with pytest.raises(DataError, match="has no donor: the reference has no other input"):
        values(cm.Resample(), model, draw_tokens(1, 0), place)
    with pytest.raises(SiteError, match="in their donors"):
        values(cm.Resample(), model, inputs, place, reference=draw_tokens(4, 0, length=4))


def test_gaussian_noise_warns_and_has_the_sites_scale() -> None:
    x, place = draw_numbers(400, 0), site.module("layer2")
    clean = SMALL.run(x, read=place)[place]
    with pytest.warns(UserWarning, match="off the distribution"):
        noisy = values(Noise(kind="gaussian", scale=2.0), SMALL, x, place, seed=4)
    standard = (noisy - clean) / (2.0 * clean.std(0, correction=0))
    assert float(standard.mean()) == pytest.approx(0.0, abs=0.05)
    assert float(standard.std()) == pytest.approx(1.0, abs=0.05)


ABLATIONS = [
    Zero(), Zero(bias="ablate"), Mean(), MeanPositional(), cm.Resample(), cm.Resample(share="term"),
    cm.Resample(share="paired"), cm.Resample(share="zero"), cm.Resample(share="mean"), Noise(),
    Noise(kind="gaussian"), Optimal(steps=10),
]  # fmt: skip


@pytest.mark.parametrize("ablation", ABLATIONS, ids=str)
@pytest.mark.filterwarnings("ignore:Gaussian noise")
def test_ablate_is_the_plain_loop_for_every_batch_size(
    model: cm.Model, pairs: cm.CounterfactualPairs, ablation: object
) -> None:
    places = [site.attn_out(1), site.head_out(0, 2, at="last"), site.resid_mid(2, at=[1, 3])]
    frame = ablate(model, pairs, places, ablation=ablation, seed=2)
    clean = logit_diff(model.run(pairs.base).logits)
    for i, place in enumerate(places):
        given = values(ablation, model, pairs, place, seed=2)
        ablated = logit_diff(model.run(pairs.base, edits={place: given}).logits)
        assert frame["value"][i] == pytest.approx(float(ablated.mean()))
        assert frame["effect"][i] == pytest.approx(float((ablated - clean).mean()))
        assert frame["low"][i] < frame["effect"][i] < frame["high"][i]
    for how in ({"batch_size": 4}, {"batch_size": 1, "resume": False}):
        again = ablate(model, pairs, places, ablation=ablation, seed=2, **how)  # type: ignore[arg-type]
        pd.testing.assert_frame_equal(frame, again)
    if ablation == cm.Resample():
        other = ablate(model, pairs, places, ablation=ablation, seed=3)
        assert not np.allclose(frame["effect"], other["effect"])


def logit_diff(logits: Tensor) -> Tensor:
    return torch.stack([x[-1, i % 4] - x[-1, i % 4 + 4] for i, x in enumerate(logits)])


def test_ablate_says_which_site_each_row_is(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    frame = ablate(model, pairs, site.grid("z", layers=[0, 2], at=["last"]), ablation=Zero())
    assert list(zip(frame["layer"], frame["head"], strict=True)) == [(i, h) for i in (0, 2) for h in range(4)]
    assert set(frame["kind"]) == {"z"} and set(frame["position"]) == {"last"}
    joint = ablate(model, pairs, site.grid("z", layers=[1]), ablation=Zero(), joint=True)
    whole = ablate(model, pairs, site.attn_out(1), ablation=Zero())
    assert joint["site"].tolist() == ["z(1, 0) + z(1, 1) + z(1, 2) + z(1, 3)"]
    assert joint["effect"][0] == pytest.approx(whole["effect"][0])
    divergence = ablate(model, pairs.base, [site.attn_out(1)], ablation=Zero(), metric="kl")
    assert divergence.attrs["clean"] == pytest.approx(0.0) and divergence["effect"][0] > 0


def test_the_logits_are_read_where_the_task_says() -> None:
    sums = cm.CausalModel(
        inputs={"x": range(3), "y": range(3)}, mechanisms={"total": lambda x, y: x + y}, output="total"
    )
    task = cm.Task(sums, encode=lambda s: [s["x"], s["y"], 9, 8], label=lambda s: s["total"], readout=1)
    model, pairs = cm.load_model(reference()), task.pairs(8, vary=["x"], seed=0)
    place = site.attn_out(1, at=1)
    frame = ablate(model, pairs, place, ablation=Zero(), metric="logprob")
    i, ready = torch.arange(8), pairs.bind(None)
    clean, ablated = (model.run(ready.base, edits=edits).logits[:, 1].log_softmax(-1) for edits in ({}, {place: 0.0}))
    bias = model.module.blocks[1].attn.o.bias.detach()
    kept = model.run(ready.base, edits={place: bias}).logits[:, 1].log_softmax(-1)
    assert frame["effect"][0] == pytest.approx(float((kept - clean)[i, ready.base_labels].mean()))
    assert not torch.allclose(kept, ablated)


GOAL = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)


def squares(logits: Tensor, target: Target) -> Tensor:
    return (logits - GOAL).square().sum(-1)


def test_the_optimal_constant_of_least_squares() -> None:
    net, x, wide = mlp(), draw_numbers(40, 0), site.module("layer2")
    weight, bias = net.head.weight.detach(), net.head.bias.detach()  # logits = W a + b
    loss = Metric("squares", squares, better="lower")
    frame = ablate(net, x, wide, ablation=Optimal(loss=loss, steps=200, rate=1.0, batch=15), metric=loss)
    assert frame["train_loss"][0] == pytest.approx(0.0, abs=1e-3)  # 8 numbers can meet 3 goals
    assert frame["mean_loss"][0] > 1
    some = [1, 4]
    clean = SMALL.run(x, read=wide)[wide]
    rest = GOAL - bias - clean @ weight.T + clean[:, some] @ weight[:, some].T  # what the two neurons should give
    best = torch.linalg.lstsq(weight[:, some], rest.mean(0)[:, None]).solution[:, 0]
    few, rule = site.module("layer2", neurons=some), Optimal(loss=loss, rate=1.0)
    found = values(rule, cm.load_model(net), x, few)
    torch.testing.assert_close(found, best.expand(40, 2), atol=1e-3, rtol=1e-3)
    least = float((best @ weight[:, some].T - rest).square().sum(1).mean())
    trained = ablate(net, x, few, ablation=rule, metric=loss)
    assert trained["train_loss"][0] == pytest.approx(least, rel=1e-5)
    assert trained["value"][0] == pytest.approx(least, rel=1e-5)  # on the data that it was trained on


def test_the_optimal_constant_is_no_worse_than_mean_and_zero() -> None:
    net = reference()
    model, inputs, rule = cm.load_model(net), padded(), Optimal(steps=20, batch=4)
    places = [site.attn_out(1), site.mlp_out(0, at="last")]
    best, mean, zero = (ablate(model, inputs, places, ablation=a, metric="kl", seed=1) for a in (rule, Mean(), Zero()))
    assert (best["value"] < mean["value"]).all() and (best["value"] < zero["value"]).all()
    assert np.allclose(best["mean_loss"], mean["value"]) and np.allclose(best["train_loss"], best["value"])
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    with torch.no_grad():  # a caller's own setting does not matter
        again = ablate(model, inputs, places[0], ablation=rule, metric="kl", seed=1)
    assert again["value"][0] == best["value"][0]
    both = [ablate(model, inputs, places, ablation=a, metric="kl", joint=True)["value"][0] for a in (rule, Mean())]
    assert both[0] < both[1]


def test_a_site_that_reaches_no_readout_has_nothing_to_learn() -> None:
    model, tokens = cm.load_model(reference(attention_dir="causal", readout_position=1)), draw_tokens(5, 1)
    rule, late = Optimal(steps=10), site.mlp_out(1, at=3)
    frame = ablate(model, tokens, late, ablation=rule, metric="kl")
    assert frame["train_loss"][0] == frame["mean_loss"][0] == pytest.approx(0.0)
    alone = ablate(model, tokens, site.mlp_out(1, at=1), ablation=rule, metric="kl")
    both = ablate(model, tokens, [site.mlp_out(1, at=1), late], ablation=rule, metric="kl", joint=True)
    assert both["value"][0] == pytest.approx(alone["value"][0])


def test_a_metric_of_which_higher_is_better_is_raised(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    rule = Optimal(loss="logprob", steps=20)
    frame, mean = (ablate(model, pairs, site.mlp_out(1), ablation=a, metric="logprob") for a in (rule, Mean()))
    assert frame["value"][0] > mean["value"][0]
    assert frame["train_loss"][0] == pytest.approx(-frame["value"][0])
    assert frame["mean_loss"][0] == pytest.approx(-mean["value"][0])


def test_a_training_that_only_makes_it_worse_says_so() -> None:
    with pytest.warns(UserWarning, match="nothing better than the mean"):
        frame = ablate(reference(), padded(), [site.attn_out(1)], ablation=Optimal(steps=10, rate=1e4), metric="kl")
    assert frame["train_loss"][0] == frame["mean_loss"][0]


def test_what_is_no_ablation_is_refused(model: cm.Model, pairs: cm.CounterfactualPairs) -> None:
    place = site.attn_out(1)
    with pytest.raises(SpecError, match="it is 'mean'; there are Zero"):
        ablate(model, pairs, [place], ablation="mean")
    with pytest.raises(SpecError, match="ablates nothing"):
        ablate(model, pairs, [place], ablation=cm.Resample(share="exact"))
    for make in (
        lambda: Zero(bias="maybe"),  # type: ignore[arg-type]
        lambda: Noise(kind="salt"),  # type: ignore[arg-type]
        lambda: Noise(kind="gaussian", scale=0.0),
        lambda: Optimal(steps=0),
        lambda: Optimal(loss=squares),  # type: ignore[arg-type]
    ):
        with pytest.raises(SpecError, match="must be"):
            make()
    for examples, sites, error in (
        (pairs, [], SiteError),
        (pairs, ["attn_out(1)"], SiteError),
        (pairs, [site.attn_out(9)], SiteError),
        (pairs, [site.attn_out(1, at=7)], PositionError),
        (pairs.base, [place], DataError),  # no answers for a logit difference
        (pairs.rows([]), [place], DataError),
    ):
        with pytest.raises(error):
            ablate(model, examples, sites, ablation=Zero())
    with pytest.raises(DataError, match="no sources of their own"):
        ablate(model, pairs.base, [place], ablation=Noise(), metric="kl")
    with pytest.raises(CausalmiError, match="write the same numbers"):
        ablate(model, pairs, [site.resid_post(0), site.resid_pre(1)], ablation=Zero(), joint=True)
