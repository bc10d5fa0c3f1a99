"""In which order is a tool measured that runs one site at a time? Some sites stand for the whole sweep."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from torch import Tensor

from benchmarks.job import Figure, Job, Place
from benchmarks.measure import figure_of_edit, figure_of_sweep, measure

EVERY = 4  # sites between two bare passes


class PeerWorker(Protocol):
    """A tool that reads the source once (``prepare``) and then patches one site (``run``)."""

    job: Job
    tokens: dict[str, Tensor]
    bare: Callable[[], object]

    def prepare(self, kind: str) -> None: ...
    def run(self, kind: str, place: Place) -> None: ...


def edits_and_sweep(worker: PeerWorker) -> list[Figure]:
    """The single edits; they and the further places of the job stand for the sweep of the residual stream."""
    job = worker.job
    places = [*job.edits, *job.residual]
    pieces = [partial(worker.prepare, "resid_post"), *(partial(worker.run, "resid_post", place) for place in places)]
    costs, bare = measure(pieces, worker.bare, device=job.device, every=EVERY)
    edits = zip(job.edits, costs[1:], strict=False)
    figures = [figure_of_edit(f"edit {layer} {i}", [cost], bare) for (layer, i), cost in edits]
    return [*figures, figure_of_sweep("resid_post", costs, bare, sites=job.sites["resid_post"], run=len(places))]


def heads(worker: PeerWorker) -> Figure:
    """The heads of the job stand for all."""
    job = worker.job
    pieces = [partial(worker.prepare, "z"), *(partial(worker.run, "z", place) for place in job.heads)]
    costs, bare = measure(pieces, worker.bare, device=job.device, every=EVERY)
    return figure_of_sweep("z", costs, bare, sites=job.sites["z"], run=len(job.heads))
