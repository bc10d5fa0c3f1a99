"""What if a claim were another? The same scrub with other donors, places or weights, for controls and refutations."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from causalmi.data.inputs import Inputs
from causalmi.methods.scrubbing.graph import Graph, Node
from causalmi.methods.scrubbing.setup import Setup
from causalmi.methods.scrubbing.structure import check
from causalmi.spec.donor import Agree, Donor, Exact, Feature, Together, Unconditional
from causalmi.spec.hypothesis import Resample
from causalmi.spec.mechanism import read_parents
from causalmi.spec.site_type import Site

LOOKED_AT = 8  # examples on which other places are tried


def shuffled(setup: Setup, *, merged: bool = False) -> Setup:
    """Every mapped variable receives any datum, whether it agrees or not; ``merged``: one, wherever it is read."""
    given = (lambda name: Together(f"shuffled {name}")) if merged else (lambda name: Unconditional())
    return _with(setup, lambda node: replace(node, donor=given(node.variable)) if node.sites else node)


def own_donors(setup: Setup) -> Setup:
    """Nothing is resampled: every node, and its rest, receives its reference; every run is made, none left out."""
    own = _with(setup, lambda node: replace(node, donor=Exact(), unmapped=Resample(share="exact")))
    return replace(own, shared=False)


def emptied(setup: Setup) -> Setup:
    """Nothing is claimed: the output is read on another datum."""
    output = setup.graph.output
    return replace(setup, graph=Graph({output.variable: replace(output, feeders=(), routes={})}))


def relabelled(setup: Setup) -> Setup:
    """Every value of every variable by another name, one to one."""
    return _with(setup, lambda node: replace(node, donor=_renamed(node.donor)))


def untrained(setup: Setup, seed: int) -> Setup:
    """A network of the same shape with weights drawn afresh; raises ModelError when it has none."""
    return replace(setup, model=setup.model.untrained(seed))


def moved(setup: Setup, alignment: Mapping[str, Sequence[Site]]) -> Setup:
    """The variables at other places; raises SpecError where the claim's edges are no paths between those."""
    there = _with(setup, lambda node: replace(node, sites=tuple(alignment.get(node.variable, node.sites))))
    check(there.graph, there.model, few(there.inputs), there.reach, there.at)
    return there


def few(inputs: Inputs) -> Inputs:
    """Some examples from all over, the shortest among them: enough to say which places there are."""
    spread = torch.linspace(0, len(inputs) - 1, LOOKED_AT).long()
    return inputs.rows(torch.cat([inputs.lengths.cpu().argsort(stable=True)[:1], spread]).unique())


def part(setup: Setup, rows: Any) -> Setup:
    """Some of the references."""
    return replace(setup, references=setup.references[rows])


def _with(setup: Setup, change: Callable[[Node], Node]) -> Setup:
    return replace(setup, graph=Graph({name: change(node) for name, node in setup.graph.nodes.items()}))


def _renamed(donor: Donor) -> Donor:
    return Agree(*map(_relabelling, donor.on), pool=donor.pool) if isinstance(donor, Agree) else donor


def _relabelling(feature: Feature) -> Feature:
    """The feature with each value v renamed ("another name of", v)."""
    names = (feature,) if isinstance(feature, str) else read_parents("feature", feature)[0]

    def renamed(*values: Any) -> Any:
        return ("another name of", values[0] if isinstance(feature, str) else feature(*values))

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    renamed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return renamed
