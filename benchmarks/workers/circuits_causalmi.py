"""What do ACDC, EAP and EAP-IG cost with this package? The calls of users, and for ACDC a plain loop of whole runs."""

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import torch

import causalmi as cm
from benchmarks.circuit_job import Found, Search, write_found
from benchmarks.workers.circuits import WARM, bare_pass, lens_config, lens_weights, start, timed
from causalmi.engine.edges.walk import Walk
from causalmi.methods.circuits.problem import Problem
from causalmi.spec.graph import Graph


class Task:
    """The network, the pairs, and what was found."""

    def __init__(self, search: Search):
        self.search, self.network = search, search.model()
        self.bare = bare_pass(search, self.network)
        module = self.network
        if search.reference:
            module = cm.load_transformer_lens(lens_config(self.network), lens_weights(self.network))
            module.requires_grad_(False).to(search.device)
        self.model = cm.load_model(module)
        self.found: dict[str, Any] = {}

    def pairs(self, n: int | None = None) -> cm.CounterfactualPairs:
        x = {name: tokens[:n].cpu() for name, tokens in self.search.tokens().items()}
        return cm.CounterfactualPairs.from_tokens(x["base"], x["source"], answer=x["answer"], foil=x["foil"])

    def search_edges(self, n: int | None = None) -> None:
        """ACDC as users call it."""
        method = cm.ACDC(threshold=self.search.threshold)
        self.found["ACDC"] = cm.find_circuit(self.model, self.pairs(n), metric="kl", method=method, split=None)

    def plain_loop(self) -> None:
        """ACDC with a run of the whole network for each edge."""
        problem = Problem.of(self.model, self.pairs(), metric="kl")
        keep = np.array(problem.graph.exists)
        now = _loss(problem, keep)
        for place in backwards(problem.graph):
            keep[place] = False
            without = _loss(problem, keep)
            if without - now < self.search.threshold:
                now = without
            else:
                keep[place] = True
        self.found["plain loop"] = problem.graph.named(keep)

    def score(self, name: str, method: Any, n: int | None = None) -> None:
        """The scores of all edges, as users call it."""
        self.found[name] = cm.edge_scores(self.model, self.pairs(n), metric="logit_diff", method=method)


class EveryNode(Walk):
    """A run that computes every node, also those that no kept edge leaves, as other tools do."""

    @property
    def _live(self) -> list[bool]:  # type: ignore[override]
        return [True] * len(self.graph.senders)


def _loss(problem: Problem, keep: Any) -> float:
    total = 0.0
    for batch in problem.batches():
        scene = batch.net.scene
        removed = 1 - torch.tensor(keep).to(scene.start)
        with torch.no_grad():
            total += float(batch.loss(scene.parts.tail(EveryNode(scene, removed).through())).double().sum())
    return total / len(problem.pairs)


def backwards(graph: Graph) -> list[tuple[int, int, int]]:
    """Every edge from the logits to the inputs: [class, receiver, sender]; an MLP, then values, keys, queries."""
    names = {name: i for i, name in enumerate(graph.receivers)}
    order = ["logits"]
    for layer in range(graph.n_layers - 1, -1, -1):
        order += [f"m{layer}"] if graph.has_mlp else []
        order += [f"a{layer}.h{h}<{s}>" for s in "vkq" for h in range(graph.n_heads - 1, -1, -1)]
    return [(0, names[r], s) for r in order for s in range(graph.reads[names[r]] - 1, -1, -1)]


def acdc(task: Task) -> Found:
    """The search some times, and once the plain loop."""
    task.search_edges(WARM)
    figures = {"ACDC": timed(task.search, "ACDC", [task.search_edges] * task.search.repeats, task.bare)}
    if task.search.plain:
        figures["plain loop"] = timed(task.search, "plain loop", [task.plain_loop], task.bare)
    result = task.found["ACDC"]
    kept = {"ACDC": sorted(str(edge) for edge in result.circuit.edges)}
    if task.search.plain:
        kept["plain loop"] = sorted(str(edge) for edge in task.found["plain loop"])
    return Found(cm.__version__, figures, kept, edges={"ACDC": len(result.circuit.graph.edges)}, cost=_cost(result))


def _cost(result: Any) -> dict[str, Any]:
    cost = result.cost
    given = dataclasses.asdict(cost) if dataclasses.is_dataclass(cost) else dict(cost)
    return {name: x for name, x in given.items() if isinstance(x, int | float)}


def eap(task: Task) -> Found:
    """Both methods, some times each, after two pairs that warm up."""
    methods = {"EAP": cm.EAP(), "EAP-IG": cm.EAPIG(steps=task.search.steps)}
    task.bare()
    figures, scores = {"bare": timed(task.search, "bare", [task.bare] * 2, task.bare)}, {}
    for name, method in methods.items():
        task.score(name, method, WARM)
        calls = [partial(task.score, name, method)] * task.search.repeats
        figures[name] = timed(task.search, name, calls, task.bare)
        frame = task.found[name]
        rows = zip(frame["sender"], frame["receiver"], frame["score"], strict=True)
        scores[name] = {f"{sender}->{receiver}": float(x) for sender, receiver, x in rows}
    return Found(cm.__version__, figures, scores=scores, edges={"EAP": len(scores["EAP"])})


if __name__ == "__main__":
    search = start()
    task = Task(search)
    write_found(search.folder, "causalmi", acdc(task) if search.part == "acdc" else eap(task))
