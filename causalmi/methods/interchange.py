"""Does setting a place from another input change the answer as setting the variable does in the causal model?

Interchange intervention accuracy: the share of pairs on which the network, run on the base with the aligned sites set
to what they are on the source, gives the answer that the causal model gives with the variable set to its value on the
source (Geiger et al. 2021, "Causal abstractions of neural networks").
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.errors import CausalmiError, DataError
from causalmi.methods.agreement import Answers, accuracy
from causalmi.methods.controls import DEFAULT, Control
from causalmi.methods.swap import Swap
from causalmi.methods.verdict import judge, too_inaccurate
from causalmi.results import Finding, InterchangeResult
from causalmi.spec.hypothesis import Hypothesis
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import proportion

Progress = Callable[[str, int, int], None]


def interchange_test(  # noqa: PLR0913  (the public call: what, on which network, which pairs, and how)
    hypothesis: Hypothesis,
    model: Any = None,
    *,
    data: CounterfactualPairs | None = None,
    n: int | None = None,
    seed: int = 0,
    controls: Sequence[Control] = DEFAULT,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> InterchangeResult:
    """Test a claim by interchange interventions: each mapped variable alone, and all of them jointly.

    IIA(S) = E[argmax f(base; sites of v := their values on source_v, v in S) = H(base; v := H_v(source_v), v in S)] for
    a network f and a causal model H, with independent sources for the variables. Intervals are 95 %, clustered by base.
    ``model`` is what :func:`causalmi.load_model` takes, by default the hypothesis's own. ``data`` are pairs to test on;
    otherwise ``n`` are drawn from the hypothesis's task with ``seed``. When the network does not do the task well
    enough to test anything, the result says so and no interchange is run. ``progress(stage, done, total)`` is called
    between passes.
    Raises SiteError, PositionError, DataError or ModelError for what cannot be run, before any interchange.
    """
    tell = progress or (lambda stage, done, total: None)
    model = load_model(hypothesis.model if model is None else model)
    swap = Swap(model, _pairs(hypothesis, data, n, seed, model), _alignment(hypothesis), batch_size)
    swap.check()
    subsets = _subsets(hypothesis.variables)
    for subset in subsets:
        swap.expected(subset)
    total = 1 + len(subsets) * (1 + len(controls))
    tell("the network's own answers", 0, total)
    own = accuracy(swap.pairs, swap.base, {v: swap.source(v) for v in hypothesis.variables})
    columns: dict[str, Any] = {"base_answer": swap.base.among_choices.numpy()}
    if stop := too_inaccurate(hypothesis.rule, own):
        findings = [Finding(variables=s, verdict="uninformative", sentence=stop, controls={}) for s in subsets]
    else:
        findings = []
        for i, subset in enumerate(subsets):
            label, done = "+".join(subset), 1 + i * (1 + len(controls))
            tell(f"interchange of {label}", done, total)
            given = swap.interchange(subset)
            columns |= _columns(label, swap, subset, given)
            control = _controls(controls, swap, subset, seed, partial(_tell, tell, label, done, total))
            findings.append(_finding(hypothesis, swap, subset, given, control))
    tell("done", total, total)
    return InterchangeResult(
        hypothesis=hypothesis.name,
        claim=hypothesis.claim,
        model=model.name,
        seed=seed,
        accuracy=own,
        findings=tuple(findings),
        frame=pd.concat([swap.pairs.frame.reset_index(drop=True), pd.DataFrame(columns)], axis=1),
    )


def _tell(tell: Progress, label: str, done: int, total: int, control: str, number: int) -> None:
    tell(f"{label}: {control}", done + number, total)


def _pairs(h: Hypothesis, data: Any, n: int | None, seed: int, model: Any) -> CounterfactualPairs:
    pairs = h.task.pairs(h.n if n is None else n, vary=list(h.variables), seed=seed) if data is None else data
    if not isinstance(pairs, CounterfactualPairs):
        raise DataError(f"data is a {type(pairs).__name__}; give CounterfactualPairs, as task.pairs makes")
    if missing := [v for v in h.variables if v not in pairs.vary]:
        raise DataError(f"the pairs have no sources for {', '.join(missing)}; draw them with vary={list(h.variables)}")
    return pairs.claimed_by(h.task).bind(model.tokenizer)


def _alignment(hypothesis: Hypothesis) -> dict[str, Any]:
    return {v: hypothesis.sites(v) for v in hypothesis.variables}


def _subsets(variables: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Each variable alone, then all of them jointly."""
    return [*((v,) for v in variables), *([variables] if len(variables) > 1 else [])]


def _controls(
    controls: Sequence[Control], swap: Swap, subset: tuple[str, ...], seed: int, tell: Callable[[str, int], None]
) -> dict[str, Estimate | str]:
    """Each control's accuracy, or why it cannot be had."""
    found: dict[str, Estimate | str] = {}
    for k, control in enumerate(controls):
        tell(control.name, 1 + k)
        try:
            found[control.name] = proportion(control.hits(swap, subset, seed).numpy(), control.clusters(swap))
        except CausalmiError as reason:
            found[control.name] = f"not available: {reason}"
    return found


def _finding(
    h: Hypothesis, swap: Swap, subset: tuple[str, ...], given: Answers, controls: dict[str, Estimate | str]
) -> Finding:
    hits, clusters = swap.hits(subset, given).numpy(), swap.clusters
    moved = (swap.expected(subset) != swap.pairs.base_labels).numpy()
    iia, changed = proportion(hits, clusters), _share(hits, clusters, moved)
    everywhere = (given.among_all == swap.expected(subset)).numpy()
    verdict, sentence = judge(h.rule, iia, changed, controls)
    return Finding(
        variables=subset,
        verdict=verdict,
        sentence=sentence,
        iia=iia,
        changed=changed,
        unchanged=_share(hits, clusters, ~moved),
        vocabulary=None if swap.pairs.choices is None else proportion(everywhere, clusters),
        controls=controls,
    )


def _share(hits: Any, clusters: Any, where: Any) -> Estimate | None:
    return proportion(hits[where], clusters[where]) if np.any(where) else None


def _columns(label: str, swap: Swap, subset: tuple[str, ...], given: Answers) -> dict[str, Any]:
    return {f"answer[{label}]": given.among_choices.numpy(), f"agrees[{label}]": swap.hits(subset, given).numpy()}
