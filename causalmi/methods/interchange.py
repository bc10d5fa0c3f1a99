"""Does setting a place from another input change the answer as setting the variable does in the causal model?

Interchange intervention accuracy: the share of pairs on which the network, run on the base with the aligned sites set
to what they are on the source, gives the answer that the causal model gives with the variable set to its value on the
source (Geiger et al. 2021, "Causal abstractions of neural networks").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.engine.model import Model
from causalmi.methods.blocks import Blocks, asked, joined
from causalmi.methods.controls import DEFAULT, Control, controls_of
from causalmi.methods.interchange_block import InterchangeBlock, Progress
from causalmi.methods.subsets import Subset, chosen, nested
from causalmi.methods.swap import Swap
from causalmi.methods.tally import Tally
from causalmi.methods.verdict import judge, too_inaccurate
from causalmi.results import Finding, InterchangeResult
from causalmi.spec.hypothesis import Hypothesis

__all__ = ["Progress", "interchange_test"]


def interchange_test(  # noqa: PLR0913  (the public call: what, on which network, which pairs, and how)
    hypothesis: Hypothesis,
    model: Any = None,
    *,
    data: CounterfactualPairs | None = None,
    n: int | str | None = None,
    seed: int = 0,
    sets: Any = None,
    recursive: bool = False,
    controls: Control | Sequence[Control] = DEFAULT,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> InterchangeResult:
    """Test a claim by interchange interventions: each mapped variable alone, and all of them jointly.

    IIA(S) = E[argmax f(base; sites of v := their values on source_v, v in S) = H(base; v := H_v(source_v), v in S)] for
    a network f and a causal model H, with independent sources for the variables. Intervals are 95 %, clustered by base.
    ``model`` is what :func:`causalmi.load_model` takes, by default the hypothesis's own. ``data`` are pairs to test on;
    otherwise ``n`` are drawn from the hypothesis's task with ``seed``, or with n="until ±0.02" as many as that takes,
    in which case the interval of each ``iia``, and no other, is anytime-valid (Waudby-Smith & Ramdas 2024): those of
    ``changed``, ``unchanged``, ``vocabulary``, ``accuracy`` and of controls are for a number that was fixed beforehand.
    ``sets`` of variables that are interchanged together: each alone and all, "all" 2^k - 1 of them, or a list of
    tuples. ``recursive``: also, for u an ancestor of v, v(u): v is read on source_v with u set from source_u, and put
    into the base.
    When the network does not do the task well enough to test anything, the result says so and no interchange is run.
    ``progress(stage, done, total)`` is called between passes.
    Raises SpecError, SiteError, PositionError, DataError or ModelError for what cannot be run, before any interchange.
    """
    (n, seed), checked = asked("interchange_test", hypothesis, n, seed), controls_of("interchange_test", controls)
    model, variables = load_model(hypothesis.model if model is None else model), hypothesis.variables
    first = list(hypothesis.task.model.together(variables)) if sets is None else chosen(variables, sets)
    subsets: list[Subset] = first + (nested(hypothesis.task.model, variables) if recursive else [])
    blocks = Blocks(hypothesis, model, data, n, seed)
    block = InterchangeBlock(hypothesis, model, subsets, checked, batch_size, progress)
    found = blocks.gather(block)
    assert found.accuracy is not None  # as every block has one
    own = found.accuracy.estimate()
    stop = too_inaccurate(hypothesis.rule, own)
    findings = [
        _stopped(subset, stop)
        if stop
        else _finding(hypothesis, subset, found.tallies[subset], blocks.half_width is not None, blocks.said(found))
        for subset in subsets
    ]
    return InterchangeResult(
        hypothesis=hypothesis.name,
        claim=hypothesis.claim,
        model=model.name,
        seed=seed,
        accuracy=own,
        findings=tuple(findings),
        frame=found.frame,
        subject=Subject(hypothesis, model, joined(found.pairs, model.tokenizer), tuple(subsets), batch_size),
    )


@dataclass(frozen=True, eq=False)
class Subject:
    """What an interchange test was of; ``pairs`` are all that it took, row by row with its table."""

    hypothesis: Hypothesis
    model: Model
    pairs: CounterfactualPairs
    subsets: tuple[Subset, ...]
    batch_size: int | None

    @property
    def swap(self) -> Swap:
        """The interchanges of these pairs."""
        h = self.hypothesis
        return Swap(self.model, self.pairs, {v: h.sites(v) for v in h.variables}, self.batch_size)


def _stopped(subset: Subset, reason: str) -> Finding:
    return Finding(variables=tuple(map(str, subset)), verdict="uninformative", sentence=reason, controls={})


def _finding(h: Hypothesis, subset: Subset, tally: Tally, anytime: bool, said: str) -> Finding:
    moved, iia, controls = tally.columns["changed"], tally.estimate(anytime=anytime), tally.compared()
    changed, everywhere = tally.share(moved), tally.columns.get("vocabulary")
    verdict, sentence = judge(h.rule, iia, changed, controls)
    return Finding(
        variables=tuple(map(str, subset)),
        verdict=verdict,
        sentence=sentence + said,
        iia=iia,
        changed=changed,
        unchanged=tally.share(~moved),
        vocabulary=None if everywhere is None else Tally(everywhere, tally.clusters).estimate(),
        controls=controls,
    )
