"""What does the job cost with this package? Edits and sweeps from one recording, and the method that users call."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

import causalmi as cm
from benchmarks.job import Figure, Job, Place, kept, write_result
from benchmarks.measure import figure_of_bare, figure_of_edit, figure_of_sweep, measure
from benchmarks.workers.start import start
from causalmi import site

CHUNK = 3  # layers that are swept between two bare passes


class Worker:
    """The network, the pairs, and what was found so far."""

    def __init__(self, job: Job):
        network = job.model()
        self.job, self.model, self.tokens = job, cm.load_model(network), job.tokens()
        self.bare = lambda: network(self.tokens["base"]).logits
        self.layers, self.length = network.config.n_layer, self.tokens["base"].shape[1]
        self.logits: dict[str, Tensor] = {}

    def measure(self, pieces: Sequence[Callable[[], object]], every: int) -> tuple[list[Any], float]:
        return measure(pieces, self.bare, device=self.job.device, every=every)

    def record(self) -> None:
        self.recording = self.model.record(self.tokens["base"], at="last")

    def prepare(self, kind: str) -> None:
        """What a sweep does once."""
        self.record()
        self.capture(kind)

    def capture(self, kind: str) -> None:
        """The source's values at every site of ``kind``, for all positions and heads."""
        whole = [cm.Site(kind, layer) for layer in range(self.layers)]
        found = self.model.capture(self.tokens["source"], whole)
        self.values = [found[each] for each in whole]

    def edit(self, kind: str, place: Place) -> dict[cm.Site, Tensor]:
        layer, i = place
        if kind == "z":
            return {site.z(layer, i): self.values[layer][:, :, i]}
        return {site.resid_post(layer, at=i): self.values[layer][:, i]}

    def keep(self, kind: str, place: Place, logits: Tensor) -> None:
        self.logits[f"{kind} {place[0]} {place[1]}"] = kept(logits)

    def replay(self, place: Place) -> None:
        self.keep("resid_post", place, self.recording.run(self.edit("resid_post", place)).logits)

    def sweep(self, kind: str, places: Sequence[Place]) -> None:
        for number, logits in self.recording.sweep([self.edit(kind, place) for place in places]):
            self.keep(kind, places[number], logits)


def edits(worker: Worker) -> list[Figure]:
    """One edit each; what is done once is the recording."""
    places, times = worker.job.edits, worker.job.repeats
    once = [partial(worker.capture, "resid_post"), worker.record]
    replays = [partial(worker.replay, place) for _ in range(times) for place in places]
    (_, recorded, *costs), bare = worker.measure([*once, *replays], every=len(places))
    worker.logits["clean"] = kept(worker.recording.logits)
    return [
        figure_of_edit(f"edit {place[0]} {place[1]}", costs[i :: len(places)], bare, recorded.seconds)
        for i, place in enumerate(places)
    ]


def sweep(worker: Worker, kind: str, width: int) -> Figure:
    """The sweep over layers x ``width`` positions or heads, or over as many of these as fit into the time."""
    chosen = spread(width, how_many(worker, kind, width))
    groups = [range(first, min(first + CHUNK, worker.layers)) for first in range(0, worker.layers, CHUNK)]
    parts = [partial(worker.sweep, kind, [(layer, i) for layer in group for i in chosen]) for group in groups]
    costs, bare = worker.measure([partial(worker.prepare, kind), *parts], every=1)
    return figure_of_sweep(kind, costs, bare, sites=worker.layers * width, run=worker.layers * len(chosen))


def how_many(worker: Worker, kind: str, width: int) -> int:
    """All, or so many of each layer that the sweep takes the time allowed for a part, judged by the middle layer."""
    worker.prepare(kind)
    begin = time.perf_counter()
    worker.sweep(kind, [(worker.layers // 2, width // 2)])
    seconds = (time.perf_counter() - begin) * worker.layers
    return width if seconds * width <= worker.job.full else min(width, max(2, int(worker.job.part / seconds)))


def spread(width: int, n: int) -> list[int]:
    """``n`` of ``width``, evenly: the middles of ``n`` equal parts."""
    return [int((i + 0.5) * width / n) for i in range(n)]


def method(worker: Worker, kind: str, at: range | None, run: Figure) -> list[Figure]:
    """The sweep as users call it, its metric and statistics included, where the whole can be run."""
    if run.run < run.sites or "activation_patching" not in cm.__all__:
        return []
    x = {name: tokens.cpu() for name, tokens in worker.tokens.items()}
    pairs = cm.CounterfactualPairs.from_tokens(x["base"], x["source"], answer=x["answer"], foil=x["foil"])
    sites = site.grid(kind) if at is None else site.grid(kind, at=at)
    call = partial(cm.activation_patching, worker.model, pairs, sites=sites, metric="logit_diff")
    (cost,), bare = worker.measure([call], every=1)
    return [Figure(f"method {kind}", cost.seconds / run.sites, 0.0, bare, cost.bytes, run.sites, run.sites)]


@torch.no_grad()
def work(job: Job) -> None:
    """Do the job and leave the result in its folder."""
    worker = Worker(job)
    figures = [figure_of_bare(worker.bare, job.device), *edits(worker)]
    heads = worker.model.adapter.shape.n_heads
    for kind, width, at in (("resid_post", worker.length, range(worker.length)), ("z", heads, None)):
        found = sweep(worker, kind, width)
        figures += [found, *method(worker, kind, at, found)]
    write_result(job.folder, "causalmi", figures, worker.logits)


if __name__ == "__main__":
    work(start())
