"""Which places of a network does a place reach, and past which others? What an edge of a claim can mean in it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import networkx as nx

from causalmi.data.inputs import Inputs
from causalmi.engine.model import Model
from causalmi.errors import ModelError
from causalmi.methods.path_order import one_name, reaches
from causalmi.models.decoder import DecoderAdapter
from causalmi.models.scm import CausalModule
from causalmi.spec.site_type import Site

LOGITS = Site("logits")
STREAM = ("resid_pre", "resid_mid", "resid_post", "final_norm")
ATTENTION, MLP = ("q", "k", "v", "pattern", "z", "head_out", "attn_out"), ("mlp_in", "mlp_hidden", "mlp_out")


def place_of(site: Site) -> Site:
    """The whole place that a site is a part of, by the name by which it is edited."""
    named = one_name(site) if site.kind == "resid_pre" else site
    return Site(named.kind, named.layer, path=named.path)


class Reach(ABC):
    """The order of a network's places."""

    @abstractmethod
    def reaches(self, a: Site, b: Site) -> bool:
        """Whether what is at ``a`` can go, however indirectly, into what is at ``b``."""

    @abstractmethod
    def blocked(self, a: Site, b: Site, by: Sequence[Site]) -> bool:
        """Whether every path from ``a`` to ``b`` runs through the sites ``by``."""

    @abstractmethod
    def between(self, a: Site, b: Site) -> tuple[Site, ...]:
        """Every head and MLP, or mechanism, on a path from ``a`` to ``b``; raises ModelError where none are known."""

    @abstractmethod
    def terms(self, site: Site) -> tuple[Site, ...]:
        """What adds up to, or is read for, what is at ``site``; raises ModelError where that is not known."""

    def sorted(self, sites: Iterable[Site]) -> list[Site]:
        """The sites, each after those that reach it."""
        rest, done = list(dict.fromkeys(sites)), list[Site]()
        while rest:
            first = next(s for s in rest if not any(self.reaches(o, s) for o in rest if o != s))
            rest.remove(first)
            done.append(first)
        return done


class DecoderReach(Reach):
    """A transformer whose layers are known. Positions count only where a site is cut off at its own position."""

    def __init__(self, adapter: DecoderAdapter):
        self.shape, self.parallel, self.absent = adapter.shape, adapter.family.parallel, adapter.absent

    def reaches(self, a: Site, b: Site) -> bool:
        if "module" in (a.kind, b.kind):
            return True  # what a module is part of is not known
        return reaches(a, b, parallel=self.parallel)

    def blocked(self, a: Site, b: Site, by: Sequence[Site]) -> bool:
        return any(self.reaches(a, s) and self.reaches(s, b) and self._cuts(a, s) for s in by if s != b)

    def _cuts(self, a: Site, by: Site) -> bool:
        """Whether ``by`` is all of the stream, or all that the part which ``a`` belongs to writes into it."""
        if by.neurons is not None or by.projected:
            return False
        own = a.layer == by.layer and any(a.kind in part[:-1] and by.kind == part[-1] for part in (ATTENTION, MLP))
        if own:
            local = a.kind in ("z", "head_out", *MLP)  # these act at their own position alone
            return by.at is None or (local and by.at == a.at)
        return by.kind in STREAM and by.at is None

    def between(self, a: Site, b: Site) -> tuple[Site, ...]:
        there = [s for s in self._parts() if self.reaches(a, s) and self.reaches(s, b)]
        return tuple(s for s in there if not _own(a, s) and not _own(b, s))

    def terms(self, site: Site) -> tuple[Site, ...]:
        return tuple(s for s in self._parts() if self.reaches(s, site) and not _own(site, s))

    def _parts(self) -> list[Site]:
        kinds = ("z", "mlp_out") if self.shape.has_mlp else ("z",)
        return [Site(kind, layer) for layer in range(self.shape.n_layers) for kind in kinds]


def _own(a: Site, s: Site) -> bool:
    """Whether ``s`` is what the part that ``a`` belongs to writes."""
    return a.layer == s.layer and any(one_name(a).kind in part and s.kind in part for part in (ATTENTION, MLP))


class MechanismReach(Reach):
    """A causal model as a network: its graph is known."""

    def __init__(self, module: CausalModule):
        self.model, self.graph = module.causal_model, module.causal_model.graph

    def reaches(self, a: Site, b: Site) -> bool:
        x, y = self._name(a), self._name(b)
        return (x != y or (b == LOGITS and a != b)) and nx.has_path(self.graph, x, y)

    def blocked(self, a: Site, b: Site, by: Sequence[Site]) -> bool:
        x, y = self._name(a), self._name(b)
        gone = {self._name(s) for s in by} - ({x} if b == LOGITS else {x, y})
        return y in gone or not nx.has_path(self.graph.subgraph(set(self.graph) - gone), x, y)

    def between(self, a: Site, b: Site) -> tuple[Site, ...]:
        names = [v for v in self.model.mechanisms if v not in (self._name(a), self._name(b))]
        sites = [Site("module", path=v) for v in names]
        return tuple(s for s in sites if self.reaches(a, s) and self.reaches(s, b))

    def terms(self, site: Site) -> tuple[Site, ...]:
        parents = self.model.parents[self._name(site)]
        return tuple(Site("module", path=p) for p in parents if p in self.model.mechanisms)

    def _name(self, site: Site) -> str:
        return self.model.output if site.path is None else site.path


class ModuleReach(Reach):
    """Any other network: modules in the order in which a run passes them."""

    def __init__(self, model: Model, few: Inputs, sites: Sequence[Site]):
        self.name, wanted = model.name, [Site(s.kind, s.layer, path=s.path) for s in sites]
        passed = model.run(few, read=list(dict.fromkeys(wanted))).values
        self.order = {site.path: number for number, site in enumerate(passed)}

    def reaches(self, a: Site, b: Site) -> bool:
        if a == LOGITS or a.path == b.path:
            return False
        return b == LOGITS or self.order[a.path] < self.order[b.path]

    def blocked(self, a: Site, b: Site, by: Sequence[Site]) -> bool:
        return False  # what runs beside what is not known

    def between(self, a: Site, b: Site) -> tuple[Site, ...]:
        raise ModelError(f"{self.name} is a plain nn.Module, whose direct paths are not known; name excluding= sites")

    def terms(self, site: Site) -> tuple[Site, ...]:
        raise ModelError(
            f"{self.name} is a plain nn.Module, so it is not known what else is read beside a claim's places; "
            "give its unmapped rest one donor, Resample(share='node'), or 'exact' or 'paired'"
        )


def reach_of(model: Model, few: Inputs, sites: Sequence[Site]) -> Reach:
    """The order of the places of this network; ``sites`` are those that will be asked for."""
    if isinstance(model.adapter, DecoderAdapter):
        return DecoderReach(model.adapter)
    if isinstance(model.module, CausalModule):
        return MechanismReach(model.module)
    return ModuleReach(model, few, [s for s in sites if s != LOGITS])
