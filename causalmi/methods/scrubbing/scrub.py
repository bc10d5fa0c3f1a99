"""Is the behaviour kept when everything that a claim calls irrelevant is taken from other inputs? Causal scrubbing.

Chan et al. 2022, "Causal scrubbing: a method for rigorously testing interpretability hypotheses".
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from causalmi.engine.metrics import Metric, metric_of
from causalmi.errors import CausalmiError
from causalmi.methods.controls import Control, RandomSite, ShuffledSources, controls_of
from causalmi.methods.scrubbing.controls import rescrub
from causalmi.methods.scrubbing.enumerate import Enumeration
from causalmi.methods.scrubbing.population import Ids
from causalmi.methods.scrubbing.run import Progress, scored
from causalmi.methods.scrubbing.scores import Scorer
from causalmi.methods.scrubbing.setup import Setup, set_up
from causalmi.methods.scrubbing.share import recovered
from causalmi.methods.scrubbing.summary import summary
from causalmi.methods.scrubbing.variants import part, shuffled
from causalmi.results.scrub import ScrubResult
from causalmi.rng import stream
from causalmi.spec.hypothesis import Hypothesis
from causalmi.stats.estimate import Estimate

DEFAULT = (ShuffledSources(), RandomSite())
FEW = 1024  # references of a control


def scrub(  # noqa: PLR0913  (the public call: what, on which network, which data, and how)
    hypothesis: Hypothesis,
    model: Any = None,
    *,
    data: Any = None,
    n: int | Literal["all"] | None = None,
    metric: Any = "cross_entropy",
    seed: int = 0,
    controls: Sequence[Control] = DEFAULT,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> ScrubResult:
    """Test a claim by resampling everything that it says does not matter.

    E[L(SCRUB(output, x), y(x))] over references x, where SCRUB(v, x) runs the network on one other datum with the place
    of each variable u that v is computed from set to SCRUB(u, x'), x' drawn among the data that agree with v's own
    datum on u; a variable that is computed from none is read on its own datum. One run serves all references for which
    the data of the whole subtree are the same. ``data``: a table of the causal model's inputs, or pairs; by default
    ``n`` settings are drawn from the task. ``n``: references, ``"all"`` for the exact expectation over every reference
    and donor. ``metric``: a name of ``METRICS`` or f(logits [n, outputs], target) -> [n]. Intervals are 95 %, over
    references, given the data. ``controls`` are scrubbed on up to 1,024 of the references, at random.
    ``progress(stage, done, total)`` is called between batches.
    Raises SpecError with every edge or route that the network cannot have, SiteError, PositionError, DataError or
    ModelError for what cannot be run, before any run.
    """
    tell = progress or (lambda stage, done, total: None)
    how, chosen = metric_of(metric), controls_of("scrub", controls)
    setup = set_up(hypothesis, model, data=data, n=None if n == "all" else n, seed=seed, batch_size=batch_size)
    scorer = Scorer(how, setup.labels, seed)
    if n == "all":
        passes = setup.passes()
        listed = {c.name: _listed(c, setup, how) for c in chosen}
        return summary(setup, how, Enumeration(setup, passes).scores(scorer), passes, listed)
    scores, passes = scored(setup, scorer, tell)
    few = part(setup, _some(len(setup.references), seed))
    return summary(setup, how, scores, passes, {c.name: _control(c, few, how) for c in chosen})


def _some(n: int, seed: int) -> Ids:
    """The references of controls: at most FEW, at random, in their order."""
    return np.sort(stream(seed, "scrub", "controls").permutation(n)[:FEW])


def _control(control: Control, setup: Setup, metric: Metric) -> Estimate | str:
    """The loss recovered under a control, or why it cannot be had."""
    try:
        found = rescrub(control, setup, metric).recovered(metric)
    except CausalmiError as reason:
        return f"not available: {reason}"
    return found or "not available: the metric is no better than with permuted labels"


def _listed(control: Control, setup: Setup, metric: Metric) -> Estimate | str:
    """The exact expectation under the one control whose draws can be listed."""
    if not isinstance(control, ShuffledSources):
        return "not available: with n='all' its draws cannot be listed"
    there = shuffled(setup)
    scores = Enumeration(there, there.passes()).scores(Scorer(metric, there.labels, there.seed))
    return recovered(scores, metric) or "not available: the metric is no better than with permuted labels"
