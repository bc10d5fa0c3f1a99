"""Can this claim be scrubbed, and what takes part? Everything is found and checked before the network runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from causalmi.data.inputs import Inputs
from causalmi.engine.load import load_model
from causalmi.engine.model import Model, plan
from causalmi.errors import DataError, SpecError
from causalmi.methods.scrubbing.data import population_of
from causalmi.methods.scrubbing.draw import Draw, Draws
from causalmi.methods.scrubbing.graph import Graph, Occurrence, graph_of
from causalmi.methods.scrubbing.keys import runs_of
from causalmi.methods.scrubbing.labels import Labels
from causalmi.methods.scrubbing.onepass import Recipe
from causalmi.methods.scrubbing.passes import Passes
from causalmi.methods.scrubbing.population import Ids, Population
from causalmi.methods.scrubbing.reach import LOGITS, Reach, reach_of
from causalmi.methods.scrubbing.recipes import recipes_of, term_names
from causalmi.methods.scrubbing.structure import check
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.hypothesis import Hypothesis


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """A claim about a network on its data; ``inputs`` are the drawn data as the network takes them."""

    hypothesis: Hypothesis
    model: Model
    graph: Graph
    population: Population
    references: Ids
    inputs: Inputs
    seed: int
    batch_size: int | None = None
    shared: bool = True  # whether a run in which one datum meets itself is taken from the clean ones

    @property
    def at(self) -> int | str:
        """Where the logits are read."""
        adapter = self.model.adapter
        own = adapter.readout_position if isinstance(adapter, DecoderAdapter) else None
        return self.hypothesis.task.readout if own is None else own

    @cached_property
    def reach(self) -> Reach:
        """The order of the network's places."""
        nodes = self.graph.nodes.values()
        sites = [s for node in nodes for s in (*node.sites, *(x for r in node.routes.values() for x in r.excluding))]
        return reach_of(self.model, self.inputs.rows(slice(0, 2)), [s for s in sites if s != LOGITS])

    @cached_property
    def recipes(self) -> Mapping[str, Recipe]:
        """How each node is run; means are taken over all data, so this may run the network."""
        return recipes_of(self.graph, self.reach, self.model, self.inputs)

    @cached_property
    def labels(self) -> Labels:
        """The right answers to the references."""
        rows = torch.from_numpy(self.references)
        settings = self.population.settings.iloc[self.references].reset_index(drop=True)
        task, inputs, tokenizer = self.hypothesis.task, self.inputs.rows(rows), self.model.tokenizer
        return Labels(
            answer=task.labels(settings, inputs, tokenizer),
            choices=task.choice_ids(settings, inputs, tokenizer),
            datum=self.population.identity(self.references),
        )

    @cached_property
    def drawn(self) -> Mapping[Occurrence, Draw]:
        """The data of every node, drawn."""
        terms = {name: term_names(self.recipes[name], node, self.reach) for name, node in self.graph.nodes.items()}
        return Draws(self.graph, self.population, terms, self.seed).sample(self.references)

    def drawn_rest(self, name: str) -> bool:
        """Whether a node has an unmapped rest that receives something."""
        return any(draw.rest for path, draw in self.drawn.items() if path[-1] == name)

    def passes(self) -> Passes:
        """The runs of the drawn data, none of them made yet."""
        drawn = self.drawn
        grown = self.population.grown
        return Passes(
            model=self.model,
            graph=self.graph,
            population=self.population,
            inputs=self.population.encoded(self.model.tokenizer) if grown else self.inputs,
            recipes=self.recipes,
            runs=runs_of(self.graph, drawn, shared=self.shared),
            at=self.at,
            batch_size=self.batch_size,
        )


def set_up(hypothesis: Hypothesis, model: Any, *, data: Any, n: int | None, seed: int, batch_size: int | None) -> Setup:
    """Everything that takes part, checked; raises SpecError, SiteError, PositionError, DataError or ModelError."""
    if not isinstance(hypothesis, Hypothesis):
        raise SpecError("scrub", [f"the hypothesis is a {type(hypothesis).__name__}; give a causalmi.Hypothesis"])
    if n is not None and (not isinstance(n, int | np.integer) or n < 2):
        raise DataError(f"n is {n!r}; give a whole number of references from 2, or 'all' for every draw there is")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"seed is {seed!r}; give a whole number from 0")
    graph = graph_of(hypothesis)
    ready = load_model(hypothesis.model if model is None else model)
    number = hypothesis.n if n is None else int(n)
    population, references = population_of(hypothesis.task, data, number, given=n is not None, seed=seed)
    inputs = population.encoded(ready.tokenizer)
    setup = Setup(
        hypothesis=hypothesis,
        model=ready,
        graph=graph,
        population=population,
        references=references,
        inputs=inputs,
        seed=seed,
        batch_size=batch_size,
    )
    plan(ready, inputs, batch_size=batch_size)
    check(graph, ready, inputs, setup.reach, setup.at)
    return setup
