"""Causal scrubbing by its definition: one example, one node and one path at a time, whole runs, nothing shared.

A node is computed in copies of the network, one for each set of feeders that have come along their routes. A place that
a feeder's route excludes is, in a copy that has the feeder, what it is in the copy that does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from causalmi.data.positions import resolve
from causalmi.methods.scrubbing.draw import REST
from causalmi.methods.scrubbing.graph import Node
from causalmi.methods.scrubbing.setup import Setup
from causalmi.models.scm import CausalModule
from causalmi.spec.site_type import Site
from tests.methods.scrubbing.copies import LOGITS, Copies, whole

STAGES = ("resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "resid_mid", "mlp_in", "mlp_hidden", "mlp_out",
          "resid_post")  # fmt: skip


@dataclass(eq=False)
class Textbook:
    """The scrubbed logits of single references, given what was drawn."""

    setup: Setup
    encoded: dict[int, Any] = field(default_factory=dict)
    means: dict[Site, Tensor] = field(default_factory=dict)

    def logits(self, reference: int) -> Tensor:
        """The logits of the output node, [outputs]."""
        self.setup.drawn  # noqa: B018  (what is generated is added to the data here)
        out = self._copies((self.setup.graph.output.variable,), reference)
        return self.pick(out.data[REST], out.run([LOGITS])[LOGITS])

    def value(self, path: tuple[str, ...], reference: int) -> dict[Site, Tensor]:
        """What one node of the unfolded claim is set to."""
        node, own = self.setup.graph.nodes[path[-1]], int(self.setup.drawn[path].own[reference])
        if node.estimate is not None:
            return {node.sites[0]: self.estimate(node, own)}
        found = self._copies(path, reference).run(node.sites) if node.feeders else self.run(own, {}, node.sites)
        return {s: found[s] for s in node.sites}

    def _copies(self, path: tuple[str, ...], reference: int) -> Copies:
        node, rest = self.setup.graph.nodes[path[-1]], self.setup.drawn[path].rest
        given = {f: self.value(self.setup.graph.onto(path, f), reference) for f in node.feeders}
        return Copies(self, node, {key: int(ids[reference]) for key, ids in rest.items()}, given)

    def estimate(self, node: Node, datum: int) -> Tensor:
        assert node.estimate is not None
        return torch.as_tensor(node.estimate(self.setup.population.setting(datum)))[None]

    def inputs(self, datum: int) -> Any:
        """One datum as the network takes it, by itself."""
        if datum not in self.encoded:
            population = self.setup.population
            self.encoded[datum] = population.task.encode(pd.DataFrame([population.setting(datum)]))
        return self.encoded[datum]

    def run(self, datum: int, edits: Mapping[Site, Tensor], read: Iterable[Site]) -> dict[Site, Tensor]:
        done = self.setup.model.run(self.inputs(datum), edits=edits, read=[s for s in read if s != LOGITS])
        return {**done.values, LOGITS: done.logits}

    def pick(self, datum: int, logits: Tensor) -> Tensor:
        if logits.ndim == 2:
            return logits[0]
        at = resolve(self.setup.at, self.inputs(datum))
        assert at is not None
        return logits[0, int(at[0, 0])]

    def order(self, place: Site) -> tuple[float, float]:
        """Where in the network a place is."""
        if place.kind == "module":
            return (0, [name for name, _ in self.setup.model.module.named_modules()].index(place.path))
        if place.layer is None:
            return {"embed": (-1.0, 0), "final_norm": (99.0, 0), "logits": (99.0, 1)}[place.kind]
        return (place.layer, STAGES.index("z") + 0.5 if place.kind == "head_out" else STAGES.index(place.kind))

    def before(self, a: Site, b: Site) -> bool:
        """Whether a place leads to another."""
        module = self.setup.model.module
        if isinstance(module, CausalModule):
            graph = module.causal_model
            end = graph.output if b.path is None else b.path
            return (a.path != end and a.path in ancestors(graph, end)) or (a.path == end and b == LOGITS)
        if b.kind in ("k", "v"):
            b = Site("q", b.layer)
        a, b = (Site("z", s.layer) if s.kind == "head_out" else s for s in (a, b))
        return self.order(whole(a)) < self.order(whole(b))

    def is_end(self, a: Site, b: Site) -> bool:
        """Whether a mechanism is the one that gives the output."""
        module = self.setup.model.module
        return isinstance(module, CausalModule) and b == LOGITS and a.path == module.causal_model.output

    @cached_property
    def parts(self) -> list[Site]:
        """Heads and MLPs, or mechanisms."""
        if isinstance(self.setup.model.module, CausalModule):
            return [Site("module", path=name) for name in self.setup.model.module.causal_model.mechanisms]
        layers = range(getattr(self.setup.model.adapter, "shape").n_layers)  # noqa: B009  (not on every adapter)
        return [Site(kind, layer) for layer in layers for kind in ("z", "mlp_out")]

    def mean(self, place: Site) -> Tensor:
        if place not in self.means:
            data = range(len(self.setup.population))
            self.means[place] = torch.stack([self.run(i, {}, [place])[place] for i in data]).mean(0)
        return self.means[place]


def ancestors(graph: Any, name: str) -> set[str]:
    found = set(graph.parents.get(name, ()))
    return found.union(*(ancestors(graph, p) for p in found)) if found else found
