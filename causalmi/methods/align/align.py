"""Where in the network does a variable live? A claim's places are searched for what carries its variables.

What is learned, chosen and judged uses three parts of the pairs that share no base. Full-vector interchange never
screens places: it misses variables that share a place with others.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.engine.model import Model
from causalmi.errors import DataError, SpecError
from causalmi.methods.align.controls import DEFAULT, SearchControl
from causalmi.methods.align.das import DAS
from causalmi.methods.align.method import Method, Progress
from causalmi.methods.align.searching import Searching
from causalmi.methods.align.split import Parts
from causalmi.methods.align.where import Where, wheres
from causalmi.methods.blocks import asked
from causalmi.methods.controls import Control
from causalmi.results.alignment import AlignmentResult
from causalmi.rng import stream
from causalmi.spec.hypothesis import Hypothesis

ONE_DIRECTION = DAS(dims=1)


def align(  # noqa: PLR0913  (the public call: what, on which network, how, where, and on which pairs)
    hypothesis: Hypothesis,
    model: Any = None,
    *,
    method: Method = ONE_DIRECTION,
    sites: Where | None = None,
    data: CounterfactualPairs | None = None,
    n: int | None = None,
    seed: int = 0,
    controls: Sequence[Control | SearchControl] = DEFAULT,
    batch_size: int | None = None,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
) -> AlignmentResult:
    """Find what carries the variables of a claim at its places, and judge that on pairs held out.

    Which neurons, directions or features of its places the hypothesis names makes no difference: they are what is
    sought. ``sites``: other places to try, each a site for all variables or a mapping from variables to sites, or a
    grid; all are searched and the validation pairs choose. ``data``, or ``n`` pairs drawn with ``seed``, are divided by
    base: half to learn from, a fifth to choose by, the rest to judge on with ``controls``.
    ``progress(stage, done, total)`` is called between steps. ``checkpoint`` is a folder from which the same call, when
    interrupted, goes on to the identical result.
    Raises SpecError, SiteError, PositionError or DataError before anything is learned, ModelError for a network that
    does the task too rarely for the claim's rule.
    """
    _, seed = asked("align", hypothesis, n, seed)
    if not isinstance(method, Method):
        raise SpecError("align", [f"the method is {method!r}; give a value such as causalmi.DAS(dims=4)"])
    chosen = _controls(controls)
    model = load_model(hypothesis.model if model is None else model)
    everywhere = wheres(hypothesis, model, sites)
    parts = Parts.of(_pairs(hypothesis, model, data, n, seed), seed)
    search = Searching(hypothesis, model, method, everywhere, parts, seed, batch_size, progress, checkpoint)
    return search.result(chosen)


def _pairs(hypothesis: Hypothesis, model: Model, data: Any, n: int | None, seed: int) -> CounterfactualPairs:
    """The pairs to divide: those given, or as many drawn."""
    if data is None:
        data, n = drawn_apart(hypothesis, n, seed), None
    if not isinstance(data, CounterfactualPairs) or n is not None:
        raise DataError("data must be CounterfactualPairs, as task.pairs makes, and n= is then left out")
    if missing := [v for v in hypothesis.variables if v not in data.vary]:
        raise DataError(
            f"the pairs have no sources for {', '.join(missing)}; draw them with task.pairs(n, "
            f"vary={list(hypothesis.variables)}, seed=0)"
        )
    return data.claimed_by(hypothesis.task).bind(model.tokenizer)


def _controls(given: Any) -> tuple[Control | SearchControl, ...]:
    """The controls, of which one may be given by itself; raises SpecError for what is none."""
    several = isinstance(given, Iterable) and not isinstance(given, str)
    chosen = tuple(given) if several else (given,)
    if bad := [c for c in chosen if not isinstance(c, Control | SearchControl)]:
        raise SpecError("align", [f"{bad[0]!r} is no control; give values such as causalmi.ShuffledSources()"])
    return chosen


def drawn_apart(hypothesis: Hypothesis, n: int | None, seed: int) -> CounterfactualPairs:
    """Pairs to align on, other than those of the same seed that a later test of what is found draws."""
    apart = int(stream(seed, "pairs to align on").integers(2**31))
    pairs: CounterfactualPairs = hypothesis.task.pairs(
        n or 2 * hypothesis.n, vary=list(hypothesis.variables), seed=apart
    )
    return pairs
