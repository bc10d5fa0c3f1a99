"""Which circuit carries a behaviour? Search, selection and judgement, each on pairs of its own."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.load import load_model
from causalmi.engine.model import Model
from causalmi.errors import CausalmiWarning, DataError, SpecError
from causalmi.methods.circuits.acdc import ACDC, Decision
from causalmi.methods.circuits.checkpoint import Checkpoint
from causalmi.methods.circuits.found import CircuitResult
from causalmi.methods.circuits.problem import Problem, Progress, silent
from causalmi.methods.circuits.redundant import redundant_pairs
from causalmi.methods.circuits.scores import Scorer, framed
from causalmi.methods.circuits.search import Search
from causalmi.methods.circuits.select import Selection
from causalmi.methods.circuits.smallest import Smallest
from causalmi.methods.examples import pairs_of
from causalmi.spec.circuit import Circuit
from causalmi.spec.graph import Graph
from causalmi.stats.estimate import Estimate
from causalmi.stats.means import Floats, ratio

SHARES = (0.5, 0.25, 0.25)


def find_circuit(  # noqa: PLR0913  (the public call)
    model: Any,
    pairs: CounterfactualPairs,
    *,
    metric: Any = "logit_diff",
    method: ACDC | Scorer,
    select: Selection | Smallest | None = None,
    ablation: Any = None,
    graph: Graph | None = None,
    among: Circuit | None = None,
    split: tuple[float, float, float] | None = SHARES,
    seed: int = 0,
    batch_size: int | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress = silent,
) -> CircuitResult:
    """The circuit that ``method`` finds on some of the ``pairs``, judged on others.

    ``method``: ACDC(threshold=...), or a rule that scores edges, together with ``select``: Threshold, TopN or Greedy,
    or Smallest(faithfulness) of circuits of growing size. ``among`` leaves the search only the edges of a circuit.
    ``split``: the shares of pairs to search on, to select on (used by Smallest alone, else judged on as well), and to
    judge on, by base; None searches and judges on all. ``checkpoint``: a file from which an interrupted ACDC goes on to
    the identical circuit. ACDC keeps what every sender adds on all pairs in memory, whatever the ``batch_size``.
    ``metric``, ``ablation``, ``graph`` are those of :func:`edge_scores`. Raises SpecError, DataError, ModelError or
    UsageError before any run.

    Conmy et al. 2023; Syed et al. 2023; Hanna et al. 2024.
    """
    _check(method, select, among, checkpoint)
    model = model if isinstance(model, Model) else load_model(model)
    searched, chosen, judged = parts_of(pairs_of(model, pairs), split, isinstance(select, Smallest), seed)
    how = {"metric": metric, "ablation": ablation, "graph": graph, "seed": seed, "batch_size": batch_size}
    problem = Problem.of(model, searched, **how)
    if among is not None and among.graph != problem.graph:
        raise SpecError("find_circuit", [f"among is a circuit of {among.graph}, and the network has {problem.graph}"])
    others = [None if part is None else Problem.of(model, part, **how) for part in (chosen, judged)]
    if isinstance(method, ACDC):
        found = _searched(problem, method, among, checkpoint, progress)
    else:
        found = _scored(problem, method, select, others[0] or problem, progress)
    if not len(found["circuit"]) and isinstance(method, Scorer):
        warnings.warn(
            f"{select} leaves no edge on a path from an input to the logits; take more edges, or Greedy(n), which "
            "grows one connected circuit",
            CausalmiWarning,
            stacklevel=2,
        )
    judge = others[1] or problem
    every = judge.graph.exists
    losses = judge.losses([found["circuit"].array, every, ~every])
    settings = _settings(problem, method, select, split)
    return CircuitResult(
        **found,
        settings=settings,
        search=searched,
        held_out=judged,
        faithfulness=faithfulness(losses, judge),
        losses=dict(zip(("circuit", "all", "none"), map(float, losses.mean(1)), strict=True)),
    )


def faithfulness(losses: Floats, problem: Problem) -> Estimate | None:
    """(L(none) - L(circuit)) / (L(none) - L(all)) of mean losses [circuit, all, none; n], with Fieller's interval."""
    circuit, whole, none = losses
    if len(np.unique(problem.clusters)) < 2 or abs((none - whole).mean()) <= problem.noise:
        return None
    return ratio(none - circuit, none - whole, problem.clusters)


