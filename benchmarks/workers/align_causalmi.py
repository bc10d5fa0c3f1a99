"""What do DAS steps and sweeps cost with this package? Steps as training does them, and fits as it makes them."""

from functools import partial

import causalmi as cm
from benchmarks.align_job import BATCHES, Fits
from benchmarks.circuit_job import Found, write_found
from benchmarks.job import Figure
from benchmarks.measure import figure_of_bare, figure_of_edit, figure_of_sweep, measure
from benchmarks.workers.align import bare_pass, start, suffix_pass, timed
from causalmi import site
from causalmi.methods.align.batches import Pool
from causalmi.methods.align.das import DAS
from causalmi.methods.align.fitting import Training, fit
from causalmi.methods.align.judging import judged
from causalmi.methods.align.method import Problem
from causalmi.methods.align.places import Places
from causalmi.methods.swap import Swap
from causalmi.spec.site import Site

LONG = 10**6  # steps, so that the learning rate stays as it is at first
MOVED = "source"  # what raw pairs call the only variable


class Task:
    """The network and the pairs."""

    def __init__(self, fits: Fits):
        self.fits, self.network = fits, fits.model()
        self.model, self.bare = cm.load_model(self.network), bare_pass(fits, self.network)
        self.trained: dict[int, Training] = {}

    def pools(self, sites: tuple[Site, ...]) -> tuple[Pool, Pool]:
        """Training and validation pairs with what their sources have at ``sites``."""
        x, n = self.fits.tokens(), BATCHES * self.fits.n
        pairs = cm.CounterfactualPairs.from_tokens(x["base"], x["source"], answer=x["answer"], expected=x["wanted"])
        parts = (pairs.rows(slice(0, n)), pairs.rows(slice(n, None)))
        train, validation = (Pool(Swap(self.model, part, {MOVED: sites})) for part in parts)
        return train, validation

    def prepare(self, layer: int) -> None:
        """Recordings of the bases, what the sources have, and a start from the given rotation."""
        place = site.resid_post(layer, at=-1)
        method = DAS(dims=self.fits.rank, batch=self.fits.n, steps=LONG)
        problem = Problem(*self.pools((place,)), Places.wide({MOVED: (place,)}), [(MOVED,)], 0)
        learner = method.learner(problem)
        (name,) = learner.parameters
        learner.parameters[name] = self.fits.tokens()[f"rotation {layer}"][None].clone()
        self.trained[layer] = Training(method, problem, learner)

    def loss(self, layer: int) -> float:
        """That of the first batch under the given rotation."""
        self.prepare(layer)
        training = self.trained[layer]
        return judged(training.train, training.train.pieces[0], [(MOVED,)], training.learner.shares(0.0))[0][1] * -1

    def cold(self, layer: int) -> None:
        """Everything that comes before, and the first step."""
        self.prepare(layer)
        self.step(layer)

    def step(self, layer: int) -> None:
        """One step of training."""
        self.trained[layer]._learn()
        self.trained[layer].step += 1

    def record(self) -> None:
        """What all fits of the sweep share."""
        layers = range(self.network.config.n_layer)
        self.shared = self.pools(tuple(site.resid_post(layer, at=-1) for layer in layers))
        for pool in self.shared:
            pool.recorded(self.fits.n)
            pool.swap.source(MOVED)

    def sweep(self, layer: int) -> None:
        """All fits after one layer."""
        fits = self.fits
        method = DAS(dims=fits.dims, seeds=fits.seeds, steps=fits.steps, check=fits.steps, batch=fits.n)
        fit(method, Problem(*self.shared, Places.wide({MOVED: (site.resid_post(layer, at=-1),)}), [(MOVED,)], 0))


def steps(task: Task) -> Found:
    """Single steps after each of the layers, and what they cannot cost less than."""
    fits, figures, losses = task.fits, dict[str, Figure](), dict[str, float]()
    figures["bare"] = figure_of_bare(task.bare, "cpu")
    for layer in fits.layers:
        losses[str(layer)] = task.loss(layer)
        costs, bare = measure([partial(task.cold, layer)], task.bare, device="cpu", every=1)
        figures[f"cold {layer}"] = figure_of_edit(f"cold {layer}", costs, bare)
        figures[f"step {layer}"] = timed(f"step {layer}", partial(task.step, layer), task.bare, fits.repeats)
        least = suffix_pass(fits, task.network, layer)
        figures[f"suffix {layer}"] = timed(f"suffix {layer}", least, task.bare, fits.repeats)
    return Found(cm.__version__, figures, scores={"loss": losses})


def sweep(task: Task) -> Found:
    """Every layer, all numbers of directions and starts."""
    fits, layers = task.fits, task.network.config.n_layer
    pieces = [task.record, *(partial(task.sweep, layer) for layer in range(layers))]
    costs, bare = measure(pieces, task.bare, device="cpu", every=4)
    number = layers * len(fits.dims) * fits.seeds
    return Found(cm.__version__, {"sweep": figure_of_sweep("sweep", costs, bare, sites=number, run=number)})


def work(fits: Fits) -> None:
    """Do the job and leave what was found in its folder."""
    write_found(fits.folder, "causalmi", (sweep if fits.sweep else steps)(Task(fits)))


if __name__ == "__main__":
    work(start())
