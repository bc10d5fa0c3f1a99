"""What do DAS steps cost with pyvene? Its low-rank rotation in the loop of its tutorials, in its own environment."""

from functools import partial
from importlib.metadata import version
from typing import Any

import pyvene
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.align_job import BATCHES, Fits
from benchmarks.circuit_job import Found, write_found
from benchmarks.measure import figure_of_bare, figure_of_sweep, measure
from benchmarks.workers.align import bare_pass, start, timed

RATE = 1e-3


class Task:
    """The network, the pairs, and one intervention at a time."""

    def __init__(self, fits: Fits):
        self.fits, self.network, self.tokens = fits, fits.model(), fits.tokens()
        self.bare = bare_pass(fits, self.network)

    def prepare(self, layer: int, rank: int) -> None:
        """A low-rank rotation after ``layer``, and its optimizer."""
        config = pyvene.IntervenableConfig(
            [pyvene.RepresentationConfig(layer, "block_output", "pos", 1, low_rank_dimension=rank)],
            intervention_types=pyvene.LowRankRotatedSpaceIntervention,
        )
        self.model = pyvene.IntervenableModel(config, self.network)
        self.model.disable_model_gradients()
        self.rotation: Any = next(iter(self.model.interventions.values()))
        self.rotation = self.rotation[0] if isinstance(self.rotation, tuple) else self.rotation
        if rank == self.fits.rank and f"rotation {layer}" in self.tokens:
            self.rotation.rotate_layer.weight = self.tokens[f"rotation {layer}"]
        self.optimizer, self.number = torch.optim.Adam(self.rotation.parameters(), lr=RATE), 0

    def loss(self) -> Tensor:
        """Of one batch: the cross-entropy at the last position."""
        n, first = self.fits.n, self.number % BATCHES * self.fits.n
        base, source = ({"input_ids": self.tokens[name][first : first + n]} for name in ("base", "source"))
        _, out = self.model(base, [source], {"sources->base": self.fits.length - 1})
        return functional.cross_entropy(out.logits[:, -1], self.tokens["wanted"][first : first + n])

    def step(self) -> None:
        """One step of training."""
        self.loss().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.number += 1

    def fit(self, layer: int, rank: int) -> None:
        """One fit of the sweep, its validation pairs left out."""
        self.prepare(layer, rank)
        for _ in range(self.fits.steps):
            self.step()


def steps(task: Task) -> Found:
    """Single steps after each of the layers."""
    figures, losses = {"bare": figure_of_bare(task.bare, "cpu")}, dict[str, float]()
    for layer in task.fits.layers:
        task.prepare(layer, task.fits.rank)
        with torch.no_grad():
            losses[str(layer)] = float(task.loss())
        figures[f"step {layer}"] = timed(f"step {layer}", task.step, task.bare, task.fits.repeats)
    return Found("", figures, scores={"loss": losses})


def sweep(task: Task) -> Found:
    """Some of the fits, each by itself, that stand for all."""
    fits = task.fits
    pieces = [lambda: None, *(partial(task.fit, *each) for each in fits.single)]
    costs, bare = measure(pieces, task.bare, device="cpu", every=1)
    number = task.network.config.n_layer * len(fits.dims) * fits.seeds
    return Found("", {"sweep": figure_of_sweep("sweep", costs, bare, sites=number, run=len(fits.single))})


def work(fits: Fits) -> None:
    """Do the job and leave what was found in its folder."""
    found = (sweep if fits.sweep else steps)(Task(fits))
    write_found(fits.folder, "pyvene", Found(version("pyvene"), found.figures, scores=found.scores))


if __name__ == "__main__":
    work(start())
