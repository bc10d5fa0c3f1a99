"""How much of the behaviour is left? One number for each example, from its logits where they are read."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine import formulas
from causalmi.errors import DataError, ModelError

LACK = {
    "answer": "the right answers, which these examples lack; give pairs from a task, or from_tokens with answer=",
    "foil": "a wrong answer for each pair; give foil= to from_tokens, or draw pairs with one source from a task",
    "clean": "the logits of the clean run; give them as Target(clean=)",
}


@dataclass(frozen=True, eq=False)
class Target:
    """What n examples are compared with: right answers, wrong ones, and the logits of the clean run."""

    answer: Int[Tensor, " n"] | None = None
    foil: Int[Tensor, " n"] | None = None
    clean: Float[Tensor, "n vocab"] | None = None
    index: Int[Tensor, " n"] | None = None  # the number of each example among all that a method was given

    def rows(self, index: Any) -> "Target":
        """The target of the examples that ``index`` (a slice, indices or bools) selects."""
        return Target(**{name: None if value is None else value[index] for name, value in vars(self).items()})

    def to(self, device: torch.device) -> "Target":
        """The same on ``device``."""
        return Target(**{name: None if value is None else value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Metric:
    """A number for each example, never an average: ``function(logits [n, vocab], target) -> [n]``.

    ``needs`` names what it uses of the target. Logits of less precision than float32 are taken as float32.
    """

    name: str
    function: Callable[[Tensor, Target], Tensor]
    needs: tuple[str, ...] = ()
    better: Literal["higher", "lower"] = "higher"
    floor: bool = False  # 0 on the clean run, and never below

    def check(self, target: Target) -> None:
        """Raises DataError when the pairs lack what is needed; ``clean`` may be missing still, before any run."""
        for need in self.needs:
            if need != "clean" and getattr(target, need) is None:
                raise DataError(f"the metric {self.name!r} needs {LACK[need]}")
        if "foil" in self.needs and target.answer is not None and target.foil is not None:
            same = target.answer == target.foil.to(target.answer.device)
            if bool(same.any()):
                raise DataError(
                    f"answer and foil of pair {int(same.int().argmax())} are one token, as in {int(same.sum())} pairs "
                    f"in all, and have no {self.name!r}; leave such pairs out with pairs.keep(mask)"
                )

    def __call__(self, logits: Float[Tensor, "n vocab"], target: Target) -> Float[Tensor, " n"]:
        """The metric of each example, float [n].

        Raises DataError when the target lacks what is needed or does not fit the logits, ModelError when the logits are
        NaN or the result is not finite.
        """
        self.check(target)
        _fit(self, logits, target)
        if bool(logits.isnan().any()):
            raise ModelError(f"there is no {self.name!r} of NaN logits; try float32 and check the size of the edit")
        scores = logits if logits.dtype == torch.float64 else logits.float()
        return _numbers(self.name, self.function(scores, target.to(scores.device)), scores)


def _numbers(name: str, value: Tensor, scores: Tensor) -> Tensor:
    """``value`` as one finite number for each row of ``scores``."""
    if not isinstance(value, Tensor) or value.shape != scores.shape[:1]:
        given = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise DataError(f"the metric {name!r} gives {given}; give a tensor with a number per example, [{len(scores)}]")
    value = value if value.is_floating_point() else value.to(scores.dtype)
    wrong = ~value.isfinite()
    if bool(wrong.any()):
        row = int(wrong.int().argmax())
        raise ModelError(
            f"the metric {name!r} is {float(value[row])} at row {row} of {len(value)}; check for infinite logits, "
            "such as those of an answer that is masked out"
        )
    return value


def _fit(metric: Metric, logits: Tensor, target: Target) -> None:
    if logits.ndim != 2:
        raise DataError(f"the logits have the shape {list(logits.shape)}; give those at one position, [n, vocab]")
    for name, value in vars(target).items():
        if value is None and name in metric.needs:
            raise DataError(f"the metric {metric.name!r} needs {LACK[name]}")
        shape = logits.shape if name == "clean" else logits.shape[:1]
        if value is not None and value.shape != shape:
            raise DataError(f"{name} has the shape {list(value.shape)}, where the logits ask for {list(shape)}")
        if value is not None and name in ("answer", "foil"):
            wrong = value[(value < 0) | (value >= logits.shape[1])]
            if len(wrong):
                raise DataError(f"the {name} {int(wrong[0])} is none of the network's {logits.shape[1]} outputs")


def target_of(pairs: CounterfactualPairs) -> Target:
    """The target of bound pairs: their base's answers, and as foil the given one, else the only source's answers."""
    foil, sources = pairs.foil, [*pairs.source_labels.values()]
    if foil is None and len(sources) == 1:
        foil = sources[0]
    answer = None if pairs.tensors is None else pairs.tensors.base_labels
    return Target(answer=answer, foil=foil, index=torch.arange(len(pairs)))


def metric_of(metric: str | Metric | Callable[[Tensor, Target], Tensor]) -> Metric:
    """The metric of a name, or of a function ``f(logits [n, vocab], target) -> [n]``, of which higher is better.

    A function is given some of the examples at a time; ``target.index`` says which.

    Raises DataError for a name that is none of ``METRICS``.
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and metric in METRICS:
        return METRICS[metric]
    if not callable(metric):
        raise DataError(f"the metric is {metric!r}; give one of {', '.join(METRICS)}, or f(logits, target) -> [n]")
    try:
        inspect.signature(metric).bind(None, None)
    except TypeError:
        raise DataError(f"the metric {metric!r} does not take two arguments; give f(logits, target) -> [n]") from None
    return Metric(getattr(metric, "__name__", type(metric).__name__), metric)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("logit_diff", formulas.logit_diff, ("answer", "foil")),
            Metric("logprob", formulas.logprob, ("answer",)),
            Metric("prob", lambda logits, target: formulas.logprob(logits, target).exp(), ("answer",)),
            Metric("cross_entropy", lambda logits, target: -formulas.logprob(logits, target), ("answer",), "lower"),
            Metric("kl", formulas.kl, ("clean",), "lower", floor=True),
            Metric("js", formulas.js, ("clean",), "lower", floor=True),
            Metric("accuracy", formulas.accuracy, ("answer",)),
            Metric("rank", formulas.rank, ("answer",), "lower"),
        )
    }
)
