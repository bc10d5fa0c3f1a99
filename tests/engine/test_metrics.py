"""Metrics are what their definitions say, for each example alone, in every precision, with sound gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from scipy.spatial import distance
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

import causalmi as cm
from causalmi.engine.metrics import METRICS, Metric, Target, metric_of, target_of
from causalmi.errors import DataError, ModelError

N, VOCAB = 7, 11
rows_of_logits = st.lists(st.lists(st.floats(-30, 30), min_size=5, max_size=5), min_size=2, max_size=2)


def draw(seed: int, n: int = N, dtype: torch.dtype = torch.float64, scale: float = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, VOCAB, generator=generator, dtype=torch.float64).to(dtype)


def target(n: int = N) -> Target:
    answer = torch.arange(n) * 3 % VOCAB
    return Target(answer, (answer + 4) % VOCAB, draw(1, n))


def by_hand(name: str, logits: np.ndarray, goal: Target) -> list[float]:
    """The slow definitions, example by example."""
    assert goal.answer is not None and goal.foil is not None and goal.clean is not None
    found = []
    for row, a, f, clean in zip(logits, goal.answer.tolist(), goal.foil.tolist(), goal.clean.numpy(), strict=True):
        now, then = special.softmax(row), special.softmax(clean)
        definitions = {
            "logit_diff": row[a] - row[f],
            "logprob": special.log_softmax(row)[a],
            "prob": now[a],
            "cross_entropy": -special.log_softmax(row)[a],
            "kl": special.rel_entr(then, now).sum(),
            "js": distance.jensenshannon(then, now) ** 2,
            "accuracy": float(max(range(len(row)), key=row.__getitem__) == a),
            "rank": stats.rankdata(-row)[a] - 1,
        }
        found.append(float(definitions[name]))
    return found


@pytest.mark.parametrize("name", METRICS)
def test_each_metric_is_its_definition(name: str) -> None:
    logits = draw(0)
    logits[0, 0] = logits[0].max() + 1  # right in one example
    value = METRICS[name](logits, target())
    assert value.dtype == torch.float64 and value.tolist() == pytest.approx(by_hand(name, logits.numpy(), target()))
    assert len(set(value.tolist())) > 1


def test_kl_is_that_of_torch_from_clean_to_now() -> None:
    clean, now = draw(1), draw(0)
    expected = kl_divergence(Categorical(logits=clean), Categorical(logits=now))
    torch.testing.assert_close(METRICS["kl"](now, Target(clean=clean)), expected)
    reverse = kl_divergence(Categorical(logits=now), Categorical(logits=clean))
    assert not torch.allclose(expected, reverse)


@pytest.mark.parametrize("name", METRICS)
def test_an_example_does_not_depend_on_its_batch(name: str) -> None:
    logits, goal = draw(0), target()
    parts = [METRICS[name](logits[s], goal.rows(s)) for s in (slice(0, 2), slice(2, 3), slice(3, N))]
    torch.testing.assert_close(torch.cat(parts), METRICS[name](logits, goal), rtol=0, atol=1e-14)
    picked = torch.tensor([4, 1])
    torch.testing.assert_close(METRICS[name](logits[picked], goal.rows(picked)), METRICS[name](logits, goal)[picked])


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_single(name: str, dtype: torch.dtype) -> None:
    logits, clean = draw(0).to(dtype), draw(1).to(dtype)
    value = METRICS[name](logits, Target(target().answer, target().foil, clean))
    exact = METRICS[name](logits.double(), Target(target().answer, target().foil, clean.double()))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 1e-2, 1e-4])
def test_small_divergences_keep_their_digits_in_single_precision(size: float) -> None:
    """The plain sum of p (log p - log q) is wrong by more than 1e-7 however small it is; at 1e-4 that is all of it."""
    generator = torch.Generator().manual_seed(0)
    clean = 4 * torch.randn(8, 20000, generator=generator)
    now = clean + size * torch.randn(8, 20000, generator=generator)
    for name in ("kl", "js"):
        exact = METRICS[name](now.double(), Target(clean=clean.double()))
        torch.testing.assert_close(METRICS[name](now, Target(clean=clean)).double(), exact, rtol=0.01, atol=0)


@settings(deadline=None)
@given(rows_of_logits)
def test_divergences_are_divergences(rows: list[list[float]]) -> None:
    a, b = (torch.tensor([row], dtype=torch.float64) for row in rows)
    kl, js, back = (
        METRICS["kl"](a, Target(clean=b)),
        METRICS["js"](a, Target(clean=b)),
        METRICS["js"](b, Target(clean=a)),
    )
    assert float(kl) >= -1e-14 and -1e-14 <= float(js) <= math.log(2) + 1e-12
    torch.testing.assert_close(js, back, rtol=1e-9, atol=1e-14)
    assert float(METRICS["kl"](a, Target(clean=a))) == 0 <= float(METRICS["js"](a, Target(clean=a))) < 1e-28


@settings(deadline=None)
@given(rows_of_logits, st.sampled_from(sorted(METRICS)), st.integers(-50, 50))
def test_only_differences_of_logits_count(rows: list[list[float]], name: str, by: int) -> None:
    logits, clean = (torch.tensor([row], dtype=torch.float64).round(decimals=3) for row in rows)
    goal = Target(torch.tensor([1]), torch.tensor([3]), clean)
    moved = METRICS[name]((logits + by).round(decimals=3), goal)
    torch.testing.assert_close(moved, METRICS[name](logits, goal), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["logit_diff", "logprob", "kl", "cross_entropy"])
def test_gradients(name: str) -> None:
    logits = draw(0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: METRICS[name](x, target()), logits)


def test_the_gradient_of_kl_is_the_difference_of_probabilities() -> None:
    now = draw(0).requires_grad_()
    (gradient,) = torch.autograd.grad(METRICS["kl"](now, target()).sum(), now)
    torch.testing.assert_close(gradient, now.softmax(-1) - draw(1).softmax(-1))


@pytest.mark.parametrize("gone", [-math.inf, -1e4], ids=["masked", "far away"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tokens_that_cannot_be(gone: float, dtype: torch.dtype) -> None:
    """p = (1/2, 1/2, 0), q = (1/4, 3/4, 0), then p against (1/4, 1/4, 1/2): KL = ln(4/3) / 2, then ln 2."""
    clean = torch.tensor([[0, 0, gone], [0, 0, gone]], dtype=dtype)
    now = torch.tensor([[0, math.log(3), gone], [0, 0, math.log(2)]], dtype=dtype).requires_grad_()
    kl = METRICS["kl"](now, Target(clean=clean))
    assert kl.tolist() == pytest.approx([math.log(4 / 3) / 2, math.log(2)])
    (gradient,) = torch.autograd.grad(kl.sum(), now)
    torch.testing.assert_close(gradient, now.softmax(-1) - clean.softmax(-1))
    assert bool(METRICS["js"](now, Target(clean=clean)).isfinite().all())


def test_equal_logits_share_a_rank_and_nothing_is_above_the_top() -> None:
    logits = torch.tensor([[1.0, 1, 0], [2, 2, 2], [0, 5, 1], [0, 5, 1]])
    goal = Target(torch.tensor([0, 1, 1, 0]))
    assert METRICS["rank"](logits, goal).tolist() == [0.5, 1, 0, 2]


def test_which_way_is_better() -> None:
    lower = {name for name, metric in METRICS.items() if metric.better == "lower"}
    assert lower == {"kl", "js", "cross_entropy", "rank"}


def test_a_function_is_a_metric() -> None:
    def margin(logits: Tensor, goal: Target) -> Tensor:
        return logits.max(-1).values - logits.mean(-1)

    metric = metric_of(margin)
    assert (metric.name, metric.better, metric.needs) == ("margin", "higher", ())
    torch.testing.assert_close(metric(draw(0), Target()), draw(0).amax(1) - draw(0).mean(1))
    assert metric_of(metric) is metric and metric_of("kl") is METRICS["kl"]
    ties = metric_of(lambda logits, goal: logits[:, 0] > logits[:, 1])(draw(0), Target())
    assert ties.dtype == torch.float64 and set(ties.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("function", "error", "said"),
    [
        (lambda logits, goal: logits.mean(), DataError, r"gives \[\]; give a tensor with a number per example, \[7\]"),
        (lambda logits, goal: logits, DataError, r"gives \[7, 11\]"),
        (lambda logits, goal: 1.0, DataError, "gives float"),
        (lambda logits, goal: logits[:, 0] / (torch.arange(N) != 2), ModelError, "inf at row 2 of 7"),
        (lambda logits, goal: logits[:, 0] * math.nan, ModelError, "nan at row 0 of 7"),
    ],
)
def test_functions_that_are_no_metrics(function: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        metric_of(function)(draw(0).abs(), Target())


@pytest.mark.parametrize("wrong", ["logit_dif", 3, None])
def test_names_that_are_no_metrics(wrong: object) -> None:
    with pytest.raises(DataError, match="give one of logit_diff, logprob"):
        metric_of(wrong)


@pytest.mark.parametrize("name", METRICS)
def test_nan_logits_are_no_score(name: str) -> None:
    logits = draw(0)
    logits[3, 5] = math.nan
    with pytest.raises(ModelError, match="NaN logits"):
        METRICS[name](logits, target())


@pytest.mark.parametrize(("name", "at"), [("logit_diff", 0), ("logprob", 0), ("kl", 0), ("prob", math.inf)])
def test_infinite_scores_are_no_score(name: str, at: float) -> None:
    logits = draw(0)
    logits[0, 0] = at or -math.inf
    with pytest.raises(ModelError, match="at row 0 of 7; check for infinite logits"):
        METRICS[name](logits, target())


@pytest.mark.parametrize(
    ("name", "goal", "said"),
    [
        ("logprob", Target(), "'logprob' needs the right answers.*from_tokens with answer="),
        ("logit_diff", Target(torch.arange(N)), "needs a wrong answer.*give foil= to from_tokens.*from a task"),
        ("kl", Target(torch.arange(N)), "'kl' needs the logits of the clean run"),
        (
            "logit_diff",
            Target(torch.arange(N), torch.tensor([1, 2, 3, 3, 4, 0, 0])),
            "of pair 3 are one token, as in 2",
        ),
        ("rank", Target(torch.arange(N) + 5), "the answer 11 is none of the network's 11 outputs"),
        ("rank", Target(torch.arange(N) - 1), "the answer -1 is none"),
        ("logit_diff", Target(torch.arange(N), torch.arange(N) + 9), "the foil 11 is none"),
        ("prob", Target(torch.arange(3)), r"answer has the shape \[3\], where the logits ask for \[7\]"),
        ("kl", Target(clean=draw(1)[:, :4]), r"clean has the shape \[7, 4\]"),
    ],
)
def test_targets_that_do_not_fit(name: str, goal: Target, said: str) -> None:
    with pytest.raises(DataError, match=said):
        METRICS[name](draw(0), goal)


def test_logits_at_all_positions_are_refused() -> None:
    with pytest.raises(DataError, match="give those at one position"):
        METRICS["kl"](draw(0)[:, None], target())


def test_what_pairs_lack_is_known_before_any_run() -> None:
    METRICS["kl"].check(Target())  # clean comes with the run
    with pytest.raises(DataError, match="give foil="):
        METRICS["logit_diff"].check(Target(torch.arange(3)))
    with pytest.raises(DataError, match="pair 1 are one token"):
        Metric("mine", lambda logits, goal: logits[:, 0], ("answer", "foil")).check(
            Target(torch.tensor([0, 1]), torch.tensor([1, 1]))
        )


def test_the_target_of_raw_pairs() -> None:
    tokens = [[1, 2], [3, 4]]
    goal = target_of(cm.CounterfactualPairs.from_tokens(tokens, tokens, answer=[5, 6], foil=7))
    assert goal.answer is not None and goal.foil is not None and goal.clean is None
    assert (goal.answer.tolist(), goal.foil.tolist()) == ([5, 6], [7, 7])
    bare = target_of(cm.CounterfactualPairs.from_tokens(tokens, tokens))
    assert bare.answer is None and bare.foil is None


@pytest.mark.parametrize("vary", [["c"], ["c", "d"]])
def test_the_target_of_a_task(vary: list[str]) -> None:
    """The foil is the answer to the source, where there is but one."""
    graph = cm.CausalModel(
        {"a": range(4), "b": range(4)}, {"c": lambda a: a, "d": lambda b: b, "out": lambda c, d: c + d}, "out"
    )
    task = cm.Task(graph, encode=lambda s: [float(s["a"]), float(s["b"])], label=lambda s: s["out"])
    pairs = task.pairs(20, vary=vary, seed=0).bind(None)
    goal = target_of(pairs)
    assert goal.answer is not None and torch.equal(goal.answer, pairs.base_labels)
    if len(vary) == 1:
        assert goal.foil is not None and torch.equal(goal.foil, pairs.source_labels["c"])
    else:
        assert goal.foil is None


def test_pairs_that_are_not_bound_have_no_target() -> None:
    graph = cm.CausalModel({"a": range(4)}, {"c": lambda a: a, "out": lambda c: c}, "out")
    pairs = cm.Task(graph, prompt="{a}", answer="{out}").pairs(5, vary=["c"], seed=0)
    with pytest.raises(DataError, match="not bound"):
        target_of(pairs)
