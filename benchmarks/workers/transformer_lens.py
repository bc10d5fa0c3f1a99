"""What does the job cost with TransformerLens? Its patching functions, on the same weights, in its own environment."""

from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig, patching
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

from benchmarks.job import Figure, Job, Place, kept, write_result
from benchmarks.measure import figure_of_bare
from benchmarks.workers.peer import edits_and_sweep, heads
from benchmarks.workers.start import start


def convert(network: Any, device: str) -> HookedTransformer:
    """The same network as a HookedTransformer, its weights unprocessed; by hand, so that nothing is downloaded."""
    c = network.config
    cfg = HookedTransformerConfig(
        n_layers=c.n_layer, d_model=c.n_embd, n_ctx=c.n_positions, n_heads=c.n_head, d_head=c.n_embd // c.n_head,
        d_mlp=4 * c.n_embd, d_vocab=c.vocab_size, act_fn=c.activation_function, eps=c.layer_norm_epsilon,
        normalization_type="LN", init_weights=False, device=device, dtype=torch.float32,
    )  # fmt: skip
    model = HookedTransformer(cfg)
    weights = convert_gpt2_weights(network, cfg)
    model.load_and_process_state_dict(weights, fold_ln=False, center_writing_weights=False, center_unembed=False)
    return model.eval()


class Worker:
    """Runs one site at a time, as the package's patching functions do."""

    def __init__(self, job: Job):
        network = job.model()
        self.job, self.model, self.tokens = job, convert(network, job.device), job.tokens()
        self.bare = lambda: network(self.tokens["base"]).logits
        self.logits: dict[str, Tensor] = {}

    def prepare(self, kind: str) -> None:
        wanted = f"attn.hook_{kind}" if kind == "z" else f"hook_{kind}"
        _, self.cache = self.model.run_with_cache(
            self.tokens["source"], names_filter=lambda name: name.endswith(wanted)
        )

    def metric(self, key: str, logits: Tensor) -> Tensor:
        """The mean difference of two logits at the last position."""
        self.logits[key] = kept(logits[:, -1])
        rows = torch.arange(len(logits))
        return (logits[rows, -1, self.tokens["answer"]] - logits[rows, -1, self.tokens["foil"]]).mean()

    def run(self, kind: str, place: Place) -> None:
        metric = partial(self.metric, f"{kind} {place[0]} {place[1]}")
        chosen = {"index_axis_names": None, "index_df": pd.DataFrame([place])}
        if kind == "z":
            patch = patching.get_act_patch_attn_head_out_all_pos
        else:
            patch = partial(patching.get_act_patch_resid_pre, activation_name=kind)
        patch(self.model, self.tokens["base"], self.cache, metric, **chosen)


@torch.no_grad()
def work(job: Job) -> None:
    """Do the job and leave the result in its folder."""
    worker = Worker(job)
    figures: list[Figure] = [figure_of_bare(worker.bare, job.device), *edits_and_sweep(worker), heads(worker)]
    write_result(job.folder, "transformer-lens", figures, worker.logits)


if __name__ == "__main__":
    work(start())
