"""What changes if some receivers read something else? Nodes downstream, through kept edges, are computed again.

Several alternatives are tried at once: n = alternatives times examples.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.edges.state import State
from causalmi.spec.wiring import MLP, Head


class Trial:
    """One such run from ``new``: what receivers read instead, [n, pos, d_model], as wide as they are kept for.

    ``read`` [n, d_model] is unembedded then; ``nodes`` how many nodes were computed, each for all alternatives.
    """

    def __init__(self, state: State, new: dict[int, Tensor]) -> None:
        self.state, self.new, self.nodes = state, dict(new), 0
        self.outputs, self.projected = dict[int, Tensor](), dict[tuple[int, str], Tensor]()
        scene = state.net.scene
        self.parts, self.n = scene.parts, len(next(iter(new.values())))
        self.times = self.n // len(scene.at)
        last = len(scene.graph.receivers) - 1
        for layer in range(min(new) // state.wiring.inputs_a_layer, scene.graph.n_layers):
            self._attention(layer)
            if state.wiring.mlps:
                self._mlp(state.wiring.mlps[layer])
        read = self.new.get(last)
        self.read: Float[Tensor, "n d_model"] = (self._repeat(state.input(last)) if read is None else read)[:, 0]

    def commit(self, which: int) -> None:
        """Make alternative ``which`` what the state is now."""
        size = self.n // self.times
        rows = slice(which * size, (which + 1) * size)
        self.state.inputs |= {r: self._own(x[rows]) for r, x in self.new.items()}
        self.state.outputs |= {s: self._own(x[rows]) for s, x in self.outputs.items()}
        self.state.projected |= {key: self._own(x[rows]) for key, x in self.projected.items()}

    def _own(self, x: Tensor) -> Tensor:
        """``x`` without the other alternatives, which would be kept in memory with it."""
        return x if self.times == 1 else x.clone()

    def _attention(self, layer: int) -> None:
        heads = [h for h in self.state.wiring.heads[layer] if {h.q, h.k, h.v} & self.new.keys()]
        heads = [h for h in heads if self.state.live(h.sender)]
        for narrow in (True, False):
            some = [h for h in heads if self.state.narrow(h.sender) == narrow]
            if some:
                self._heads(layer, some, narrow)

    def _heads(self, layer: int, heads: Sequence[Head], narrow: bool) -> None:
        state, scene = self.state, self.state.net.scene
        q = self._slots("q", layer, [(h.q, h.index) for h in heads], narrow)
        group = scene.graph.n_heads // scene.graph.n_kv_heads
        k, v = (
            self._slots(which, layer, [(getattr(h, which), h.index // group) for h in heads], False) for which in "kv"
        )
        rows, at = state.rows(self.n), state.at(self.n) if narrow else None
        z = self.parts.attend(layer, (q, k, v), scene.sights[layer], rows, at)
        added = self.parts.write(layer, z, [h.index for h in heads])
        for head, now in zip(heads, added, strict=True):
            self._moved(head.sender, now, state.output(head.sender, narrow))

    def _slots(self, which: str, layer: int, wanted: Sequence[tuple[int, int]], narrow: bool) -> Tensor:
        """The queries, keys or values [head, n, pos, d_head] of (receiver, head or group)."""
        state = self.state
        changed = {r: i for r, i in wanted if r in self.new and (r, which) not in self.projected}
        if changed:
            x = _stacked([state.cut(self.new[r], narrow) for r in changed])
            found = state.project(which, layer, x, list(changed.values()), narrow)
            self.projected |= {(r, which): y for r, y in zip(changed, found, strict=True)}
        return _stacked([self._slot(which, layer, r, i, narrow) for r, i in wanted])

    def _slot(self, which: str, layer: int, receiver: int, index: int, narrow: bool) -> Tensor:
        found = self.projected.get((receiver, which))
        if found is not None:
            return found
        return self._repeat(self.state.cut(self.state.slot(which, layer, receiver, index), narrow))

    def _mlp(self, mlp: MLP) -> None:
        sender = mlp.senders[0]
        if mlp.receiver not in self.new or not self.state.live(sender):
            return
        now = self.parts.mlp(mlp.layer, self.new[mlp.receiver])
        self._moved(sender, now, self.state.output(sender, self.state.narrow(sender)))

    def _moved(self, sender: int, now: Tensor, before: Tensor) -> None:
        """``sender`` adds ``now`` instead: what reads it reads that."""
        self.nodes += 1
        self.outputs[sender] = now
        change = now - self._repeat(before)
        for p, receiver in self.state.readers(sender):
            x = self.new.get(receiver)
            x = self._repeat(self.state.input(receiver)) if x is None else x
            self.new[receiver] = x + self.state.of_class(self.state.fit(change, receiver), p, receiver)

    def _repeat(self, x: Tensor) -> Tensor:
        return x if self.times == 1 else x.repeat(self.times, *[1] * (x.ndim - 1))


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """[part, ...]; of one part without a copy."""
    return parts[0][None] if len(parts) == 1 else torch.stack(list(parts))
