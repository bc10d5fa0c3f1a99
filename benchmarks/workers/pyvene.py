"""What does the job cost with pyvene? Its vanilla intervention, on the same network, in its own environment."""

import pyvene
import torch
from torch import Tensor

from benchmarks.job import Figure, Job, Place, kept, write_result
from benchmarks.measure import figure_of_bare
from benchmarks.workers.peer import edits_and_sweep, heads
from benchmarks.workers.start import start

COMPONENTS = {"resid_post": ("block_output", "pos"), "z": ("head_attention_value_output", "h")}


class Worker:
    """Runs one site at a time; each call runs the source and then the base, as pyvene does when given both."""

    def __init__(self, job: Job):
        self.job, self.network, self.tokens = job, job.model(), job.tokens()
        self.bare = lambda: self.network(self.tokens["base"]).logits
        self.logits: dict[str, Tensor] = {}

    def prepare(self, kind: str) -> None:
        """One intervenable model for each layer, all on the same network."""
        layers = range(self.network.config.n_layer)
        self.models = {layer: self.intervenable(layer, *COMPONENTS[kind]) for layer in layers}

    def intervenable(self, layer: int, component: str, unit: str) -> pyvene.IntervenableModel:
        place = pyvene.RepresentationConfig(layer, component, unit, 1)
        config = pyvene.IntervenableConfig([place], intervention_types=pyvene.VanillaIntervention)
        return pyvene.IntervenableModel(config, self.network)

    def run(self, kind: str, place: Place) -> None:
        base, source = ({"input_ids": self.tokens[name]} for name in ("base", "source"))
        _, patched = self.models[place[0]](base, [source], {"sources->base": place[1]})
        self.logits[f"{kind} {place[0]} {place[1]}"] = kept(patched.logits[:, -1])


@torch.no_grad()
def work(job: Job) -> None:
    """Do the job and leave the result in its folder."""
    worker = Worker(job)
    figures: list[Figure] = [figure_of_bare(worker.bare, job.device), *edits_and_sweep(worker), heads(worker)]
    write_result(job.folder, "pyvene", figures, worker.logits)


if __name__ == "__main__":
    work(start())
