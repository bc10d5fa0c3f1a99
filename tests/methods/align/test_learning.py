"""Training follows the gradients of the loss that it says, in the network's precision; nothing of a point leaks out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from causalmi.methods.align.batches import Batches, recorded
from causalmi.methods.align.boundless import BoundlessDAS
from causalmi.methods.align.das import DAS
from causalmi.methods.align.dbm import DBM
from causalmi.methods.align.descent import Descent
from causalmi.methods.align.fitting import Training, precision
from causalmi.methods.align.learner import mixtures
from causalmi.methods.align.method import Problem, Trained
from causalmi.methods.align.multitask import MultiTaskDAS
from causalmi.methods.subsets import names
from tests.methods.align.small import family, trained
from tests.networks import Network, draw_numbers, draw_tokens, every_network, exact_norms, gpt2, llama, mlp

SMALL = {
    "gpt2": Network("gpt2", gpt2, draw_tokens),
    "llama": Network("llama", lambda: exact_norms(llama()), draw_tokens),
    "mlp": Network("mlp", mlp, draw_numbers, tokens=False),
}
METHODS: dict[str, Trained] = {
    "das": DAS(dims=(2, 3), batch=8),
    "multitask": MultiTaskDAS(dims=2, batch=8),
    "boundless": BoundlessDAS(penalty=(0.3, 1.0), batch=8, temperature=(2.0, 1.0)),
    "sigmoid": DBM(penalty=(0.3, 1.0), batch=8, temperature=(1.0, 0.5)),
    "hard_concrete": DBM(gate="hard_concrete", penalty=0.3, batch=8, seeds=2),
    "budget": DBM(gate="budget", features=(3, 5), batch=8, temperature=(1.0, 0.5)),
}


def begun(method: Trained, problem: Problem) -> Training:
    """A training whose parameters are moved away from where everything is alike."""
    training = Training(method, problem, method.learner(problem))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in training.learner.parameters.values():
            value += 0.05 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
    return training


def loss_by_hand(training: Training, number: int, chosen: Tensor, progress: float) -> float:
    """The loss of one batch, row by row, each a whole run of the network with its vectors put in by hand."""
    problem, learner = training.problem, training.learner
    pairs, model, (place,) = problem.train.swap.pairs, problem.model, problem.places.at
    shares, penalty = learner.shares(progress), learner.penalty(progress)
    rows = [r for piece in training.train.pieces[number] for r in range(piece.rows.start, piece.rows.stop)]
    total = float(penalty.sum())
    clean = model.capture(pairs.base, [place])[place]
    labels = [int(problem.train.swap.expected(problem.subsets[chosen[r]])[r]) for r in rows]
    same = [label == int(pairs.base_labels[r]) for r, label in zip(rows, labels, strict=True)]
    for share in shares:
        featurizer, masks = share[place].featurizer, share[place].masks
        vectors = []
        for r in rows:
            base, rest = featurizer.encode(clean[r])
            new = base.clone()
            for v, variable in enumerate(problem.places.variables):
                if variable in names(problem.subsets[chosen[r]]):
                    source = problem.train.swap.source(variable).values[place][r]
                    new = new + masks[v] * (featurizer.encode(source)[0] - base)
            vectors.append(featurizer.decode(new, rest))
        logits = model.run(
            torch.stack([pairs.base.values[r] for r in rows]), edits={place: torch.stack(vectors)}
        ).logits
        logits = logits[:, -1] if logits.ndim == 3 else logits
        each = logits.logsumexp(-1) - logits[range(len(rows)), labels]
        if isinstance(training.method, MultiTaskDAS) and 0 < sum(same) < len(same):
            weights = [0.5 / (sum(same) if s else len(same) - sum(same)) for s in same]
        else:
            weights = [1 / len(rows)] * len(rows)
        total += float((each * torch.tensor(weights)).sum())
    return total


@pytest.mark.parametrize("network", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_gradients_are_those_of_the_loss(method: Trained, network: Network) -> None:
    training = begun(method, family(network, "a", "b", n=16))
    number, progress = 1, 0.4
    chosen = training._chosen()
    training.descent.set_gradients(number, chosen, training.active, progress)
    generator, h = torch.Generator().manual_seed(0), 1e-5
    for name, value in training.learner.parameters.items():
        assert value.dtype == torch.float64 and value.grad is not None
        way = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        found = []
        for sign in (1, -1):
            with torch.no_grad():
                value += sign * h * way
                found.append(loss_by_hand(training, number, chosen, progress))
                value -= sign * h * way
        wanted = (found[0] - found[1]) / (2 * h)
        assert abs(wanted) > 1e-4, name  # the parameter makes a difference
        assert float((value.grad * way).sum()) == pytest.approx(wanted, rel=1e-5, abs=1e-8), name


STACKS: dict[str, tuple[Trained, Mapping[str, Any]]] = {
    "das": (DAS(dims=(1, 2, 4), seeds=2), {"dims": 2}),
    "boundless": (BoundlessDAS(penalty=(0.0, 0.1, 1.0), seeds=2), {"penalty": 0.1}),
    "sigmoid": (DBM(penalty=(0.0, 0.1, 1.0), seeds=2), {"penalty": 0.1}),
    "hard_concrete": (DBM(gate="hard_concrete", penalty=(0.0, 0.1), seeds=2), {"penalty": 0.1}),
    "budget": (DBM(gate="budget", features=(1, 4), seeds=2), {"features": 4}),
}


@pytest.mark.parametrize("name", STACKS)
def test_a_point_in_a_stack_is_learned_as_alone(name: str) -> None:
    method, label = STACKS[name]
    method = replace(method, steps=20, check=5, batch=8)
    problem = family(SMALL["mlp"], "a", "b")
    stack, alone = trained(method, problem), trained(method.alone(label), problem)  # type: ignore[arg-type]
    rows = [i for i, point in enumerate(stack.learner.labels) if label.items() <= point.items()]
    assert len(rows) == alone.learner.points == 2
    for parameter, value in alone.learner.parameters.items():
        both = stack.learner.parameters[parameter][rows]
        size = value.shape[-1] if value.ndim == 3 and "owners" not in parameter else None  # a larger try has more
        torch.testing.assert_close(both[..., :size], value, rtol=0, atol=1e-9)
    start = method.learner(problem).parameters
    assert any(not torch.allclose(start[p].double(), stack.learner.parameters[p], atol=1e-3) for p in start)


@pytest.mark.parametrize("method", [DAS(dims=(2, 5)), DAS(dims=(1, 3), nested=True), BoundlessDAS()], ids=str)
def test_directions_stay_orthonormal(method: Trained) -> None:
    module = mlp().float()
    training = trained(replace(method, steps=100, batch=8, patience=99), family(SMALL["mlp"], "a", module=module))
    for value in training.learner.parameters.values():
        assert value.dtype == torch.float32
        if value.ndim == 3:
            assert (value.mT @ value - torch.eye(value.shape[-1])).abs().max() <= 1e-5
    assert all(training.learner.off(i) <= 1e-5 for i in range(training.learner.points))


def test_what_is_learned_has_the_precision_of_the_network_at_least_float32() -> None:
    wanted = {torch.float64: torch.float64, torch.bfloat16: torch.float32, torch.float16: torch.float32}
    assert {dtype: precision(nn.Linear(1, 1).to(dtype)) for dtype in wanted} == wanted
    training = trained(DAS(dims=2, steps=3, batch=8), family(SMALL["gpt2"], "a", module=gpt2(torch.bfloat16)))
    (columns,) = training.learner.parameters.values()
    assert columns.dtype == torch.float32 and bool(columns.isfinite().all())
    assert not torch.equal(columns, training.method.learner(training.problem).parameters.popitem()[1])


@pytest.mark.parametrize("n", [(24, 8), (25, 8), (17, 16), (3, 8)], ids=str)
def test_batches_are_equal_up_to_one_pair(n: tuple[int, int]) -> None:
    problem = family(SMALL["mlp"], "a", n=n[0])
    rows = [piece.rows for (piece,) in Batches(problem.train, problem.places, n[1]).pieces]
    sizes = [r.stop - r.start for r in rows]
    assert [r.start for r in rows] == [0, *(r.stop for r in rows[:-1])] and rows[-1].stop == n[0]
    assert max(sizes) <= n[1] and max(sizes) - min(sizes) <= 1 and len(sizes) == -(-n[0] // n[1])
    assert len(list(recorded(problem.train.swap, 100))) == 1


def test_memory_for_some_points_only_gives_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = family(SMALL["mlp"], "a", "b")
    training = begun(DAS(dims=(1, 2, 3, 1, 2), batch=8), problem)
    given = (0, training._chosen(), training.active, 0.1)
    training.descent.set_gradients(*given)
    wanted = {name: value.grad for name, value in training.learner.parameters.items()}
    add, sizes = Descent._add, list[int]()

    def scarce(self: Descent, loss: Tensor) -> None:
        if len(sizes) < 2:
            sizes.append(0)
            raise RuntimeError("CUDA out of memory")
        add(self, loss)

    monkeypatch.setattr(Descent, "_add", scarce)
    training.descent.set_gradients(*given)
    assert training.descent.together == 1 and len(sizes) == 2
    for name, value in training.learner.parameters.items():
        torch.testing.assert_close(value.grad, wanted[name], rtol=1e-12, atol=1e-12)


EXTREMES: list[tuple[Trained, float, float]] = [  # mask parameters for everything and for nothing
    (DBM(temperature=(1.0, 1.0)), 20.0, -20.0),
    (BoundlessDAS(temperature=(1e-3, 1e-3)), 1.0, 0.0),
]


@every_network
def test_full_masks_are_the_whole_swap_and_empty_ones_the_clean_run(network: Network) -> None:
    problem = family(network, "a", n=4)
    (piece,), place = Batches(problem.train, problem.places, 8).pieces[0], *problem.places.at
    inputs, source = problem.train.swap.pairs.base, problem.train.swap.source("a").values[place]
    runs = (problem.model.run(inputs, edits=edits).logits for edits in ({place: source}, {}))
    whole, clean = (logits[:, -1] if logits.ndim == 3 else logits for logits in runs)
    assert (whole - clean).abs().max() > 1e-3
    for method, everything, nothing in EXTREMES:
        learner = Training(method, problem, method.learner(problem)).learner
        for value, hard, wanted in ((everything, False, whole), (everything, True, whole), (nothing, False, clean)):
            with torch.no_grad():
                list(learner.parameters.values())[-1].fill_(value)
                shares = learner.shares(1.0, hard=hard)
            edits = mixtures(shares[0], problem.places, torch.ones(4, 1))
            torch.testing.assert_close(piece.run([edits])[0], wanted, rtol=0, atol=1e-6)
