"""What does one search do? It looks in all places, the validation pairs choose, and the test pairs judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.model import Model
from causalmi.errors import ModelError
from causalmi.methods.agreement import accuracy
from causalmi.methods.align.batches import Pool
from causalmi.methods.align.checkpoint import fingerprint, opened
from causalmi.methods.align.choose import Candidate, best, candidates, table, weakest
from causalmi.methods.align.comparisons import compared
from causalmi.methods.align.controls import Search, SearchControl, UntrainedSearch
from causalmi.methods.align.method import Method, Problem, Progress
from causalmi.methods.align.places import Places
from causalmi.methods.align.split import Parts
from causalmi.methods.controls import Control
from causalmi.methods.interchange import interchange_test
from causalmi.methods.subsets import Subset
from causalmi.methods.swap import Swap
from causalmi.methods.verdict import TooInaccurateError, too_inaccurate
from causalmi.results.alignment import AlignmentResult
from causalmi.results.interchange import InterchangeResult
from causalmi.spec.hypothesis import Hypothesis


@dataclass(frozen=True, eq=False)
class Searching:
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
        for pool in (train, validation):
            pool.recorded(self.method.batch)
        self._able(train.swap)
        problems = [self._problem(train, validation, places) for places in self.everywhere]
        for problem in problems:
            self.method.refuse(problem)
        problems = self._kept(problems)
        found: list[tuple[Problem, Candidate]] = []
        for problem in problems:
            found += [(problem, c) for c in candidates(problem, self.method.fits(problem))]
        number = best([c for _, c in found])
        problem, taken = found[number]
        aligned = aligned_by(self.hypothesis, self.method, taken)
        return AlignmentResult(
            method=self.method.name,
            hypothesis=aligned,
            test=self._judged(aligned, Search(self.method, problem, taken), controls),
            train=weakest(problem, train.swap, taken.fitted),
            validation=taken.iia,
            frame=table([c for _, c in found], number),
            number=number,
            comparisons=compared(problem, taken.fitted.alignment, self._test(problem.places)),
        )

    def _judged(
        self, aligned: Hypothesis, search: Search, controls: Sequence[Control | SearchControl]
    ) -> InterchangeResult:
        """The test of what was found, on pairs held out; features that may compute a variable need a control of that.

        Raises ModelError where that control cannot be had (Sutter et al. 2025).
        """
        computing = search.taken.fitted.nonlinear
        if computing and not any(isinstance(c, UntrainedSearch) for c in controls):
            controls = [*controls, UntrainedSearch()]
        test = interchange_test(
            aligned,
            self.model,
            data=self.parts.test,
            seed=self.seed,
            sets=[list(subset) for subset in self.subsets],
            controls=[c.of(search) if isinstance(c, SearchControl) else c for c in controls],
            batch_size=self.batch_size,
            progress=self.progress,
        )
        reason = test.weakest.controls.get(UntrainedSearch.name)
        if computing and isinstance(reason, str):
            raise ModelError(
                "an alignment in features that are no linear map can be found in any network, and the search in an "
                f"untrained one cannot be had here ({reason}); give a linear featurizer"
            )
        return _untold(test) if computing and search.method.ready_made else test

    @property
    def subsets(self) -> list[Subset]:
        """The sets of variables that are interchanged together."""
        return list(self.hypothesis.task.model.together(self.hypothesis.variables))

    def _pool(self, pairs: CounterfactualPairs) -> Pool:
        """Pairs with all that their sources have at any of the places."""
        sites = {
            v: tuple(dict.fromkeys(s for p in self.everywhere for s in p.of[v])) for v in self.hypothesis.variables
        }
        for places in self.everywhere:  # they are edited one after the other, and may overlap
            Swap(self.model, pairs, places.of, self.batch_size).check()
        return Pool(Swap(self.model, pairs, sites, self.batch_size))

    def _test(self, places: Places) -> Swap:
        """The pairs that judge, with what their sources have at ``places``."""
        return Swap(self.model, self.parts.test, places.of, self.batch_size)

    def _problem(self, train: Pool, validation: Pool, places: Places) -> Problem:
        return Problem(train, validation, places, self.subsets, self.seed, self.progress, None)

    def _kept(self, problems: list[Problem]) -> list[Problem]:
        """The same problems, to be gone on with from the checkpoint and written there."""
        if self.checkpoint is None:
            return problems
        folder = opened(self.checkpoint, fingerprint(problems, self.method))
        return [replace(problem, checkpoint=folder) for problem in problems]

    def _able(self, swap: Swap) -> None:
        """Refuse a network that does not do the task: nothing found in it could pass."""
        own = accuracy(swap.pairs, swap.base, {v: swap.source(v) for v in swap.alignment}).estimate()
        if reason := too_inaccurate(self.hypothesis.rule, own):
            raise TooInaccurateError(f"there is nothing to align: {reason.removeprefix('uninformative: ')}")


def _untold(test: InterchangeResult) -> InterchangeResult:
    """The test without a verdict: in the untrained network the features would have to be made again."""
    why = (
        "uninformative: the features are no linear map and were made beforehand, so they may compute what they are "
        "said to find, which no search in an untrained network can show; give a function that makes them from values. "
    )
    findings = [replace(f, verdict="uninformative", sentence=why + f.sentence) for f in test.findings]
    return replace(test, findings=tuple(findings))


def aligned_by(hypothesis: Hypothesis, method: Method, taken: Candidate) -> Hypothesis:
    """The claim with the places that were found."""
    alignment = taken.fitted.alignment
    where = "; ".join(f"{v} in {' and '.join(map(str, sites))}" for v, sites in alignment.items())
    return replace(
        hypothesis, alignment=alignment, claim=f"{where}, as {method.name} found", name=f"{hypothesis.name}_aligned"
    )
