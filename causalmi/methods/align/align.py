"""Where in the network does a variable live? A claim's places are searched for what carries its variables.

What is learned, chosen and judged uses three parts of the pairs that share no base. Full-vector interchange never
screens places: it misses variables that share a place with others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.engine.model import Model
from causalmi.errors import DataError, ModelError, SpecError
from causalmi.methods.agreement import accuracy
from causalmi.methods.align.batches import Pool
from causalmi.methods.align.choose import Candidate, best, candidates, table, weakest
from causalmi.methods.align.controls import DEFAULT, Search, SearchControl
from causalmi.methods.align.das import DAS
from causalmi.methods.align.method import Method, Problem, Progress
from causalmi.methods.align.places import Places
from causalmi.methods.align.split import Parts
from causalmi.methods.align.where import Where, wheres
from causalmi.methods.blocks import asked
from causalmi.methods.controls import Control
from causalmi.methods.interchange import interchange_test
from causalmi.methods.subsets import Subset
from causalmi.methods.swap import Swap
from causalmi.methods.verdict import too_inaccurate
from causalmi.results.alignment import AlignmentResult
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
    model = load_model(hypothesis.model if model is None else model)
    everywhere = wheres(hypothesis, model, sites)
    parts = Parts.of(_pairs(hypothesis, model, data, n, seed), seed)
    search = _Searching(hypothesis, model, method, everywhere, parts, seed, batch_size, progress, checkpoint)
    return search.result(tuple(controls))


@dataclass(frozen=True, eq=False)
class _Searching:
    """One search over all places."""

    hypothesis: Hypothesis
    model: Model
    method: Method
    everywhere: Sequence[Places]
    parts: Parts
    seed: int
    batch_size: int | None
    progress: Progress | None
    checkpoint: str | Path | None

    def result(self, controls: Sequence[Control | SearchControl]) -> AlignmentResult:
        """What was found, judged."""
        train, validation = self._pool(self.parts.train), self._pool(self.parts.validation)
        self._able(train.swap)
        problems = [self._problem(train, validation, places) for places in self.everywhere]
        found: list[tuple[Problem, Candidate]] = []
        for problem in problems:
            found += [(problem, c) for c in candidates(problem, self.method.fits(problem))]
        number = best([c for _, c in found])
        problem, taken = found[number]
        search = Search(self.method, problem, taken)
        aligned = aligned_by(self.hypothesis, self.method, taken)
        return AlignmentResult(
            method=self.method.name,
            hypothesis=aligned,
            test=interchange_test(
                aligned,
                self.model,
                data=self.parts.test,
                seed=self.seed,
                sets=[list(subset) for subset in self.subsets],
                controls=[c.of(search) if isinstance(c, SearchControl) else c for c in controls],
                batch_size=self.batch_size,
            ),
            train=weakest(problem, train.swap, taken.fitted),
            validation=taken.iia,
            frame=table([c for _, c in found], number),
            number=number,
        )

    @property
    def subsets(self) -> list[Subset]:
        """The sets of variables that are interchanged together."""
        return list(self.hypothesis.task.model.together(self.hypothesis.variables))

    def _pool(self, pairs: CounterfactualPairs) -> Pool:
        """Pairs with all that their sources have at any of the places."""
        sites = {
            v: tuple(dict.fromkeys(s for p in self.everywhere for s in p.of[v])) for v in self.hypothesis.variables
        }
        swap = Swap(self.model, pairs, sites, self.batch_size)
        swap.check()
        return Pool(swap)

    def _problem(self, train: Pool, validation: Pool, places: Places) -> Problem:
        return Problem(train, validation, places, self.subsets, self.seed, self.progress, None)

    def _able(self, swap: Swap) -> None:
        """Refuse a network that does not do the task: nothing found in it could pass."""
        own = accuracy(swap.pairs, swap.base, {v: swap.source(v) for v in swap.alignment}).estimate()
        if reason := too_inaccurate(self.hypothesis.rule, own):
            raise ModelError(f"there is nothing to align: {reason.removeprefix('uninformative: ')}")


def aligned_by(hypothesis: Hypothesis, method: Method, taken: Candidate) -> Hypothesis:
    """The claim with the places that were found."""
    alignment = taken.fitted.alignment
    where = "; ".join(f"{v} in {' and '.join(map(str, sites))}" for v, sites in alignment.items())
    return replace(
        hypothesis, alignment=alignment, claim=f"{where}, as {method.name} found", name=f"{hypothesis.name}_aligned"
    )


def _pairs(hypothesis: Hypothesis, model: Model, data: Any, n: int | None, seed: int) -> CounterfactualPairs:
    """The pairs to divide: those given, or as many drawn."""
    if data is None:
        data, n = hypothesis.task.pairs(n or 2 * hypothesis.n, vary=list(hypothesis.variables), seed=seed), None
    if not isinstance(data, CounterfactualPairs) or n is not None:
        raise DataError("data must be CounterfactualPairs, as task.pairs makes, and n= is then left out")
    if missing := [v for v in hypothesis.variables if v not in data.vary]:
        raise DataError(f"the pairs have no sources for {', '.join(missing)}; draw them with vary=")
    return data.claimed_by(hypothesis.task).bind(model.tokenizer)
