"""Which constant does the least harm? Optimal ablation: Li & Janson 2024, "Optimal ablation for interpretability"."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.metrics import Metric, Target, metric_of
from causalmi.engine.recording import Recording
from causalmi.errors import SpecError
from causalmi.methods.ablation import Ablation, AblationData, Replacement, Values, constant
from causalmi.methods.ablation_means import moments
from causalmi.methods.examples import readout_of, target_for
from causalmi.rng import stream
from causalmi.spec.site import Site

ROUND = 10  # gradient steps, at least, between two looks at the whole training data
WORTH = 1e-4  # of the loss; a round that gains less halves the rate
SMALLEST = 1e-3  # of the first rate; a smaller one ends the training


@dataclass(frozen=True, kw_only=True)
class Optimal(Ablation):
    """The constant a* = argmin_a E[loss(network with a at the site)], found by gradient descent over the reference.

    A vector [(head,) width] for each site, the same at all positions; sites that are ablated together are trained
    together. ``loss`` is a metric ("kl" to the clean output, as in the paper), minimised or, if higher is better,
    maximised. Adam starts at the mean, with steps of ``rate`` times the site's standard deviation on minibatches of
    ``batch`` examples; after each round over the data that brings next to nothing the rate is halved, and the best
    constant of all rounds is kept, so that it is never worse than the mean on the training data. A training that ends
    worse than it began says so in a UserWarning. Raises SpecError for numbers that are not positive.
    """

    together: ClassVar[bool] = True
    loss: str | Metric = "kl"
    steps: int = 500
    rate: float = 0.3
    batch: int = 64

    def __post_init__(self) -> None:
        numbers = {"steps": self.steps, "rate": self.rate, "batch": self.batch}
        if bad := [f"{name} is {x!r}, it must be above 0" for name, x in numbers.items() if not x > 0]:
            raise SpecError("Optimal", bad)
        if not isinstance(self.loss, str | Metric):  # of a bare function no one knows whether to minimise it
            raise SpecError("Optimal", [f"loss is {self.loss!r}, it must be the name of a metric, or a Metric"])

    def replacement(self, data: AblationData, sites: Sequence[Site]) -> Replacement:
        """The trained constants; ``losses`` has theirs and that of the mean, both on the training data."""
        training = _Training(data, sites, metric_of(self.loss), self.batch)
        start = {site: found.mean.to(_fine(found.mean.dtype)) for site, found in training.usual.items()}
        steps = {site: torch.zeros_like(mean, requires_grad=True) for site, mean in start.items()}
        adam = torch.optim.Adam([*steps.values()], lr=self.rate)
        first = best = last = training.loss(start)
        kept, rounds = start, max(1, -(-self.steps // training.round))
        for _ in range(rounds):
            training.descend(adam, start, steps)
            here = {site: x.detach().clone() for site, x in training.constants(start, steps).items()}
            last = training.loss(here)
            gained = best - last
            if gained > 0:
                best, kept = last, here
            if gained > WORTH * abs(best):
                continue
            adam.param_groups[0]["lr"] /= 2
            if adam.param_groups[0]["lr"] < SMALLEST * self.rate:
                break
        if kept is start and last > first:
            warnings.warn(_worse(sites, first, last), UserWarning, stacklevel=2)
        return constant(data, kept, {"train_loss": best, "mean_loss": first})


class _Training:
    """The expected loss over the reference as a function of the constants at some sites."""

    def __init__(self, data: AblationData, sites: Sequence[Site], metric: Metric, batch: int):
        self.data, self.metric, self.usual = data, metric, moments(data, sites)
        self.shapes = {site: place.shape[1:] for site, place in data.places(sites, data.pool).items()}
        self.scale = {site: float(x.std.double().square().mean().sqrt()) or 1.0 for site, x in self.usual.items()}
        order = torch.from_numpy(stream(data.seed, "optimal").permutation(len(data.pool)))
        self.batches = order.split(batch)
        self.round = len(self.batches) * -(-ROUND // len(self.batches))  # whole passes over the data
        self.target, self.at = target_for(data.reference), readout_of(data.model, data.reference)
        self.metric.check(self.target)
        self._kept: tuple[int, Recording] | None = None

    def constants(self, start: Values, steps: Mapping[Site, Tensor]) -> Values:
        """``start`` moved by ``steps``, which are counted in the site's standard deviation."""
        return {site: start[site] + self.scale[site] * step for site, step in steps.items()}

    def descend(self, adam: torch.optim.Adam, start: Values, steps: Mapping[Site, Tensor]) -> None:
        """One round of gradient steps."""
        for number in range(self.round):
            which = number % len(self.batches)
            with torch.enable_grad():
                loss = self._losses(which, self.constants(start, steps)).mean()
                if not loss.requires_grad:
                    return  # no site reaches where the logits are read
                # not .backward(), which would leave gradients on the network's weights
                gradients = torch.autograd.grad(loss, [*steps.values()], materialize_grads=True)
            for step, gradient in zip(steps.values(), gradients, strict=True):
                step.grad = gradient
            adam.step()

    def loss(self, constants: Values) -> float:
        """The mean over the whole training data."""
        with torch.no_grad():
            parts = [self._losses(which, constants).double().sum() for which in range(len(self.batches))]
        return float(sum(parts)) / len(self.data.pool)

    def _losses(self, which: int, constants: Values) -> Tensor:
        recording = self._recording(which)
        rows = self.batches[which]
        target = Target(self.target.rows(rows).answer, self.target.rows(rows).foil, recording.logits)
        edits = {site: value.expand(self.shapes[site]) for site, value in constants.items()}
        value = self.metric(recording.run(edits).logits, target)
        return value if self.metric.better == "lower" else -value

    def _recording(self, which: int) -> Recording:
        """The clean run of a minibatch; the last one is kept, which is all where there is one minibatch."""
        if self._kept is None or self._kept[0] != which:
            inputs: Inputs = self.data.pool.rows(self.batches[which])
            self._kept = (which, self.data.model.record(inputs, at=self.at, resume=self.data.resume))
        return self._kept[1]


def _fine(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _worse(sites: Sequence[Site], first: float, last: float) -> str:
    return (
        f"training the constant at {' and '.join(map(str, sites))} found nothing better than the mean, whose loss is "
        f"{first:.4g}, and ended at {last:.4g}; the mean is used. Try a smaller rate or more steps"
    )
