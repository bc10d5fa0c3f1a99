"""What does each node of a network compute now, with some edges removed? Values that differ from the clean run's."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from causalmi.engine.edges.contract import changes
from causalmi.engine.edges.net import EdgeNet
from causalmi.engine.edges.senders import Whole
from causalmi.spec.graph import Bools
from causalmi.spec.wiring import Wiring


@dataclass(eq=False)
class State:
    """The values of the live nodes of one batch under ``kept`` bool [class, receiver, sender], which only shrinks.

    ``inputs`` by receiver and ``outputs`` by sender are those that differ from clean: at every position [b, pos, d],
    or, where nothing but the position that is read can matter, at that alone [b, 1, d]. ``projected`` has the queries,
    keys and values (turned) of heads by receiver and slot.
    """

    net: EdgeNet
    kept: Bools
    inputs: dict[int, Tensor] = field(default_factory=dict)
    outputs: dict[int, Tensor] = field(default_factory=dict)
    projected: dict[tuple[int, str], Tensor] = field(default_factory=dict)

    @cached_property
    def wiring(self) -> Wiring:
        """The nodes."""
        return Wiring(self.net.scene.graph)

    def change(self, sender: int, narrow: bool) -> Float[Tensor, "b pos d_model"]:
        """What ablating ``sender`` would add now."""
        now = self.outputs.get(sender)
        if now is None:
            return (self._of_clean_narrow if narrow else self.of_clean)[sender]
        return self.cut(self.of_clean[sender] + self._clean_output(sender), now.shape[1] == 1) - now

    @cached_property
    def of_clean(self) -> Float[Tensor, "s b pos d_model"]:
        """What ablating each sender adds while it is clean."""
        parts = [part for _, part in changes(self.net.scene, self.net.outputs)]
        return torch.cat([part.change for part in parts if isinstance(part, Whole)])

    @cached_property
    def _of_clean_narrow(self) -> Float[Tensor, "s b 1 d_model"]:
        return Whole(self.of_clean).at(self.net.scene.every, self.net.scene.at).change

    def _clean_output(self, sender: int) -> Float[Tensor, "b pos d_model"]:
        scene, graph = self.net.scene, self.net.scene.graph
        layer, within = divmod(sender - len(graph.inputs), graph.n_heads + graph.mlp_senders)
        if within == graph.n_heads:
            return self.net.outputs.mlp[layer]
        return scene.parts.write(layer, self.net.outputs.z[layer][within : within + 1], [within])[0]

    def readers(self, sender: int) -> list[tuple[int, int]]:
        """The (class, receiver) of the kept edges of ``sender``."""
        return [(int(p), int(r)) for p, r in zip(*np.nonzero(self.kept[:, :, sender]), strict=True)]

    def narrow(self, sender: int) -> bool:
        """Whether only the position that is read can matter of what ``sender`` adds."""
        return all(self.narrow_input(r) for r in set(np.nonzero(self.kept[:, :, sender].any(0))[0].tolist()))

    def narrow_input(self, receiver: int) -> bool:
        """The same of what ``receiver`` reads: keys and values are looked at from elsewhere."""
        if receiver not in self._narrow:
            self._narrow[receiver] = self._narrow_now(receiver)
        return self._narrow[receiver]

    @cached_property
    def _narrow(self) -> dict[int, bool]:
        return {}

    def _narrow_now(self, receiver: int) -> bool:
        if receiver == len(self.net.scene.graph.receivers) - 1:
            return True
        nodes = [s for s in self.wiring.nodes[receiver] if self.live(s)]
        return receiver in self._queries_or_mlps and all(map(self.narrow, nodes))

    @cached_property
    def _queries_or_mlps(self) -> set[int]:
        heads = [head for layer in self.wiring.heads for head in layer if head.q != head.k]
        return {head.q for head in heads} | {mlp.receiver for mlp in self.wiring.mlps}

    def live(self, sender: int) -> bool:
        """Whether any receiver still reads ``sender``."""
        return bool(self.kept[:, :, sender].any())

    def clean_input(self, receiver: int) -> Float[Tensor, "b pos d_model"]:
        """What ``receiver`` reads on the clean run, as wide as it matters."""
        graph, clean = self.net.scene.graph, self.net.clean
        if receiver == len(graph.receivers) - 1:
            return clean.read[:, None]
        layer, within = divmod(receiver, self.wiring.inputs_a_layer)
        mlp = graph.has_mlp and within == self.wiring.inputs_a_layer - 1
        return self.fit(clean.middles[layer] if mlp else clean.streams[layer], receiver)

    def input(self, receiver: int) -> Tensor:
        """What ``receiver`` reads now."""
        found = self.inputs.get(receiver)
        return self.clean_input(receiver) if found is None else found

    def fit(self, x: Float[Tensor, "n pos d"], receiver: int) -> Tensor:
        """``x`` at the positions that ``receiver`` is kept for; n are repeats of the examples."""
        return self.cut(x, self.narrow_input(receiver))

    def cut(self, x: Float[Tensor, "n pos d"], narrow: bool) -> Tensor:
        """``x`` at the position that is read, if ``narrow`` and it is not already."""
        if not narrow or x.shape[1] == 1:
            return x
        return x[self.numbers(len(x)), self.at(len(x))]

    def at(self, n: int) -> Tensor:
        """The position that is read of each of ``n`` repeats, [n, 1]."""
        at = self.net.scene.at
        if ("at", n) not in self._tables:
            self._tables["at", n] = at.repeat(n // len(at))[:, None]
        return self._tables["at", n]

    def numbers(self, n: int) -> Tensor:
        """0, 1, ... below ``n``, [n, 1]."""
        if ("numbers", n) not in self._tables:
            self._tables["numbers", n] = torch.arange(n, device=self.net.scene.at.device)[:, None]
        return self._tables["numbers", n]

    @cached_property
    def _tables(self) -> dict[tuple[str, int], Tensor]:
        return {}

    def rows(self, n: int) -> Tensor:
        """The example of each of ``n`` repeats."""
        every = self.net.scene.every
        if ("rows", n) not in self._tables:
            self._tables["rows", n] = every.repeat(n // len(every))
        return self._tables["rows", n]

    def output(self, sender: int, narrow: bool) -> Float[Tensor, "b pos d_model"]:
        """What ``sender`` adds now."""
        found = self.outputs.get(sender)
        return self.cut(self._clean_output(sender) if found is None else found, narrow)

    def slot(self, which: str, layer: int, receiver: int, index: int) -> Float[Tensor, "b pos d_head"]:
        """The queries, keys or values that ``receiver`` has now; ``index`` is its head's or group's."""
        found = self.projected.get((receiver, which))
        return self._clean_slots(which, layer)[index] if found is None else found

    def _clean_slots(self, which: str, layer: int) -> Float[Tensor, "head b pos d_head"]:
        if (layer, which) not in self._slots:
            self._slots[layer, which] = self.project(which, layer, self.net.clean.streams[layer][None], slice(None))
        return self._slots[layer, which]

    @cached_property
    def _slots(self) -> dict[tuple[int, str], Tensor]:
        return {}

    def project(self, which: str, layer: int, x: Tensor, heads: Any, narrow: bool = False) -> Tensor:
        """Queries or keys (turned), or values, of some ``heads`` from what they read, [head or 1, n, pos, d]."""
        scene, n = self.net.scene, x.shape[1]
        y = scene.parts.read(which, layer, x, heads)
        if which == "v":
            return y
        return scene.parts.turn(which, layer, y, scene.sights[layer], self.rows(n), self.at(n) if narrow else None)

    def of_class(self, x: Tensor, p: int, receiver: int) -> Tensor:
        """``x`` where positions are of class ``p``, else 0."""
        classes = self.net.scene.classes
        if classes is None:
            return x
        where = (classes == p).to(x)[..., None].repeat(len(x) // len(classes), 1, 1)
        return x * (where if x.shape[1] == where.shape[1] else self.cut(where, True))
