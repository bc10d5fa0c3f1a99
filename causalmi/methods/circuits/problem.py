"""What is a circuit searched for, or judged on? A network, pairs, a metric as a loss, and what ablates a sender."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.data.pairs import CounterfactualPairs
from causalmi.data.positions import resolve
from causalmi.engine.edges.net import EdgeNet
from causalmi.engine.edges.scene import scene, sender_sites
from causalmi.engine.execute import in_pieces
from causalmi.engine.load import load_model
from causalmi.engine.metrics import METRICS, Metric, Target, metric_of, target_of
from causalmi.engine.model import Model
from causalmi.errors import DataError, SpecError
from causalmi.methods.ablation import Ablation, AblationData, Replacement
from causalmi.methods.ablation_donors import Sources
from causalmi.methods.ablations import ablation_of
from causalmi.methods.circuits.classes import classes_of
from causalmi.methods.circuits.graphs import fits, numbers
from causalmi.methods.examples import pairs_of, readout_of
from causalmi.models.graph import graph_of
from causalmi.models.parts import Parts
from causalmi.spec.graph import Graph
from causalmi.stats.means import Floats

NUMBERS = 2**27  # kept for a batch of examples, by default
FEW = 13_000_000  # the same where each batch is done once: more are no faster on a CPU
Progress = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Some of the examples: ``net`` runs any set of edges on them, ``loss`` is what the search makes small."""

    rows: slice
    net: EdgeNet
    metric: Metric
    target: Target
    _targets: dict[int, Target] = field(default_factory=dict, repr=False)

    def loss(self, logits: Tensor) -> Tensor:
        """The metric [b] of ``logits`` [b, vocab], negated where higher is better; also of repeats of the batch."""
        target = self._repeated(len(logits) // len(self.net.scene.at))
        return self.metric(logits, target) * (1 if self.metric.better == "lower" else -1)

    def _repeated(self, times: int) -> Target:
        if times not in self._targets:
            size = len(self.net.scene.at)
            self._targets[times] = self.target.rows(torch.arange(times * size) % size)
        return self.target if times == 1 else self._targets[times]


@dataclass(frozen=True, eq=False)
class Problem:
    """One search or evaluation of edges, checked and ready; made by :meth:`of`."""

    model: Model
    pairs: CounterfactualPairs
    graph: Graph
    metric: Metric
    ablation: Ablation
    restore: bool
    seed: int
    batch_size: int
    asked: bool = False  # whether the batch size was asked for
    _kept: dict[int, Batch] = field(default_factory=dict, init=False, repr=False)
    _tapes: dict[int, Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(  # noqa: PLR0913  (what every public call about circuits is given)
        cls,
        model: Any,
        pairs: Any,
        *,
        metric: Any = "logit_diff",
        ablation: Any = None,
        graph: Graph | None = None,
        direction: Literal["ablate", "restore"] = "ablate",
        seed: int = 0,
        batch_size: int | None = None,
    ) -> "Problem":
        """Raises SpecError, DataError or ModelError before any run; ``ablation`` None takes each pair's own source."""
        model = model if isinstance(model, Model) else load_model(model)
        graph = graph or graph_of(model.adapter)
        fits(graph, model)
        pairs, how = pairs_of(model, pairs), metric_of(metric)
        how.check(target_of(pairs))
        rule = Sources() if ablation is None else ablation_of(ablation)
        if isinstance(rule, Sources) and torch.equal(pairs.base.values, pairs.source.values):
            raise DataError("every source is its own base, so ablating changes nothing; give sources that differ")
        if direction not in ("ablate", "restore"):
            raise SpecError("direction", [f"it is {direction!r}, it must be 'ablate' or 'restore'"])
        if direction == "restore" and not isinstance(rule, Sources):
            raise SpecError("direction", ["only sources of pairs can be restored into; use Resample(share='paired')"])
        if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
            raise DataError(f"batch_size is {batch_size!r}; give at least 1, or None")
        size = min(len(pairs), batch_size or max(1, NUMBERS // numbers(graph, model, pairs)))
        made = cls(model, pairs, graph, how, rule, direction == "restore", seed, size, batch_size is not None)
        made._where(pairs.source if made.restore else pairs.base)  # refused now rather than in the middle
        return made

    @property
    def noise(self) -> float:
        """Mean losses that differ by no more than this do not differ."""
        return 10 * torch.finfo(next(self.model.module.parameters()).dtype).eps

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """For each pair the number of its base, int64 [n]."""
        return self.pairs.clusters()

    def some(self, index: Any) -> "Problem":
        """The same on the pairs that ``index`` selects."""
        part = self.pairs.rows(index)
        return replace(self, pairs=part, batch_size=max(1, min(self.batch_size, len(part))))

    def lighter(self) -> "Problem":
        """The same in smaller batches, where no size was asked for and the network is on the CPU."""
        few = max(1, FEW // numbers(self.graph, self.model, self.pairs))
        same = self.asked or self.model.device.type != "cpu" or few >= self.batch_size
        return self if same else replace(self, batch_size=few)

    def batches(self) -> Iterator[Batch]:
        """The examples, some at a time; half as many once they do not fit in memory."""
        yield from in_pieces(len(self.pairs), self.batch_size, self.batch)

    def batch(self, rows: slice) -> Batch:
        """The examples ``rows``; kept where all are one batch."""
        if rows.start in self._kept:
            return self._kept[rows.start]
        target = target_of(self.pairs).rows(rows)
        net = EdgeNet(self._scene(rows), restore=self.restore)
        target = target.to(net.scene.start.device)
        if (
            "clean" in self.metric.needs or METRICS.get(self.metric.name) is not self.metric
        ):  # a run that not all searches need
            target = replace(target, clean=net.clean_logits)
        made = Batch(rows, net, self.metric, target)
        if rows == slice(0, len(self.pairs)):
            self._kept[rows.start] = made
        return made

    def losses(self, keeps: Any, progress: Progress = silent) -> Floats:
        """The loss of each example under each of the circuits, float64 [m, n].

        ``keeps`` is bool [m, class, receiver, sender]: True edges are kept, all others carry the ablated value.
        """
        total, found = len(keeps) * len(self.pairs), list[Floats]()
        for batch in self.batches():
            size, rows = batch.rows.stop - batch.rows.start, list[Floats]()
            for keep in keeps:
                rows.append(batch.loss(batch.net.run(keep)).double().cpu().numpy())
                progress("circuits", batch.rows.start * len(keeps) + len(rows) * size, total)
            found.append(np.stack(rows))
        return np.concatenate(found, axis=1)

    def ends(self) -> tuple[Floats, Floats]:
        """The losses [n] of the full circuit and of the empty one."""
        clean, ablated = self.losses([self.graph.exists, ~self.graph.exists])
        return clean, ablated

    def _scene(self, rows: slice) -> Any:
        run, other = (self.pairs.base, self.pairs.source) if not self.restore else (self.pairs.source, self.pairs.base)
        inputs = run.rows(rows)
        sites = sender_sites(self.graph)
        values = self.model.capture(other.rows(rows), sites) if self.restore else self._replacement.rows(rows)
        return scene(self._parts, self.graph, inputs, values, *self._where(inputs), tapes=self._tapes)

    def _where(self, inputs: Inputs) -> tuple[Tensor, Tensor | None]:
        """The position that is read of each example, and the class of each position."""
        at = readout_of(self.model, self.pairs)
        positions = resolve(at, inputs)
        assert positions is not None
        if positions.shape[1] != 1:
            raise DataError(f"the task is read at {at!r}, which is several positions; a circuit is judged at one")
        return positions[:, 0], classes_of(self.graph.positions, inputs) if self.graph.positions else None

    @cached_property
    def _parts(self) -> Parts:
        return Parts(self.model.adapter, self.graph.n_kv_heads)  # type: ignore[arg-type]

    @cached_property
    def _replacement(self) -> Replacement:
        data = AblationData.of(self.model, self.pairs, seed=self.seed)
        return self.ablation.replacement(data, sender_sites(self.graph))
