"""What must be known of a batch to run any set of edges on it? What enters the first layer, what replaces senders."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.engine.execute import read_only
from causalmi.engine.plan import make_plan
from causalmi.engine.tape import Tape, tape
from causalmi.errors import ModelError
from causalmi.models.parts import Parts, Sight
from causalmi.spec.graph import Graph
from causalmi.spec.site import Site

TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-3}  # of what our own pass may differ from the network's; else 0.05


def sender_sites(graph: Graph) -> tuple[Site, ...]:
    """The places whose values say what every sender adds to the stream."""
    layers = range(graph.n_layers)
    mlp = "mlp_hidden" if graph.neurons else "mlp_out"
    start = [Site("resid_pre", 0), *([Site("embed")] if len(graph.inputs) > 1 else [])]
    outputs = [Site(kind, layer) for layer in layers for kind in ("z", mlp) if graph.has_mlp or kind == "z"]
    return (*start, *outputs)


@dataclass(frozen=True, eq=False)
class Scene:
    """A batch of b examples: what its senders add clean at the start, and ``replaced`` what they add when ablated.

    ``tape`` is of them all, or of the first where all are alike. ``at`` [b] is the position whose logits are read,
    ``real`` says which positions are no padding, ``classes`` [b, pos] is each one's class, where edges have them.
    """

    parts: Parts
    graph: Graph
    tape: Tape
    start: Float[Tensor, "input b pos d_model"]
    replaced: Mapping[Site, Tensor]
    at: Int[Tensor, " b"]
    real: Bool[Tensor, "b pos"]
    classes: Int[Tensor, "b pos"] | None = None
    own: bool = True  # whether the tape is of these examples, and not of others of their length

    @cached_property
    def sights(self) -> tuple[Sight, ...]:
        """What each layer's attention is given beside its input."""
        calls = enumerate(self.tape.calls)
        return tuple(self.parts.sight(layer, call.arguments, call.hidden) for layer, call in calls)

    @cached_property
    def every(self) -> Int[Tensor, " b"]:
        """The numbers of the examples."""
        return torch.arange(len(self.at), device=self.at.device)

    def start_replaced(self) -> Float[Tensor, "input b pos d_model"]:
        """What the inputs add when ablated."""
        return added(self.replaced, self.graph)

    def heads_replaced(self, layer: int) -> Float[Tensor, "head b pos d_model"]:
        """What the heads of ``layer`` add when ablated."""
        return self.parts.write(layer, self.replaced[Site("z", layer)].permute(2, 0, 1, 3))

    def agrees(self, streams: list[Tensor]) -> None:
        """Raises ModelError unless the ``streams`` that enter the blocks, and the last, are those of the network."""
        if not self.own:
            return  # the batch that it is of was checked
        theirs = [*(call.hidden for call in self.tape.calls), self.tape.final]
        for layer, (ours, own) in enumerate(zip(streams, theirs, strict=True)):
            some, real = ours[: len(own)], self.real[: len(own)]
            off = (some - own).abs().amax(-1) / own.abs().amax(-1).clamp(min=1) * real
            if not float(off.max()) <= TOLERANCE.get(ours.dtype, 0.05):
                raise ModelError(
                    f"{self.parts.adapter.name} computes other numbers than the sum of its heads and MLPs after "
                    f"{layer} layers (by {float(off.max()):.1e}); are there hooks or changed modules inside its blocks?"
                )


def scene(  # noqa: PLR0913  (what a scene is made of)
    parts: Parts,
    graph: Graph,
    inputs: Inputs,
    replaced: Mapping[Site, Tensor],
    at: Tensor,
    classes: Tensor | None = None,
    tapes: dict[int, Tape] | None = None,
) -> Scene:
    """Where any set of edges of ``inputs`` can be run from. Gradients flow to nothing in it.

    How blocks are called is the same for all examples of one length that have no padding, so one of them is run to see
    it, and kept in ``tapes``, by length, for batches to come.
    """
    adapter, tapes = parts.adapter, {} if tapes is None else tapes
    alike, length = inputs.mask is None or bool(inputs.mask.all()), inputs.values.shape[1]
    known = tapes.get(length) if alike else None
    done = known or tape(adapter, inputs.rows(slice(0, 1)) if alike else inputs)
    if alike:
        tapes[length] = done
    sites = sender_sites(graph)[: len(graph.inputs)]
    (found,) = read_only(adapter, make_plan(adapter, inputs, {}, sites, len(inputs), None))
    start = added(found, graph)
    values = {site: value.to(start) for site, value in replaced.items()}
    here = start.device
    mask = torch.ones(start.shape[1:3], dtype=torch.bool) if inputs.mask is None else inputs.mask
    classes = None if classes is None else classes.to(here)
    return Scene(parts, graph, done, start, values, at.to(here), mask.to(here), classes, own=known is None)


def added(values: Mapping[Site, Tensor], graph: Graph) -> Float[Tensor, "input b pos d_model"]:
    """What the inputs add, from the values at their places."""
    whole = values[Site("resid_pre", 0)]
    if len(graph.inputs) == 1:
        return whole[None]
    tokens = values[Site("embed")]
    return torch.stack([tokens, whole - tokens])
