"""What does a user hold when a network is loaded? A `Model`: the network as it is, run with edits and reads."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from causalmi.data.inputs import Inputs
from causalmi.data.positions import resolve
from causalmi.engine.execute import execute, read_only
from causalmi.engine.plan import Plan, check_sites, make_plan
from causalmi.engine.proof import finite, prove
from causalmi.engine.record import record
from causalmi.engine.recording import Recording
from causalmi.engine.run import Run
from causalmi.errors import ModelError, SiteError
from causalmi.models.adapt import adapter_of
from causalmi.models.adapter import Adapter, ModuleAdapter
from causalmi.spec.site import Grid, Position, Site

Examples: TypeAlias = Inputs | Tensor


class Model:
    """A network that can be read and edited at its sites; made by :func:`causalmi.load_model`.

    ``module`` is the user's own network: its weights, hooks and mode are after every call as they were before.
    """

    def __init__(self, adapter: Adapter, *, tokenizer: Any = None, name: str | None = None):
        self.adapter, self.tokenizer, self.name = adapter, tokenizer, name or adapter.name
        self._proved: set[Site] = set()
        finite(adapter)
        if (tokens := adapter.example()) is not None:
            try:
                prove(adapter, Inputs.of(tokens))
            except (RuntimeError, SiteError) as error:  # raised where shapes do not fit
                raise ModelError(f"{adapter.name} failed its self-check: {error}") from error

    @property
    def module(self) -> nn.Module:
        """The network itself."""
        return self.adapter.module

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.adapter.device

    def __repr__(self) -> str:
        named = "" if self.name == self.adapter.name else f"{self.name!r}, "
        return f"Model({named}{self.adapter.name}, {self.device})"

    def sites(self, grid: Grid | None = None) -> tuple[Site, ...]:
        """Every site of the network, or those that ``grid`` spans in it.

        Raises ModelError for a grid over a network that has no layers, SiteError for what is no grid.
        """
        if grid is None:
            return self.adapter.every_site()
        if not isinstance(grid, Grid):
            raise SiteError(f"{grid!r} is no grid of sites; make one with site.grid(kind), such as 'resid_post'")
        shape = getattr(self.adapter, "shape", None)
        if shape is None:
            raise ModelError(f"{self.name} has no layers to span a grid of {grid.kind}; list its sites with sites()")
        heads = shape.n_kv_heads if grid.kind in ("k", "v") else shape.n_heads
        return grid.expand(n_layers=shape.n_layers, n_heads=heads)

    def stream(
        self,
        examples: Examples,
        *,
        edits: Mapping[Site, Any] | None = None,
        read: Iterable[Site] | Site = (),
        batch_size: int | None = None,
    ) -> Iterator[tuple[slice, Run]]:
        """Like :meth:`run`, one batch at a time: the rows and what they gave, for results too large to keep."""
        todo = plan(self, examples, edits=edits, read=read, batch_size=batch_size)
        for rows, logits, values in execute(self.adapter, todo):
            yield rows, Run(logits, values)

    def run(
        self,
        examples: Examples,
        *,
        edits: Mapping[Site, Any] | None = None,
        read: Iterable[Site] | Site = (),
        batch_size: int | None = None,
    ) -> Run:
        """Run the network on ``examples`` with the numbers at some sites replaced, and read others.

        ``examples`` are token ids, int64 [batch, pos], numbers [batch, ...] for networks without tokens, or the
        `Inputs` of a task, whose named positions sites may use. ``edits`` maps sites to values of the shape that a read
        of the site gives (or without its batch axis, or one number); edits act in the network's order, and a read sees
        the numbers after an edit of the same site. Gradients flow exactly when an edit's value requires them.
        Raises SiteError, PositionError or DataError before any computing, ModelError when a site does not fire once.
        """
        batches = [run for _, run in self.stream(examples, edits=edits, read=read, batch_size=batch_size)]
        values = {site: torch.cat([b.values[site] for b in batches]) for site in batches[0].values}
        return Run(torch.cat([b.logits for b in batches]), values)

    def capture(
        self, examples: Examples, sites: Iterable[Site] | Site, *, batch_size: int | None = None
    ) -> dict[Site, Tensor]:
        """The numbers at ``sites`` on ``examples``, without edits; runs no further than the deepest of them.

        Raises SiteError, PositionError or DataError for what cannot be read.
        """
        batches = list(read_only(self.adapter, plan(self, examples, read=sites, batch_size=batch_size)))
        return {site: torch.cat([values[site] for values in batches]) for site in batches[0]}

    def record(self, examples: Examples, *, at: Position = None, resume: bool = True) -> Recording:
        """A clean run of ``examples``, all in one batch, from which runs with edits start.

        ``at`` are the positions whose logits are read, None for all. With ``resume`` a run with edits computes only
        what they change; it keeps each block's input, keys and values. Without, it is a whole run with hooks, which
        gives the same numbers up to rounding. Raises PositionError or DataError for what cannot be run.
        """
        inputs = examples if isinstance(examples, Inputs) else Inputs.of(examples)
        return record(self.adapter, inputs, at, resume=resume)

    def untrained(self, seed: int) -> "Model":
        """A network of the same shape with weights drawn afresh from ``seed``; raises ModelError when it has none."""
        fresh = adapter_of(self.adapter.untrained(seed), as_module=isinstance(self.adapter, ModuleAdapter))
        return Model(fresh, tokenizer=self.tokenizer, name=f"{self.name} untrained")

    def prove_modules(self, inputs: Inputs, sites: Iterable[Site]) -> None:
        """Sites by module path prove themselves on the user's first examples: no input can be made up for them."""
        fresh = {Site("module", path=s.path) for s in sites if s.kind == "module"} - self._proved
        if fresh:
            prove(self.adapter, inputs.rows(slice(0, 2)), sorted(fresh, key=str))
            self._proved |= fresh


def plan(
    model: Model,
    examples: Examples,
    *,
    edits: Mapping[Site, Any] | None = None,
    read: Iterable[Site] | Site = (),
    batch_size: int | None = None,
    at: Position = None,
) -> Plan:
    """What ``model.run`` would do with the same arguments, checked; print it to see positions, passes and memory.

    It also says what the same run from a recording, with logits read ``at`` some positions, would compute.
    Raises SiteError, PositionError or DataError for what cannot be run.
    """
    inputs = examples if isinstance(examples, Inputs) else Inputs.of(examples)
    read, edits = (read,) if isinstance(read, Site) else tuple(read), {} if edits is None else edits
    check_sites(edits, read)
    model.prove_modules(inputs, (*read, *edits))
    return make_plan(model.adapter, inputs, edits, read, batch_size, resolve(at, inputs))