def parts_of(
    pairs: CounterfactualPairs, split: tuple[float, float, float] | None, selecting: bool, seed: int
) -> tuple[CounterfactualPairs, CounterfactualPairs | None, CounterfactualPairs | None]:
    """The pairs to search on, to select on, and to judge on; without a selection those are judged on as well."""
    if split is None:
        return pairs, pairs if selecting else None, None
    shares = tuple(split)
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise DataError(
            f"split is {split!r}; give the shares to search, select and judge on, such as {SHARES}, or None"
        )
    first, rest = pairs.split(shares[0], seed=seed)
    if not selecting:
        return first, None, rest
    second, third = rest.split(shares[1] / (shares[1] + shares[2]), seed=seed)
    return first, second, third


def _searched(
    problem: Problem, method: ACDC, among: Circuit | None, checkpoint: str | Path | None, progress: Progress
) -> dict[str, Any]:
    search = Search.begin(problem, method, None if among is None else among.array)
    file = None if checkpoint is None else Checkpoint(checkpoint, problem, method, search.start)
    if file is None:
        search.run(progress=progress)
    else:
        search.run(file.load(), progress, file.save)
    circuit = Circuit.of(problem.graph, search.kept)
    effects = [d.effect for d in search.decisions if d.effect is not None]
    sizes = np.abs(effects) if method.absolute else np.array(effects)
    margin = float(np.abs(sizes - method.threshold).min()) if effects else None
    redundant = redundant_pairs(problem, circuit, method) if method.redundant else None
    frame = _decisions(problem.graph, search.decisions)
    return {"circuit": circuit, "frame": frame, "cost": search.cost, "margin": margin, "redundant": redundant}


def _scored(problem: Problem, method: Scorer, select: Any, selecting: Problem, progress: Progress) -> dict[str, Any]:
    scores = framed(problem, method, method.moments(problem, progress))
    if isinstance(select, Smallest):
        circuit, tried = select.choose(scores, selecting, progress)
        return {"circuit": circuit, "frame": scores, "tried": tried}
    return {"circuit": select.circuit(scores, problem.graph), "frame": scores}


def _decisions(graph: Graph, decisions: Sequence[Decision]) -> pd.DataFrame:
    rows = [(*d.place, d.kept, np.nan if d.effect is None else d.effect) for d in decisions]
    frame = pd.DataFrame(rows, columns=["p", "r", "s", "kept", "effect"])
    frame.insert(0, "sender", [graph.senders[s] for s in frame.pop("s")])
    frame.insert(1, "receiver", [graph.receivers[r] for r in frame.pop("r")])
    classes = frame.pop("p")
    if graph.positions:
        frame.insert(2, "position", [graph.positions[p] for p in classes])
    return frame


def _settings(problem: Problem, method: Any, select: Any, split: Any) -> dict[str, Any]:
    names: dict[str, Any] = {"method": str(method), "select": None if select is None else str(select)}
    names["metric"] = problem.metric.name
    names |= {"ablation": str(problem.ablation), "graph": asdict(problem.graph), "seed": problem.seed}
    return names | {"split": split, "n": len(problem.pairs)}


def _check(method: Any, select: Any, among: Any, checkpoint: Any) -> None:
    problems = []
    if not isinstance(method, ACDC | Scorer):
        problems.append(f"method is {method!r}; give ACDC(threshold=...), or a rule that scores edges such as EAPIG()")
    if isinstance(method, ACDC) and select is not None:
        problems.append("ACDC selects by its threshold; leave select out")
    if isinstance(method, Scorer) and not isinstance(select, Selection | Smallest):
        problems.append(f"{method} scores edges and select is {select!r}; give select=TopN(200) or another selection")
    if isinstance(method, Scorer) and (among is not None or checkpoint is not None):
        problems.append("among and checkpoint are for ACDC; scores are of all edges, and quick")
    if among is not None and not isinstance(among, Circuit):
        problems.append(f"among is {among!r}; give a Circuit")
    if problems:
        raise SpecError("find_circuit", problems)
