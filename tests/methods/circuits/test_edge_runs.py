"""A run under any mask of edges is that of a textbook's network in which every receiver adds up what it reads itself."""

import numpy as np
import pytest
import torch

import causalmi as cm
from causalmi.methods.circuits.problem import Problem
from tests.methods.circuits.textbook import masked
from tests.methods.circuits.worked import MAKE, loss, pairs, worked
from tests.networks import exact_norms

CASES = [
    *((name, dict(ablation=a)) for name in MAKE for a in ("paired", "zero", "mean", "positional")),
    *((name, dict(positions=("1", "rest"))) for name in MAKE),
    *((name, dict(neurons=True)) for name in ("reference", "gpt2", "llama", "neox")),
    *((name, dict(neurons=True, positions=("1", "rest"), ablation="zero")) for name in ("gpt2", "llama")),
    *((name, dict(split_qkv=False)) for name in ("reference", "gpt2", "neox")),
    *((name, dict(split_embeddings=True, ablation="zero")) for name in ("reference", "gpt2")),
    *((name, dict(direction="restore")) for name in MAKE),
]
every_case = pytest.mark.parametrize(("name", "how"), CASES, ids=lambda x: str(x))


def draw(shape: tuple[int, ...], seed: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


@every_case
def test_any_mask_gives_what_the_textbook_gives(name: str, how: dict) -> None:
    hand, problem = worked(name, **how)
    keeps = [draw(hand.graph.shape, seed, share) for seed, share in enumerate((0.0, 0.5, 0.9, 1.0))]
    found = problem.losses(keeps)
    for keep, row in zip(keeps, found, strict=True):
        wanted = hand.losses(~keep if problem.restore else keep)
        np.testing.assert_allclose(row, wanted, atol=1e-9)


@pytest.mark.parametrize("name", MAKE)
def test_shares_between_are_mixtures_and_have_the_textbooks_derivative(name: str) -> None:
    hand, problem = worked(name)
    share = torch.tensor(np.random.default_rng(0).random(hand.graph.shape), requires_grad=True)
    (batch,) = problem.batches()
    value = batch.loss(batch.net.run(share))
    (slope,) = torch.autograd.grad(value.sum(), share)
    np.testing.assert_allclose(value.detach(), hand.losses(share.detach()), atol=1e-9)
    for p, r, s in list(zip(*np.nonzero(hand.graph.exists), strict=True))[::7]:
        step = np.zeros(hand.graph.shape)
        step[p, r, s] = 1e-5
        ends = [hand.losses(share.detach().numpy() + sign * step).sum() for sign in (1, -1)]
        assert float(slope[p, r, s]) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, abs=1e-7)


def test_donors_values_are_what_replaces() -> None:
    """Under resampling all senders of an example carry those of one other base."""
    hand, problem = worked("gpt2")
    problem = Problem.of(
        problem.model, pairs(), metric="logit_diff", ablation=cm.Resample(share="node"), graph=hand.graph
    )
    clean, keep = hand.senders(hand.base), draw(hand.graph.shape, 0, 0.5)
    found = problem.losses([keep])[0]
    for row in range(len(found)):
        fits = []
        for donor in {0, 1, 2} - {row}:
            ablated = {s: x[donor].expand_as(x) for s, x in clean.items()}
            run = hand.book.run(hand.base, hand.graph, masked(hand.graph, keep, ablated, hand.classes))
            fits.append(abs(float(loss(run)[row]) - found[row]) < 1e-9)
        assert sum(fits) == 1


def test_a_batch_of_one_gives_the_same() -> None:
    for name in ("gpt2", "llama"):
        hand, problem = worked(name, batch_size=1)
        keep = draw(hand.graph.shape, 0, 0.7)
        np.testing.assert_allclose(problem.losses([keep])[0], hand.losses(keep), atol=1e-9)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_examples_of_other_lengths_in_a_batch_change_nothing(name: str, side: str) -> None:
    """A short example beside a long one is padded; the first of the batch is no stand-in for how it is called."""
    hand, problem = worked(name)
    keep, base, source = draw(hand.graph.shape, 0, 0.5), [[3, 4, 5, 6], [7, 8]], [[5, 1, 2, 3], [6, 9]]
    fill = (lambda row: [0] * (4 - len(row)) + row) if side == "left" else (lambda row: row + [0] * (4 - len(row)))
    mask = [fill([1] * len(row)) for row in base]
    given = [[fill(row) for row in rows] for rows in (base, source)]
    how = {"metric": "logit_diff", "graph": hand.graph}
    together = cm.CounterfactualPairs.from_tokens(
        *given, answer=1, foil=2, mask=[[bool(x) for x in row] for row in mask]
    )
    found = Problem.of(problem.model, together, **how).losses([keep])[0]
    for i, (b, s) in enumerate(zip(base, source, strict=True)):
        alone = cm.CounterfactualPairs.from_tokens([b], [s], answer=1, foil=2)
        assert found[i] == pytest.approx(Problem.of(problem.model, alone, **how).losses([keep])[0][0], abs=1e-9)


def test_the_helper_makes_norms_exact() -> None:
    """Otherwise the networks above would agree to float32 alone."""
    x = torch.randn(2, 3, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = exact_norms(MAKE["llama"][0]())
    norm = net.model.norm
    wanted = x / (x.square().mean(-1, keepdim=True) + norm.variance_epsilon).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), wanted, rtol=0, atol=1e-12)
