"""Problems for methods that need no training: pairs at one place, ready to learn from."""

from typing import Any

import causalmi as cm
from causalmi import site
from causalmi.methods.align.batches import Pool
from causalmi.methods.align.method import Problem
from causalmi.methods.align.places import Places
from causalmi.methods.swap import Swap
from tests.networks import reference


def problem(claim: cm.Hypothesis, model: Any, n: int = 512) -> Problem:
    """The first half of ``n`` pairs to learn from, the second to choose by."""
    loaded, variables = cm.load_model(model), list(claim.variables)
    pairs = claim.task.pairs(n, vary=variables, seed=0).bind(loaded.tokenizer)
    places = Places.wide({v: claim.sites(v) for v in variables})
    pools = [Pool(Swap(loaded, pairs.rows(rows), places.of)) for rows in (slice(0, n // 2), slice(n // 2, n))]
    return Problem(pools[0], pools[1], places, list(claim.task.model.together(variables)), seed=0)


def raw() -> Problem:
    """Pairs of token ids, which hold no values of any variable."""
    pairs = cm.CounterfactualPairs.from_tokens([[1, 2, 3], [4, 5, 6]], [[1, 4, 3], [4, 2, 6]], answer=3, expected=4)
    places = Places.wide({"source": [site.resid_post(0, at="last")]})
    pool = Pool(Swap(cm.load_model(reference()), pairs, places.of))
    return Problem(pool, pool, places, [("source",)], seed=0)
