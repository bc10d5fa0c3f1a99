"""Pairs that must change and pairs that must not count alike, and the table says how either does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from causalmi import site
from causalmi.data.drawn import Drawn
from causalmi.errors import DataError, SpecError
from causalmi.methods.align.batches import Pool
from causalmi.methods.align.choose import Candidate, best
from causalmi.methods.align.das import DAS
from causalmi.methods.align.fitting import Training
from causalmi.methods.align.judging import Counts
from causalmi.methods.align.method import Fitted, Problem
from causalmi.methods.align.multitask import MultiTaskDAS
from causalmi.methods.swap import Swap
from causalmi.spec.basis import Basis
from causalmi.stats.estimate import Estimate
from tests.methods.align.small import family, signs, trained
from tests.networks import Network, draw_numbers, mlp

MLP = Network("mlp", mlp, draw_numbers, tokens=False)
TURN = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]


def test_both_kinds_have_half_of_the_weight() -> None:
    changed = torch.tensor([True, False, False, True, False])
    weights = MultiTaskDAS().weights(changed)
    assert weights.tolist() == pytest.approx([1 / 4, 1 / 6, 1 / 6, 1 / 4, 1 / 6])
    assert MultiTaskDAS().weights(torch.tensor([True, True])).tolist() == [0.5, 0.5]
    assert DAS().weights(changed).tolist() == pytest.approx([1 / 5] * 5)


def test_the_best_step_is_the_one_that_disentangles_most() -> None:
    """Also where it agrees less often in all: 2 of 2 and 4 of 8 are better than 0 of 2 and 7 of 8."""
    counts = Counts(torch.tensor([[[4.0, 2.0]], [[7.0, 0.0]]]), torch.tensor([[8.0, 2.0]]), torch.zeros(2))
    assert MultiTaskDAS().scores(counts).tolist() == [0.75, 0.4375]
    assert DAS().scores(counts).tolist() == pytest.approx([0.6, 0.7])
    assert MultiTaskDAS().more(counts) == {
        "cause": [1.0, 0.0], "isolate": [0.5, 0.875], "disentangle": [0.75, 0.4375],
        "score": [0.75, 0.4375],
    }  # fmt: skip


def test_rates_are_means_over_the_sets_that_have_such_pairs() -> None:
    counts = Counts(torch.tensor([[[4.0, 0.0], [3.0, 1.0]]]), torch.tensor([[8.0, 0.0], [4.0, 2.0]]), torch.zeros(1))
    assert counts.rate(1).tolist() == [0.5] and counts.rate(0).tolist() == [0.625]
    assert counts.agreement.tolist() == [0.5]
    none = Counts(torch.tensor([[[4.0, 0.0]]]), torch.tensor([[8.0, 0.0]]), torch.zeros(1))
    with pytest.raises(DataError, match="the answer changes"):
        MultiTaskDAS().scores(none)


def test_the_table_has_what_is_counted_by_hand() -> None:
    problem = family(MLP, "a", "b", n=40)
    training = trained(MultiTaskDAS(dims=(1, 3), steps=10, check=5, batch=16), problem)
    for row in training.fitted():
        shares = {True: list[float](), False: list[float]()}
        inside = problem.validation.swap.within(row.alignment)
        for subset in problem.subsets:
            hits = inside.hits(subset, inside.interchange(subset))
            changed = inside.expected(subset) != inside.pairs.base_labels
            for kind, found in shares.items():
                found.append(float(hits[changed == kind].double().mean()))
        cause, isolate = (sum(found) / len(found) for found in shares.values())
        assert row.more["cause"] == pytest.approx(cause) and row.more["isolate"] == pytest.approx(isolate)
        assert row.more["disentangle"] == pytest.approx((cause + isolate) / 2)


def test_the_fit_is_chosen_by_what_its_steps_are_chosen_by() -> None:
    """Not by how often it agrees; the smallest of those within 0.02, and of these the one that disentangles most."""

    def of(dims: int, iia: float, **more: float) -> Candidate:
        along = site.module("layer").along(Basis(np.eye(8)[:, :dims]))
        return Candidate("layer", Fitted({"dims": dims}, {"u": (along,)}, more), {("u",): Estimate(iia, 0.0, 1.0, 9)})

    assert best([of(1, 0.9, score=0.5), of(3, 0.7, score=0.91), of(2, 0.6, score=0.9)]) == 2
    assert best([of(2, 0.9, score=0.9), of(2, 0.6, score=0.91)]) == 1
    assert best([of(1, 0.9), of(3, 0.7), of(2, 0.6)]) == 0


def test_a_variable_is_found_where_few_answers_change() -> None:
    rare = lopsided(signs(TURN, "u", n=384))
    rows = MultiTaskDAS(dims=1, steps=120, batch=64, seeds=2).fits(rare)
    top = max(rows, key=lambda row: row.more["score"])
    assert top.more["cause"] > 0.95 and top.more["isolate"] > 0.95
    (found,) = top.alignment["u"]
    assert found.basis is not None
    assert abs(float((TURN[0] + TURN[1]).numpy() @ found.basis.columns[:, 0])) / 2**0.5 > 0.95


def lopsided(problem: Problem) -> Problem:
    """The same with few of the pairs in which the answer changes."""

    def of(swap: Swap) -> Pool:
        drawn, task = swap.pairs.drawn, swap.pairs.task
        assert drawn is not None and task is not None
        changed = (swap.expected(("u",)) != swap.pairs.base_labels).numpy()
        keep = ~changed | (changed.cumsum() % 6 == 0)
        base, source = (x[keep].reset_index(drop=True)[["x", "y", "z"]] for x in (drawn.base, drawn.sources["u"]))
        few = Drawn.of(task.model, base, {"u": source})
        return Pool(replace(swap, pairs=replace(swap.pairs, drawn=few, tensors=None).bind(None)))

    return replace(problem, train=of(problem.train.swap), validation=of(problem.validation.swap))


def tries(*dims: object, **how: object) -> Training:
    method = DAS(dims=dims, nested=True, batch=8, steps=8, check=2, **how)  # type: ignore[arg-type]
    return trained(method, family(MLP, "a", "b"))


def test_nested_tries_have_one_rotation_and_claim_the_first_of_it() -> None:
    training = tries(1, 2, 4, seeds=2)
    for value in training.learner.parameters.values():
        for seed in (0, 1):
            for k in (1, 2):
                torch.testing.assert_close(value[2 * k + seed], value[seed], rtol=0, atol=0)
        assert not torch.allclose(value[0], value[1])
    (place,) = training.learner.places.at
    blocks = training.learner._masks[place][::2].nonzero().tolist()
    owned = {(k, v): [i for kk, vv, i in blocks if (kk, vv) == (k, v)] for k in range(3) for v in range(2)}
    assert owned == {
        (0, 0): [0], (0, 1): [1], (1, 0): [0, 2], (1, 1): [1, 3], (2, 0): [0, 2, 4, 5], (2, 1): [1, 3, 6, 7],
    }  # fmt: skip
    sites = [training.learner.found(i) for i in (0, 2, 4)]
    for v in ("a", "b"):
        small, middle, large = (found[v][0].basis.columns for found in sites)  # type: ignore[union-attr]
        torch.testing.assert_close(torch.tensor(large[:, :2]), torch.tensor(middle), rtol=0, atol=1e-12)
        torch.testing.assert_close(torch.tensor(middle[:, :1]), torch.tensor(small), rtol=0, atol=1e-12)


def test_nested_tries_are_learned_by_the_mean_of_their_losses() -> None:
    problem = family(MLP, "a", "b")
    method = DAS(dims=({"a": 1, "b": 1}, {"a": 1, "b": 3}), nested=True, batch=8)
    training = Training(method, problem, method.learner(problem))
    training.descent.set_gradients(0, training._chosen(), [0, 1], 0.0)
    (value,) = training.learner.parameters.values()
    assert value.grad is not None
    apart = value.grad.clone()
    training.learner.tie()
    assert not torch.allclose(apart[0], apart[1])
    torch.testing.assert_close(value.grad, apart.mean(0).expand(2, -1, -1))


def test_nested_tries_are_rows_from_the_smallest_on() -> None:
    rows = list(tries(3, 1).fitted())
    assert [row.label["dims"] for row in rows] == [1, 3]
    assert [row.alignment["a"][0].basis.dims for row in rows] == [1, 3]  # type: ignore[union-attr]
    with pytest.raises(SpecError, match="no variable may have fewer directions in a larger one"):
        tries({"a": 1, "b": 3}, {"a": 4, "b": 1})
