"""Does a claim align with every network that does a task, or with a lucky one? The same search in several networks.

How well a network aligns depends on which one was trained: the distribution over seeds is the finding, not the best.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.engine.model import Model
from causalmi.errors import ModelError, SiteError, SpecError
from causalmi.methods.align.align import ONE_DIRECTION, align, drawn_apart
from causalmi.methods.align.controls import DEFAULT, SearchControl
from causalmi.methods.align.method import Method, Progress
from causalmi.methods.align.where import Where
from causalmi.methods.blocks import asked
from causalmi.methods.controls import Control
from causalmi.results.alignment import AlignmentResult
from causalmi.results.alignments import AlignmentsResult
from causalmi.spec.hypothesis import Hypothesis


def align_each(  # noqa: PLR0913  (the public call: what, on which networks, how, where, and on which pairs)
    hypothesis: Hypothesis,
    models: Iterable[Any],
    *,
    method: Method = ONE_DIRECTION,
    sites: Where | None = None,
    data: CounterfactualPairs | None = None,
    n: int | None = None,
    seed: int = 0,
    controls: Sequence[Control | SearchControl] = DEFAULT,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> AlignmentsResult:
    """Align one claim with each of ``models``, on the same pairs, and give the distribution of what was found.

    ``models`` are what :func:`causalmi.load_model` takes, in a list or as a generator makes them, such as
    ``(build(s) for s in range(12))``. One that does the task too rarely for the claim's rule, or lacks its places, is
    left out, and the result says so. ``progress(stage, done, total)`` is called between steps, the stage with the
    number of its network; the rest is as in :func:`causalmi.align`. Raises SpecError for no networks, and what that
    call raises.
    """
    n, seed = asked("align_each", hypothesis, n, seed)  # type: ignore[assignment]
    if isinstance(models, str | Model):
        raise SpecError("align_each", [f"models is {models!r}, one network; give a list of them, or use align"])
    names: list[str] = []
    results: list[AlignmentResult | str] = []
    for number, given in enumerate(models):
        if data is None:
            data, n = drawn_apart(hypothesis, n, seed), None
        model = load_model(given)
        names.append(model.name)
        told = None if progress is None else _numbered(progress, number)
        how = {"method": method, "sites": sites, "controls": controls, "batch_size": batch_size, "progress": told}
        try:
            results.append(align(hypothesis, model, data=data, n=n, seed=seed, **how))  # type: ignore[arg-type]
        except (ModelError, SiteError) as reason:  # of this network alone
            results.append(str(reason))
    if not results:
        raise SpecError("align_each", ["models is empty; give at least one network"])
    head = {"hypothesis": hypothesis.name, "method": method.name}
    return AlignmentsResult(**head, seed=seed, names=tuple(names), results=tuple(results))


def _numbered(progress: Progress, number: int) -> Progress:
    """The same with the network's number before each stage."""
    return lambda stage, done, total: progress(f"network {number}: {stage}", done, total)
