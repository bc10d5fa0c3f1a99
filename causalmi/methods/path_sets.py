"""How much of a behaviour do these paths, and nothing else, explain? Goldowsky-Dill et al. 2023.

"Localizing model behavior with path patching": the hypothesis is that the metric depends on the input through a set of
paths alone, so giving all other paths another input should not move it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.metrics import metric_of, target_of
from causalmi.engine.model import plan
from causalmi.errors import DataError, ModelError, SpecError
from causalmi.methods.examples import pairs_of, readout_of
from causalmi.methods.path_checks import decoder
from causalmi.methods.path_order import reaches
from causalmi.methods.path_tree import Path, PathTree, Step
from causalmi.models.decoder import DecoderAdapter
from causalmi.spec.site import Site
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import mean, ratio

INPUTS = ("q", "k", "v", "head_out", "mlp_in")


@dataclass(frozen=True, kw_only=True, eq=False)
class PathsExplained:
    """What a set of paths explains: 1 - ``aue`` / ``ate``, or None with the ``reason``.

    ``aue`` is the average unexplained effect, ``ate`` the average total effect, both on the scale of the metric.
    ``frame`` has a row for each pair: the metric on the reference, on the other input, and of the hypothesis.
    """

    paths: tuple[str, ...]
    aue: Estimate
    ate: Estimate
    explained: Estimate | None
    reason: str | None
    frame: pd.DataFrame

    def __str__(self) -> str:
        share = self.reason if self.explained is None else f"{self.explained} explained"
        return f"{len(self.paths)} paths: {share} (unexplained effect {self.aue}, total effect {self.ate})"

    __repr__ = __str__


def paths_explained(
    model: Any,
    pairs: CounterfactualPairs,
    paths: Iterable[Sequence[Site]],
    *,
    metric: Any = "logit_diff",
    batch_size: int | None = None,
    resume: bool = True,
) -> PathsExplained:
    """The share of the total effect that ``paths`` explain when they see the base and all other paths the source.

    With G the network's metric and G_H that of the network unfolded so that each path has an input of its own: AUE =
    E|G(base) - G_H(base, source)|, ATE = E|G(base) - G(source)|, explained = 1 - AUE / ATE with Fieller's interval. A
    path is the inputs through which it enters its nodes, from the first to ``site.logits()``: ``q``, ``k``, ``v`` of a
    head, ``head_out`` for any of the three, ``mlp_in``; a head left out means any, and ``k(l, j)``, ``v(l, j)`` any
    query head of the group j. The network's input, resid_pre(0), begins every path and is left out: ``[site.logits()]``
    is the direct path. Raises SpecError for what is no path, ModelError for a network whose nodes do not add up,
    DataError for sources of other lengths, before any run.
    """
    model, adapter = decoder(model)
    if not adapter.family.heads_add:
        raise ModelError(
            f"{model.name} norms what its heads add up to, so a head alone adds nothing; use path_patching"
        )
    routes = [tuple(path) for path in paths]
    chosen = frozenset(step for path in routes for step in _expand(path, adapter))
    pairs, how = pairs_of(model, pairs), metric_of(metric)
    base, source, target = pairs.base, pairs.source, target_of(pairs)
    how.check(target)
    if base.values.shape != source.values.shape or _padding(base) != _padding(source):
        raise DataError("bases and sources have unequal lengths, and paths run over all positions; give equal ones")
    mean([0.0] * len(pairs), pairs.clusters())  # too few pairs for an interval are told before anything runs
    at, rows, given = readout_of(model, pairs), plan(model, base, batch_size=batch_size).batch_size, list[Tensor]()
    for i in range(0, len(pairs), rows):
        here, there = (model.record(x.rows(slice(i, i + rows)), at=at, resume=resume) for x in (base, source))
        patched = PathTree(adapter, here, there).logits(chosen)
        goal = replace(target.rows(slice(i, i + rows)), clean=here.logits)
        given.append(torch.stack([how(logits, goal).cpu() for logits in (here.logits, there.logits, patched)]))
    return _result(tuple(map(_shown, routes)), torch.cat(given, dim=1), pairs.clusters())


def _padding(inputs: Inputs) -> list[list[int]]:
    return [inputs.lengths.tolist(), inputs.starts.tolist()]


def _result(paths: tuple[str, ...], metrics: Tensor, clusters: Any) -> PathsExplained:
    frame = pd.DataFrame(dict(zip(("base", "source", "hypothesis"), metrics.double().numpy(), strict=True)))
    frame["unexplained"] = (frame["base"] - frame["hypothesis"]).abs()
    frame["total"] = (frame["base"] - frame["source"]).abs()
    aue, ate = mean(frame["unexplained"], clusters), mean(frame["total"], clusters)
    left = ratio(frame["unexplained"], frame["total"], clusters)
    share = None if left is None else Estimate(1 - left.value, 1 - left.high, 1 - left.low, left.n)
    reason = (
        None if left else f"the total effect, {ate}, is not significantly different from 0, so no share of it counts"
    )
    return PathsExplained(paths=paths, aue=aue, ate=ate, explained=share, reason=reason, frame=frame)


def _expand(path: tuple[Any, ...], adapter: DecoderAdapter) -> list[Path]:
    """The paths of single heads and inputs that ``path`` means; raises SpecError when it is none."""
    if problems := _problems(path, adapter):
        raise SpecError("a path", problems)
    return list(product(*(_steps(site, adapter) for site in path[:-1])))


def _steps(site: Site, adapter: DecoderAdapter) -> list[Step]:
    layer, group = site.layer or 0, adapter.shape.n_heads // adapter.shape.n_kv_heads
    if site.kind == "mlp_in":
        return [Step(layer, "mlp_in", None)]
    heads = (site.head,) if isinstance(site.head, int) else site.head
    every = range(adapter.shape.n_heads)
    if site.kind in ("k", "v"):
        return [Step(layer, site.kind, h) for h in every if heads is None or h // group in heads]
    slots = "qkv" if site.kind == "head_out" else site.kind
    return [Step(layer, slot, h) for h in every if heads is None or h in heads for slot in slots]


def _problems(path: tuple[Any, ...], adapter: DecoderAdapter) -> list[str]:
    if strange := [f"{site!r} is no site" for site in path if not isinstance(site, Site)]:
        return strange
    if not path or path[-1] != Site("logits"):
        return [f"{_shown(path)} does not end in logits(); every path does"]
    problems = [f"{s} is no input of a node; give {', '.join(INPUTS)}" for s in path[:-1] if s.kind not in INPUTS]
    places = [s for s in path[:-1] if s.at is not None or s.neurons is not None or s.projected]
    problems += [
        f"{s}: a path runs over all positions and neurons; leave out at=, neurons=, along(), features()" for s in places
    ]
    for site in path:  # raises SiteError; an MLP that shares attention's norm has no input of its own, yet is a node
        adapter.tap(replace(site, kind="mlp_out") if site.kind == "mlp_in" else site)
    outputs = [replace(s, kind="mlp_out" if s.kind == "mlp_in" else "z") for s in path[:-1] if s.kind in INPUTS]
    return problems or [
        f"no path leads from {a} to {b}"
        for a, out, b in zip(path, outputs, path[1:], strict=False)
        if not reaches(out, b, parallel=adapter.family.parallel)
    ]


def _shown(path: Sequence[Any]) -> str:
    return " -> ".join(["input", *map(str, path)])
