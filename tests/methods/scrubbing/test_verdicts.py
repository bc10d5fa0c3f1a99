"""What does a scrub say when there is nothing to say? And are the anchors what they are called?"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import causalmi as cm
from causalmi import site
from causalmi.engine.metrics import Target
from causalmi.errors import DataError, SpecError
from causalmi.methods.scrubbing.labels import Labels
from causalmi.methods.scrubbing.scores import Scorer
from causalmi.methods.scrubbing.setup import set_up
from causalmi.methods.scrubbing.variants import own_donors
from tests.ground_truth.fixtures import dead_copy, identical


def labels(n: int = 40, kinds: int = 5, seed: int = 0) -> Labels:
    rng = np.random.default_rng(seed)
    answer = torch.from_numpy(rng.integers(kinds, size=n))
    return Labels(answer, None, np.arange(n))


def outputs(n: int = 40, width: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def scored(metric: cm.Metric, own: Labels, logits: torch.Tensor, size: int = 9):
    scorer = Scorer(metric, own, 0)
    for rows in np.array_split(np.arange(len(logits)), len(logits) // size):
        scorer.add(rows, logits[torch.from_numpy(rows)], logits[torch.from_numpy(rows)])
    return scorer.done()


@pytest.mark.parametrize("name", ["cross_entropy", "logprob", "prob", "accuracy", "rank"])
def test_the_zero_is_the_mean_over_all_pairs_of_different_data(name: str) -> None:
    own, logits, metric = labels(), outputs(), cm.METRICS[name]
    own = replace(own, datum=np.arange(40) // 2, answer=own.answer[torch.arange(40) // 2 * 2])
    logits = logits[torch.arange(40) // 2 * 2]  # every datum is there twice, and is not compared with itself
    found = scored(metric, own, logits)
    pairs = [
        float(metric(logits[i : i + 1], Target(answer=own.answer[j : j + 1])))
        for i in range(40)
        for j in range(40)
        if i // 2 != j // 2
    ]
    assert found.exact and found.random.mean() == pytest.approx(np.mean(pairs))


def test_a_sample_of_labels_gives_the_same_zero_within_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    own, logits = labels(400), outputs(400)
    whole = scored(cm.METRICS["cross_entropy"], own, logits)
    monkeypatch.setattr("causalmi.methods.scrubbing.labels.TABLE", 10)
    some = scored(cm.METRICS["cross_entropy"], own, logits)
    assert whole.exact and not some.exact
    assert some.random.mean() == pytest.approx(whole.random.mean(), abs=4 * some.random.std() / 20)
    assert some.random.std() == pytest.approx(whole.random.std(), rel=0.2)  # the spread of labels is in it as well


def test_the_constant_answer_is_the_label_frequencies() -> None:
    own, logits = labels(), outputs()
    share = torch.bincount(own.answer).double() / 40
    entropy = float(-(share * share.log()).sum())
    assert scored(cm.METRICS["cross_entropy"], own, logits).constant == pytest.approx(entropy)
    assert scored(cm.METRICS["accuracy"], own, logits).constant == pytest.approx(float(share.max()))
    mine = cm.Metric("mine", lambda x, target: x[:, 0], better="lower")
    assert scored(mine, own, logits).constant is None


def test_a_network_that_does_not_do_the_task_tells_nothing() -> None:
    net = cm.Transformer(
        cm.TransformerConfig(n_layers=1, n_heads=1, d_model=8, d_vocab=4, d_vocab_out=2, n_ctx=3, readout_position=-1)
    )
    model = cm.CausalModel({"a": range(4), "b": range(4)}, {"same": lambda a, b: int(a == b)}, "same")
    task = cm.Task(model, encode=lambda s: [s["a"], s["b"], 0], label=lambda s: s["same"])
    claim = cm.Hypothesis(claim="a is at 0", task=task, model=net, alignment={"a": site.resid_pre(0, at=0)})
    for n in (200, "all"):
        data = model.enumerate() if n == "all" else None
        assert cm.scrub(claim, data=data, n=n).verdict == "uninformative"


def test_without_a_control_nothing_is_supported() -> None:
    found = cm.scrub(identical.hypothesis, n=100, controls=())
    assert found.loss_recovered is not None and found.loss_recovered.value == 1
    assert found.verdict == "uninformative"
    assert cm.scrub(dead_copy.hypothesis, n=200, controls=()).verdict == "rejected"


def test_the_controls_do_not_depend_on_the_order_of_the_data() -> None:
    table = identical.hypothesis.task.model.sample(2000, seed=0)
    sums = 2 * table["x0"] + 3 * table["x1"]
    for data in (table, table.iloc[sums.argsort(kind="stable")]):
        found = cm.scrub(identical.hypothesis, data=data, controls=[cm.ShuffledSources()])
        assert found.verdict == "supported"
        assert found.control is not None and abs(found.control.value) < 0.2


def test_every_draw_listed_has_a_control_listed_as_well() -> None:
    model = identical.hypothesis.task.model
    found = cm.scrub(identical.hypothesis, data=model.enumerate()[list(model.inputs)].iloc[::7], n="all")
    assert found.verdict == "supported"
    assert found.control is not None and found.control.low == found.control.high


def test_its_own_donors_are_really_put_in() -> None:
    setup = set_up(identical.hypothesis, None, data=None, n=20, seed=0, batch_size=None)
    assert len(own_donors(setup).passes().runs["out"].mixed) > 0
    shared = replace(own_donors(setup), shared=True)
    assert len(shared.passes().runs["out"].mixed) == 0


def test_one_datum_under_many_rows_is_its_own_donor() -> None:
    model = cm.CausalModel({"x": range(4)}, {"y": lambda x: x, "out": lambda y: y}, "out")
    net = cm.CausalModule(model)
    task = cm.Task(model, encode=net.encode, label=net.label)
    claim = cm.Hypothesis(
        claim="y", task=task, model=net, alignment={"y": site.module("y")}, unmapped=cm.Resample(share="exact")
    )
    found = cm.scrub(claim, n=200)
    assert (found.nodes["self_donors"] == 1).all() and found.verdict == "uninformative"


def test_mistakes_are_told_before_anything_runs() -> None:
    with pytest.raises(SpecError, match="no control"):
        cm.scrub(identical.hypothesis, n=50, controls=["random site"])  # type: ignore[list-item]
    with pytest.raises(DataError, match="seed is -1"):
        cm.scrub(identical.hypothesis, n=50, seed=-1)
    with pytest.raises(DataError, match="one of two choices"):
        cm.scrub(identical.hypothesis, n=50, metric="logit_diff")
    with pytest.raises(DataError, match="n is -3"):
        cm.unmapped_sensitivity(identical.hypothesis, n=-3)
    assert cm.scrub(identical.hypothesis, n=np.int64(50), controls=cm.ShuffledSources()).frame.shape[0] == 50


def test_places_that_keep_their_reference_are_tested_by_a_rest_that_does_not() -> None:
    inputs = {"x": range(40), "y": range(2)}
    low = cm.CausalModel(inputs, {"p": lambda x: x, "q": lambda y: y, "out": lambda p, q: p}, "out")
    high = cm.CausalModel(inputs, {"p": lambda x: x, "out": lambda p, y: p}, "out")
    net = cm.CausalModule(low, outputs=range(40))
    task = cm.Task(high, encode=net.encode, label=lambda v: v["out"])
    claim = cm.Hypothesis(claim="p", task=task, model=net, alignment={"p": site.module("p")})
    data = pd.DataFrame({"x": [*range(40), 0], "y": [0] * 40 + [1]})  # nearly every x is there once
    found = cm.scrub(claim, data=data, n=300, controls=[cm.ShuffledSources()])
    assert 0.9 < found.nodes["self_donors"].iloc[1] < 1 and found.verdict == "supported"
    assert "barely tested" in found.sentence
