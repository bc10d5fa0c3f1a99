"""How are rival claims asked on the same examples? One draw of bases and sources, told by each causal model in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from causalmi.data.drawn import Drawn
from causalmi.data.pairs import CounterfactualPairs
from causalmi.errors import DataError, SpecError
from causalmi.methods.subsets import Subset
from causalmi.spec.hypothesis import Hypothesis

CALL = "search_hypotheses"


@dataclass(frozen=True, eq=False)
class Rival:
    """One of several claims on the same examples; ``slots`` says by variable whose sources it receives.

    Variables of two rivals that receive the same sources correspond.
    """

    name: str
    hypothesis: Hypothesis
    pairs: CounterfactualPairs
    slots: Mapping[str, str]

    @property
    def subsets(self) -> list[Subset]:
        """The sets of variables that are interchanged together."""
        return list(self.hypothesis.task.model.together(self.hypothesis.variables))

    def slotted(self) -> dict[frozenset[str], Subset]:
        """The sets of variables by the sources that they receive."""
        return {frozenset(self.slots[str(v)] for v in subset): subset for subset in self.subsets}


def retold(
    hypotheses: Sequence[Hypothesis], data: CounterfactualPairs | None, n: int | None, seed: int, tokenizer: Any
) -> list[Rival]:
    """Every claim with the pairs that ``data`` or a draw of ``n`` become in its causal model.

    Raises DataError where the claims' tasks do not give the network the same inputs.
    """
    pairs = _drawn(hypotheses, data, n, seed)
    rivals = []
    for name, hypothesis in zip(_names(hypotheses), hypotheses, strict=True):
        slots = _slots(hypothesis.variables, pairs.vary)
        rivals.append(Rival(name, hypothesis, _told(pairs, hypothesis, slots, tokenizer), slots))
    first = rivals[0]
    for rival in rivals[1:]:
        if not _same_inputs(first.pairs, rival.pairs):
            raise DataError(f"{first.name} and {rival.name} give the network other inputs for the same settings")
    return rivals


def _drawn(hypotheses: Sequence[Hypothesis], data: Any, n: int | None, seed: int) -> CounterfactualPairs:
    """Pairs with a source for as many variables as the claim with the most has."""
    lead = max(hypotheses, key=lambda h: len(h.variables))
    if data is None:
        return lead.task.pairs(n or 2 * lead.n, vary=list(lead.variables), seed=seed)  # type: ignore[no-any-return]
    if not isinstance(data, CounterfactualPairs) or n is not None:
        raise DataError("data must be CounterfactualPairs, as task.pairs makes, and n= is then left out")
    if data.drawn is None:
        raise DataError("the pairs have no settings for the causal models to be run on; draw them with task.pairs")
    if len(data.vary) < len(lead.variables):
        said = f"the pairs have sources for {', '.join(data.vary)}, and {lead.name} has {len(lead.variables)} variables"
        raise DataError(f"{said}; draw them with vary={list(lead.variables)}")
    return data


def _slots(variables: Sequence[str], slots: Sequence[str]) -> dict[str, str]:
    """Whose sources each variable receives: those of the variable of its name, else in order of those left."""
    found = {v: v for v in variables if v in slots}
    left = iter([s for s in slots if s not in found])
    return {v: found.get(v) or next(left) for v in variables}


def _told(
    pairs: CounterfactualPairs, hypothesis: Hypothesis, slots: Mapping[str, str], tokenizer: Any
) -> CounterfactualPairs:
    """The pairs with the settings and answers of the claim's own causal model."""
    task, drawn = hypothesis.task, pairs.drawn
    assert drawn is not None  # as _drawn has seen to
    assert pairs.task is not None
    names = list(task.model.inputs)
    if set(names) != set(pairs.task.model.inputs):
        said = f"{hypothesis.name} has the inputs {', '.join(names)}, the pairs {', '.join(pairs.task.model.inputs)}"
        raise DataError(f"{said}; rivals must have the same")
    tables = {slot: drawn.sources[slot][names] for slot in slots.values()}
    told = Drawn.of(task.model, drawn.base[names], {v: tables[slot] for v, slot in slots.items()})
    return replace(pairs, drawn=told, tensors=None, task=task, vary=tuple(slots)).bind(tokenizer)


def _same_inputs(a: CounterfactualPairs, b: CounterfactualPairs) -> bool:
    return a.base.values.shape == b.base.values.shape and torch.equal(a.base.values, b.base.values)


def _names(hypotheses: Sequence[Hypothesis]) -> list[str]:
    """The claims' names, with a number where several have the same."""
    names = [h.name for h in hypotheses]
    return [n if names.count(n) == 1 else f"{n} {names[: i + 1].count(n)}" for i, n in enumerate(names)]


def checked(hypotheses: Any) -> list[Hypothesis]:
    """The claims, of which one may be given by itself; raises SpecError for what is none."""
    listed = [hypotheses] if isinstance(hypotheses, Hypothesis) else list(hypotheses)
    if not listed or (bad := [h for h in listed if not isinstance(h, Hypothesis)]):
        raise SpecError(CALL, [f"{bad[0]!r} is no causalmi.Hypothesis" if listed else "no hypothesis is given"])
    return listed
