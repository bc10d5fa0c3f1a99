"""How often is what was read at each node what it should be, and what does that say about the claim?"""

from collections import Counter
from typing import Any

import numpy as np

from causalmi.engine.load import load_model
from causalmi.methods.agreement_block import AgreementBlock
from causalmi.methods.blocks import BLOCK, Blocks, asked
from causalmi.methods.consistency import Key, Kind, nearest
from causalmi.methods.reader import nodes
from causalmi.methods.tally import Tally
from causalmi.methods.verdict import weigh
from causalmi.results.agreement import AgreementResult, NodeFinding, Test
from causalmi.results.verdicts import Verdict
from causalmi.spec.hypothesis import AtLeast, Hypothesis
from causalmi.stats.estimate import Estimate

MAJORITY = "majority value"
PUBLIC: dict[Test, str] = {"observational": "observational_test", "local": "local_consistency_test"}


def agreement_result(
    test: Test, hypothesis: Hypothesis, model: Any, kinds: tuple[Kind, ...], drawn: dict[str, Any], how: dict[str, Any]
) -> AgreementResult:
    """The result of a test of readouts: ``drawn`` has data, n and seed, ``how`` batch_size and progress."""
    n, seed = asked(PUBLIC[test], hypothesis, drawn["n"], drawn["seed"])
    model = load_model(hypothesis.model if model is None else model)
    first = hypothesis.n if _learned(hypothesis) else BLOCK
    blocks = Blocks(hypothesis, model, drawn["data"], n, seed, first)
    block = AgreementBlock(hypothesis, model, kinds, **how)
    found = blocks.gather(block)
    anytime, said = blocks.half_width is not None, blocks.said(found)
    findings = []
    for key, tally in found.tallies.items():
        estimate, readout = tally.estimate(anytime=anytime), block.how(key[0])
        findings.append(_finding(test, hypothesis, key, tally, (estimate, readout, said)))
    return AgreementResult(
        test=test,
        hypothesis=hypothesis.name,
        claim=hypothesis.claim,
        model=model.name,
        seed=seed,
        findings=tuple(findings),
        frame=found.frame,
    )


def _learned(hypothesis: Hypothesis) -> tuple[str, ...]:
    """The variables whose readouts learn."""
    return tuple(v for v in nodes(hypothesis)[:-1] if v not in hypothesis.readouts)


def _taking_part(hypothesis: Hypothesis, key: Key) -> list[str]:
    """The variables with learned readouts on which a finding rests."""
    (node, kind), mapped = key, tuple(nodes(hypothesis)[:-1])
    above = () if kind == "observational" else nearest(hypothesis.task.model, node, mapped)
    return [v for v in _learned(hypothesis) if v in (node, *above)]


def _finding(test: Test, h: Hypothesis, key: Key, tally: Tally, what: tuple[Estimate, Any, str]) -> NodeFinding:
    (node, kind), (agreement, readout, said), unseen = key, what, tally.columns["unseen"]
    controls = {MAJORITY: _majority(tally), **tally.compared()}
    best = Tally(tally.hits | ~unseen, tally.clusters)
    verdict, sentence = _judged(h.rule, agreement, controls, best, _words(node, kind, readout))
    if verdict == "rejected" and (learned := _taking_part(h, key)):
        verdict, sentence = "inconclusive", _undecided(sentence, learned)
    return NodeFinding(
        test=test,
        node=node,
        states="interchange" if kind == "interchange" else "natural",
        readout=readout,
        agreement=agreement,
        unseen=int(unseen.sum()),
        controls=controls,
        verdict=verdict,
        sentence=sentence + said,
    )


def _undecided(sentence: str, learned: list[str]) -> str:
    """What a low agreement says where readouts were learned: a linear one can miss what is there."""
    return (
        f"inconclusive{sentence.removeprefix('rejected')}; the readout learned for {' and '.join(learned)}, not "
        "necessarily the claim, may fail; give readouts= to decide"
    )


def _majority(tally: Tally) -> Estimate:
    """How often one would be right who always gave the most common value."""
    claimed = tally.columns["claimed"].tolist()
    most = Counter(claimed).most_common(1)[0][0]
    return Tally(np.array([value == most for value in claimed]), tally.clusters).estimate()


def _judged(
    rule: AtLeast, agreement: Estimate, controls: dict[str, Estimate | str], most: Tally, words: str
) -> tuple[Verdict, str]:
    """The verdict of :func:`weigh`, unless so many values are new to a readout that a true claim would fail too.

    ``most``: the examples that agree, or would if the readouts made no mistake on values that they saw.
    """
    numbers, best = f"{words} in {agreement} of {agreement.n} examples", most.estimate()
    if best.value == 1.0:
        return weigh(rule, agreement, controls, numbers)
    numbers += f" ({int((~most.hits).sum())} have a value that a readout never saw, and cannot give)"
    if best.high >= rule.iia:
        return weigh(rule, agreement, controls, numbers)
    return "uninformative", (
        f"uninformative: {numbers}, so not even a true claim could reach the {rule.iia:.2f} that the rule asks for; "
        "use more pairs, or give readouts="
    )


def _words(node: str, kind: Kind, readout: str) -> str:
    what = "the network's answer" if readout == "answer" else f"the {readout} readout of {node}"
    right = {
        "observational": "the causal model's value",
        "natural": "what the causal model makes of what was read before it",
        "interchange": "what the causal model makes of what was set before it",
    }
    return f"{what} is {right[kind]}"
