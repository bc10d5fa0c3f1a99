"""What do the scores of a scrub amount to? Estimates with intervals, a verdict, and tables by label and by node."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from causalmi.engine.metrics import Metric
from causalmi.methods.scrubbing.explain import nodes_frame
from causalmi.methods.scrubbing.passes import Passes
from causalmi.methods.scrubbing.population import Ids
from causalmi.methods.scrubbing.scores import Floats, Scores
from causalmi.methods.scrubbing.setup import Setup
from causalmi.methods.scrubbing.share import exactly, recovered, undefined
from causalmi.methods.verdict import weigh
from causalmi.results import Verdict, strongest
from causalmi.results.scrub import ScrubFinding, ScrubResult
from causalmi.results.verdicts import Controls
from causalmi.spec.hypothesis import AtLeast
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import proportion
from causalmi.stats.means import mean

FEWEST = 20  # references by which anything is judged
MANY, HARDLY = 0.25, 0.9  # shares of donors that are the reference itself


@dataclass(frozen=True, eq=False)
class Subject:
    """What a scrub was of; ``exact``: every draw was listed."""

    setup: Setup
    metric: Metric
    exact: bool


def summary(setup: Setup, metric: Metric, scores: Scores, passes: Passes, controls: Any) -> ScrubResult:
    """The result of a scrub."""
    h, found, how = setup.hypothesis, recovered(scores, metric), exactly if scores.expected else mean
    reason = undefined(scores, metric)
    nodes = nodes_frame(setup.graph, setup.population, setup.drawn, setup.references)
    verdict, sentence = judge(
        h.rule, found, controls, _obstacle(scores, metric, nodes, setup.labels.answer.numpy(), reason)
    )
    share = how if scores.expected else proportion
    return ScrubResult(
        hypothesis=h.name,
        claim=h.claim,
        model=setup.model.name,
        seed=setup.seed,
        metric=metric.name,
        loss=how(scores.scrubbed),
        clean=how(scores.clean),
        random=how(scores.random),
        reason=reason,
        constant=scores.constant,
        accuracy=share(scores.right),
        accuracy_clean=share(scores.right_clean),
        change=how(scores.change),
        kl=how(scores.kl),
        finding=ScrubFinding(estimate=found, controls=controls, verdict=verdict, sentence=sentence + _barely(nodes)),
        options=_options(setup, scores, passes),
        classes=_classes(setup, scores),
        nodes=nodes,
        frame=_frame(setup, scores),
        subject=Subject(setup, metric, scores.expected),
    )


def _obstacle(scores: Scores, metric: Metric, nodes: pd.DataFrame, answers: Ids, reason: str | None) -> str | None:
    """Why not even a true claim, or a false one, could be told by this scrub."""
    if reason is not None:
        return reason
    sign, clean = (1 if metric.better == "higher" else -1), float(scores.clean.mean())
    right, majority = float(scores.right_clean.mean()), float(np.bincount(answers).max() / len(answers))
    if right <= majority and (scores.constant is None or sign * clean <= sign * scores.constant):
        return (
            f"the network is right in {right:.2f} of the references, where one answer to all is right in {majority:.2f}"
            f" and its {metric.name}, {clean:.4g}, is no better than that of a constant answer: it does not do the task"
        )
    placed = nodes[nodes["node"].str.contains(" <- ", regex=False)]
    if len(placed) and (placed["self_donors"] >= HARDLY).all() and _fixed(nodes):
        return "(nearly) every donor is its own reference and the rest is left as it is: (nearly) nothing was resampled"
    if len(answers) < FEWEST and not scores.expected:
        return f"there are {len(answers)} references, fewer than {FEWEST}; give more"
    return None


def _barely(nodes: pd.DataFrame) -> str:
    """Which parts are hardly tested, since many of their donors are the reference itself."""
    placed = nodes[nodes["node"].str.contains(" <- ", regex=False) & nodes["donor"].str.startswith("agrees")]
    worst = placed[placed["self_donors"] > MANY].sort_values("self_donors", ascending=False)
    said = [f"{n.split(' <- ')[-1]} {x:.0%}" for n, x in zip(worst["node"], worst["self_donors"], strict=True)]
    more = f" and {len(said) - 3} more" if len(said) > 3 else ""
    return f"; barely tested, as many donors are the reference itself: {', '.join(said[:3])}{more}" if said else ""


def judge(rule: AtLeast, found: Estimate | None, controls: Controls, obstacle: str | None) -> tuple[Verdict, str]:
    """The verdict, and the sentence that names the numbers it rests on; the first of these that holds.

    uninformative: there is an ``obstacle``; rejected: high(recovered) < rule.recovered; uninformative: no control could
    be had, or a control recovers as much as the rule asks; rejected: high(recovered - control) <
    rule.above_control; supported: both lows reach what the rule asks; else inconclusive.
    """
    if found is None or obstacle is not None:
        return "uninformative", f"uninformative: {obstacle}"
    numbers, asked = f"{found} of the loss is recovered", replace(rule, iia=rule.recovered)
    if found.high < rule.recovered and strongest(controls)[1] is None:
        return "rejected", f"rejected: {numbers}; the rule asks for {rule.recovered:.2f}"
    return weigh(asked, found, controls, numbers)


def _fixed(nodes: pd.DataFrame) -> bool:
    """Whether the unmapped rest is nowhere resampled."""
    return not nodes["unmapped"].str.contains("other|another|counterpart|zero|mean").any()


def _options(setup: Setup, scores: Scores, passes: Passes) -> dict[str, Any]:
    rests = {name: node.unmapped.share for name, node in setup.graph.nodes.items() if setup.drawn_rest(name)}
    return {
        "references": len(setup.references),
        "data": len(setup.population),
        "nodes": len(setup.graph.occurrences),
        "unmapped": rests,
        "seed": setup.seed,
        "permuted labels": "all pairs" if scores.exact else "a sample of labels",
        "examples run": passes.ran,
        "examples without sharing": passes.unshared,
    }


def _frame(setup: Setup, scores: Scores) -> pd.DataFrame:
    settings = setup.population.settings.iloc[setup.references].reset_index(drop=True)
    columns: dict[str, Floats | Any] = {
        "datum": setup.references,
        "answer": setup.labels.answer.numpy(),
        "scrubbed": scores.scrubbed,
        "clean": scores.clean,
        "random_influence": scores.random,
        "kl": scores.kl,
        "change": scores.change,
        "right": scores.right,
        "right_clean": scores.right_clean,
    }
    return pd.concat([settings.rename(columns={c: f"{c} (variable)" for c in settings if c in columns}),
                      pd.DataFrame(columns)], axis=1)  # fmt: skip


def _classes(setup: Setup, scores: Scores) -> pd.DataFrame:
    """The scores by right answer."""
    table = pd.DataFrame(
        {
            "answer": setup.labels.answer.numpy(),
            "scrubbed": scores.scrubbed,
            "clean": scores.clean,
            "change": scores.change,
            "kl": scores.kl,
            "accuracy": scores.right,
            "accuracy_clean": scores.right_clean,
        }
    )
    by = table.groupby("answer")
    return by.mean().assign(n=by.size()).reset_index()
