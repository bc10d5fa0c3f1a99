"""Does a refuter explain the loss recovered away?"""

from dataclasses import replace

import numpy as np

from causalmi.errors import DataError, SpecError
from causalmi.methods.controls import Control, Redrawn
from causalmi.methods.refutation.judged import judged
from causalmi.methods.scrubbing import refuted as refuted  # registers what the refuters do to a scrub
from causalmi.methods.scrubbing.controls import rescrub
from causalmi.methods.scrubbing.setup import Setup
from causalmi.results.refutation import Attempt
from causalmi.results.scrub import ScrubResult
from causalmi.rng import stream

A_DRAW = 256  # references by which one draw of places is judged


def against_scrub(result: ScrubResult, refuter: Control) -> list[Attempt]:
    """The one attempt; raises what the refuter raises where it cannot be made."""
    observed = result.loss_recovered
    if observed is None:
        raise DataError(f"no share of the loss was given: {result.reason}")
    if result.subject.exact:
        raise SpecError(
            "refute", ["with n='all' nothing is drawn that a draw could be compared with; scrub with a number"]
        )
    found = rescrub(refuter, _enough(refuter, result.subject.setup), result.subject.metric)
    share = found.recovered(result.subject.metric)
    if share is None:
        raise DataError("under it the metric and that with permuted labels do not differ")
    return [judged(result.test, refuter, observed, share, found.draws)]


def _enough(refuter: Control, setup: Setup) -> Setup:
    """References for each draw of places, where they are shared out: each draw must be as sure as the result."""
    if not isinstance(refuter, Redrawn):
        return setup
    some = stream(setup.seed, "scrub", "refuted").permutation(setup.references)[:A_DRAW]
    return replace(setup, references=np.repeat(some, refuter.n))
