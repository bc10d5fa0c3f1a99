"""What would a network look like that computes exactly what a causal model claims? One submodule per mechanism."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from causalmi.errors import DataError, SpecError
from causalmi.spec.causal_model import CausalModel
from causalmi.spec.columns import Column, column
from causalmi.spec.domain import show
from causalmi.spec.mechanism import Mechanism

_SEEN = 1024  # examples on which the kind of each variable is seen


class MechanismModule(nn.Module):
    """One mechanism: values of its parents, each float64 [batch, 1] -> its own values, float64 [batch, 1].

    A whole number on the way in is an int (or a bool, where the parent is one), any other number a float.
    """

    def __init__(self, mechanism: Mechanism, kinds: Sequence[type]):
        super().__init__()
        self.mechanism, self.kinds = mechanism, tuple(kinds)

    def forward(self, *parents: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch 1"]:
        """The mechanism's values; no gradient passes through."""
        columns = [_column(x, kind) for x, kind in zip(parents, self.kinds, strict=True)]
        values = self.mechanism.many(columns, len(parents[0]))
        return torch.tensor(_floats(self.mechanism.name, values), device=parents[0].device)[:, None]


class CausalModule(nn.Module):
    """A causal model as a network: float64 [batch, n_inputs] -> logits float64 [batch, n_outputs].

    The submodule of each variable that is computed bears its name, so ``site.module("partial")`` is its exact place.
    The logit of the output's value is 1, every other one 0. ``outputs``: the values that have a logit, in order; by
    default those of the output's domain, else those that enumeration shows, sorted.

    Raises SpecError when a variable is not a number or a bool, or its name cannot be a submodule's; DataError when the
    computed output has no logit.
    """

    def __init__(self, causal_model: CausalModel, outputs: Sequence[Any] | None = None):
        super().__init__()
        kinds = _kinds(causal_model)
        self.causal_model = causal_model
        self.outputs = _outputs(causal_model) if outputs is None else tuple(outputs)
        if taken := [name for name in causal_model.mechanisms if hasattr(self, name)]:
            raise SpecError("CausalModule", [f"{name!r} cannot name a submodule; rename it" for name in taken])
        for name, mechanism in causal_model.mechanisms.items():
            self.add_module(name, MechanismModule(mechanism, [kinds[parent] for parent in mechanism.parents]))

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """One-hot logits of the output's value."""
        names, output = self.causal_model.inputs, self.causal_model.output
        if x.ndim != 2 or x.shape[1] != len(names):
            raise DataError(f"x has the shape {tuple(x.shape)}; give [batch, {len(names)}]: {', '.join(names)}.")
        values = dict(zip(names, x.double().split(1, dim=1), strict=True))
        for name, mechanism in self.causal_model.mechanisms.items():
            values[name] = self.get_submodule(name)(*(values[parent] for parent in mechanism.parents))
        hit = values[output] == x.new_tensor(_floats("outputs", column(self.outputs)), dtype=torch.float64)
        if not bool(hit.any(1).all()):
            raise self._no_logit(values[output][~hit.any(1)][0].item())
        logits: Tensor = hit.double()
        return logits

    def encode(self, setting: Mapping[str, Any]) -> list[float]:
        """The inputs of a setting as a row of ``x``."""
        return [float(setting[name]) for name in self.causal_model.inputs]

    def label(self, setting: Mapping[str, Any]) -> int:
        """The index of the logit of a setting's output; DataError when it has none."""
        value = setting[self.causal_model.output]
        if value not in self.outputs:
            raise self._no_logit(value)
        return self.outputs.index(value)

    def _no_logit(self, value: Any) -> DataError:
        return DataError(
            f"{self.causal_model.output} is {value!r}, which has no logit; there are {show(self.outputs)}."
        )


def _kinds(model: CausalModel) -> dict[str, type]:
    seen = model.run_columns(model.sample(_SEEN, seed=0))
    types = {name: set(map(type, seen[name].tolist())) for name in model.variables}
    problems = [
        f"{name} takes values that are no numbers ({', '.join(sorted(t.__name__ for t in kinds))}); give it numbers"
        for name, kinds in types.items()
        if not all(issubclass(t, Real) for t in kinds)
    ]
    if problems:
        raise SpecError("CausalModule", problems)
    return {name: kinds.pop() if len(kinds) == 1 else int for name, kinds in types.items()}


def _outputs(model: CausalModel) -> tuple[Any, ...]:
    if model.output in model.domains:
        return tuple(sorted(model.domains[model.output]))
    try:
        return tuple(sorted(model.equivalence_classes(model.output)))
    except SpecError as error:
        said = f"the values of {model.output} cannot be listed ({error.problems[0]}); give outputs=[...]"
        raise SpecError("CausalModule", [said]) from error


def _column(x: Tensor, kind: type) -> Column:
    """The Python values that a parent's numbers stand for."""
    values: Column = x.detach()[:, 0].double().cpu().numpy()
    if kind is bool and np.isin(values, (0.0, 1.0)).all():
        return values.astype(np.bool_)
    if kind is float or (values % 1).any() or abs(values).max(initial=0.0) >= 2.0**53:
        return values
    return values.astype(np.int64)


def _floats(name: str, values: Column) -> Column:
    """The values as float64, none of them rounded."""
    floats = values.astype(np.float64)
    exact = values.dtype in (np.bool_, np.float64) or (values.dtype == np.int64 and bool((abs(values) < 2**53).all()))
    if not exact and floats.tolist() != values.tolist():
        raise DataError(f"{name} has whole numbers beyond 2**53, which float64 cannot hold.")
    return floats
