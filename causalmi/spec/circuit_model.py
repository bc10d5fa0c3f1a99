"""What does a circuit say of a task's answer? Which inputs it is computed from, by way of nodes of unknown content."""

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any

import pandas as pd

from causalmi.errors import SpecError
from causalmi.spec.causal_model import CausalModel

INPUT, LOGITS = "input_", "logits_"  # what enters the network, and what its logits are read from
Seen = frozenset[tuple[Any, ...]]


class CircuitModel(CausalModel):
    """A causal model whose variables are nodes: the value of each is the set of inputs that it is computed from.

    ``whole`` is the task's own causal model, ``read`` gives each node the nodes that it reads; `LOGITS` is the last.
    Where nothing is interchanged every value is the one input, as {(x, y, ...)}, and two nodes agree exactly if they
    are of equal inputs. The output is ``whole``'s on that input, and None for several: of a mixture nothing is claimed.
    Settings are drawn as ``whole`` draws them, sources one for all variables of a pair.
    """

    whole: CausalModel

    def __init__(self, whole: CausalModel, read: Mapping[str, Sequence[str]]):
        nodes = {INPUT: mechanism(whole.inputs, lambda *values: frozenset([values]))}
        nodes |= {name: mechanism(parents, lambda *seen: frozenset().union(*seen)) for name, parents in read.items()}
        _distinct(whole, list(nodes))
        object.__setattr__(self, "whole", whole)
        inputs = {name: whole.input_domains[name] for name in whole.inputs}
        super().__init__(inputs, nodes | {whole.output: mechanism((LOGITS,), self._answer)}, whole.output)

    def together(self, variables: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """All that the logits read, jointly: nothing is predicted where some of it is of another input."""
        last = self.parents[LOGITS]
        return (last,) if set(last) <= set(variables) else ()

    def sample(self, n: int, *, seed: int, balance: str | None = None) -> pd.DataFrame:
        """As the task's own causal model draws them."""
        return self.whole.sample(n, seed=seed, balance=balance)

    def sample_pairs(
        self, n: int, vary: Sequence[str], *, seed: int, balance: str | None = None
    ) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
        """``n`` bases, and as many sources that all of ``vary`` share; raises as CausalModel's does."""
        if unknown := [v for v in vary if v not in self.variables]:
            raise SpecError("sample_pairs", [f"{unknown[0]!r} is no variable; there are {', '.join(self.variables)}"])
        base, sources = self.whole.sample_pairs(n, [self.whole.output], seed=seed, balance=balance)
        return base, dict.fromkeys(vary, sources[self.whole.output])

    def _answer(self, seen: Seen) -> Any:
        if len(seen) != 1:
            return None
        (values,) = seen
        return self.whole.run(dict(zip(self.whole.inputs, values, strict=True)))[self.whole.output]


def mechanism(parents: Sequence[str], function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as a mechanism of these parents, which are too many, or not yet known, to be written out."""

    def computed(*values: Any) -> Any:
        return function(*values)

    computed.__signature__ = Signature(  # type: ignore[attr-defined]
        [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in parents]
    )
    return computed


def _distinct(whole: CausalModel, nodes: Sequence[str]) -> None:
    problems = [
        f"the task has a variable {name!r}, which is the name of a node; rename the variable"
        for name in (*whole.inputs, whole.output)
        if name in nodes
    ]
    if whole.output in whole.inputs:
        problems.append(f"the task's answer {whole.output!r} is one of its inputs; make it a variable of its own")
    if problems:
        raise SpecError("circuit_hypothesis", problems)
