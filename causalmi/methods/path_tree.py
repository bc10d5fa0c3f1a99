"""What does a network give when each path through it sees one of two inputs? Its computation unfolded into a tree.

In the tree every node has a copy for each path from it to the logits, and each leaf is an input. Copies above which the
same paths are left compute the same, so each (node, paths left) is computed once (Goldowsky-Dill et al. 2023).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from causalmi.engine.recording import Recording
from causalmi.methods.path_order import one_name
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Site


class Step(NamedTuple):
    """The input through which a path enters a node: q, k or v of a head, or an MLP's (``head`` None)."""

    layer: int
    slot: str
    head: int | None


class Node(NamedTuple):
    """A head, or an MLP (``head`` None)."""

    layer: int
    head: int | None


Path = tuple[Step, ...]  # from the network's input on, the logits left out
Paths = frozenset[Path]


@dataclass(frozen=True)
class PathTree:
    """One batch run on two inputs: ``reference`` for what the chosen paths see, ``other`` for all the rest."""

    adapter: DecoderAdapter
    reference: Recording
    other: Recording
    _clean: dict[Site, Tensor] = field(init=False, default_factory=dict, repr=False)
    _changes: dict[tuple[Node, Paths], Tensor] = field(init=False, default_factory=dict, repr=False)
    _projected: dict[tuple[int, Paths], dict[Site, Tensor]] = field(init=False, default_factory=dict, repr=False)

    def logits(self, paths: Paths) -> Tensor:
        """The logits when the ``paths`` see the reference."""
        steps = {step for path in paths for step in path}
        layers = sorted({step.layer for step in steps})
        sites = [Site("resid_pre", 0), self._end, *map(self._mlp_in, layers), *(_pre(layer) for layer in layers)]
        sites += [_output(Node(step.layer, step.head)) for step in steps]
        if self.adapter.shape.has_mlp is False:
            sites = [site for site in sites if site.kind not in ("mlp_in", "mlp_out")]
        self._clean.update(self.other.capture({}, dict.fromkeys(sites)))
        return self.other.run({self._end: self._stream(self._end, paths)}).logits

    def _stream(self, site: Site, paths: Paths) -> Tensor:
        """The stream at ``site`` when ``paths``, which end there, see the reference."""
        stream, rest = self._clean[site], dict[Node, set[Path]]()
        if () in paths:
            start = Site("resid_pre", 0)
            stream = stream + self.reference.capture({}, [start])[start] - self._clean[start]
        for path in paths:
            if path:
                rest.setdefault(Node(path[-1].layer, path[-1].head), set()).add(path)
        for node in sorted(rest, key=lambda n: (n.layer, -1 if n.head is None else n.head)):
            stream = stream + self._change(node, frozenset(rest[node]))
        return stream

    def _change(self, node: Node, paths: Paths) -> Tensor:
        """How far ``paths``, which end in ``node``, move what it adds to the stream."""
        if (node, paths) not in self._changes:
            value = self._mlp(node, paths) if node.head is None else self._head(node, paths)
            self._changes[node, paths] = value - self._clean[_output(node)]
        return self._changes[node, paths]

    def _mlp(self, node: Node, paths: Paths) -> Tensor:
        site, out = self._mlp_in(node.layer), _output(node)
        return self.other.capture({site: self._stream(site, _before(paths))}, [out])[out]

    def _head(self, node: Node, paths: Paths) -> Tensor:
        """The head's output; its queries, keys and values see paths of their own."""
        assert node.head is not None
        group, out, edits = self.adapter.shape.n_heads // self.adapter.shape.n_kv_heads, _output(node), {}
        for slot in "qkv":
            if left := _before(path for path in paths if path[-1].slot == slot):
                head = node.head if slot == "q" else node.head // group
                edits[Site(slot, node.layer, head)] = self._projections(node.layer, left)[Site(slot, node.layer)][
                    :, :, head
                ]
        return self.other.capture(edits, [out])[out]

    def _projections(self, layer: int, paths: Paths) -> dict[Site, Tensor]:
        """Queries, keys and values of all heads that read a stream on which ``paths`` see the reference."""
        if (layer, paths) not in self._projected:
            edits = {_pre(layer): self._stream(_pre(layer), paths)}
            read = [Site(slot, layer) for slot in "qkv"]
            self._projected[layer, paths] = dict(self.other.capture(edits, read))
        return self._projected[layer, paths]

    @property
    def _end(self) -> Site:
        return Site("resid_post", self.adapter.shape.n_layers - 1)

    def _mlp_in(self, layer: int) -> Site:
        """Where the MLP's input is set; in a parallel block the block's own, for some MLPs share attention's norm."""
        return _pre(layer) if self.adapter.family.parallel else Site("mlp_in", layer)


def _before(paths: Iterable[Path]) -> Paths:
    return frozenset(path[:-1] for path in paths)


def _pre(layer: int) -> Site:
    return one_name(Site("resid_pre", layer))


def _output(node: Node) -> Site:
    return Site("mlp_out", node.layer) if node.head is None else Site("head_out", node.layer, node.head)
