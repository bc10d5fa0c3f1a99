"""Would as much of the loss be recovered if the claim were wrong? The controls of a test, for a scrub."""

from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np

from causalmi.data.bound import Bound
from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.metrics import Metric
from causalmi.errors import DataError, PositionError, SiteError, SpecError
from causalmi.methods.controls import Control, Redrawn, ShuffledSources, UntrainedModel
from causalmi.methods.scrubbing.population import Ids
from causalmi.methods.scrubbing.run import scored
from causalmi.methods.scrubbing.scores import Floats, Scorer, Scores
from causalmi.methods.scrubbing.setup import Setup
from causalmi.methods.scrubbing.share import recovered
from causalmi.methods.scrubbing.variants import emptied, few, moved, part, shuffled, untrained
from causalmi.methods.site_draw import SiteDraw
from causalmi.methods.swap import Swap
from causalmi.rng import stream
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import mean

TRIES = 20  # draws of sites until one keeps the claim's order
FEWEST = 8  # references that a draw of sites is judged by


@dataclass(frozen=True, eq=False)
class Rescrubbed:
    """The scores under a control; ``draws`` are the shares of the loss that single draws of it recovered.

    ``clusters`` [n] says which references one draw served. With ``draws`` alone their spread is the interval.
    """

    scores: Scores
    clusters: Ids | None = None
    draws: list[float] = field(default_factory=list)

    def recovered(self, metric: Metric) -> Estimate | None:
        """The loss recovered, None where it is undefined."""
        if self.draws and self.clusters is None:
            return mean(self.draws)
        return recovered(self.scores, metric, self.clusters)


@singledispatch
def rescrub(control: Control, setup: Setup, metric: Metric) -> Rescrubbed:
    """The scrub of ``setup`` under a control; raises SpecError, SiteError or ModelError where it cannot be had."""
    raise SpecError("a scrub", [f"{type(control).__name__} is no control of causal scrubbing"])


@rescrub.register
def _(control: ShuffledSources, setup: Setup, metric: Metric) -> Rescrubbed:
    merged = len(setup.graph.occurrences) < setup.graph.size  # draws anew for each occurrence would unfold them again
    return Rescrubbed(simply(shuffled(setup, merged=merged), metric))


@rescrub.register
def _(control: UntrainedModel, setup: Setup, metric: Metric) -> Rescrubbed:
    return Rescrubbed(simply(untrained(setup, setup.seed), metric))


@rescrub.register
def _(control: Redrawn, setup: Setup, metric: Metric) -> Rescrubbed:
    """The references are shared out among the draws of sites; all are compared with the anchors of all."""
    places = {name: node.sites for name, node in setup.graph.nodes.items() if node.sites}
    pairs = CounterfactualPairs(tensors=Bound(few(setup.inputs), {}, None, {}, {}), vary=())
    draw = SiteDraw(Swap(setup.model, pairs, places), stream(setup.seed, control.name, "scrub"))
    n = min(control.n, len(setup.references) // FEWEST)
    if n < 1:
        raise DataError(f"{len(setup.references)} references are too few for a {control.name}; give {FEWEST} or more")
    scrubbed, of = np.empty(len(setup.references)), np.arange(len(setup.references)) % n
    for i in range(n):
        scrubbed[of == i] = _elsewhere(control, draw, part(setup, of == i), tuple(places), metric)
    anchors = simply(emptied(setup), metric)
    scores = Scores(**{**vars(anchors), "scrubbed": scrubbed})
    return Rescrubbed(scores, of, shares(scores, [scrubbed[of == i] for i in range(n)]))


def shares(anchors: Scores, scrubbed: list[Floats]) -> list[float]:
    """The share of the loss that each of several scrubs recovers."""
    worst, best = anchors.random.mean(), anchors.clean.mean()
    return [float((x.mean() - worst) / (best - worst)) for x in scrubbed] if best != worst else []


def _elsewhere(control: Redrawn, draw: SiteDraw, setup: Setup, names: tuple[str, ...], metric: Metric) -> Floats:
    """The metric at one draw of places, in which every variable still comes before what it feeds."""
    for _ in range(TRIES):
        alignment = control.drawn(draw, names)
        try:
            there = moved(setup, alignment)
        except (SpecError, PositionError):
            continue
        return simply(there, metric).scrubbed
    raise SiteError(f"{setup.model.name} has no other places of these types in the order that the claim needs")


def simply(setup: Setup, metric: Metric) -> Scores:
    """The scores of a scrub, without progress."""
    return scored(setup, Scorer(metric, setup.labels, setup.seed), lambda stage, done, total: None)[0]
