"""What does ACDC cost with its authors' code? Its experiment, step by step, from source."""

import contextlib
import io
import sys
from pathlib import Path

import torch

from benchmarks.circuit_job import Found, Search, write_found
from benchmarks.workers.circuits import bare_pass, divergence, hooked, start, timed

FLAGS = ("use_attn_result", "use_split_qkv_input", "use_hook_mlp_in")


def name(hook: str, index: tuple[int | None, ...]) -> str:
    """A node by the names of EAP-IG, of a hook's name and an index into what passes it."""
    head = f".h{index[2]}" if len(index) > 2 else ""
    if "resid_pre" in hook:
        return "input"
    if "resid_post" in hook:
        return "logits"
    layer = hook.split(".")[1]
    if "mlp" in hook:
        return f"m{layer}"
    letter = f"<{hook.split('hook_')[1][0]}>" if hook.endswith("_input") else ""
    return f"a{layer}{head}{letter}"


@torch.no_grad()
def work(search: Search) -> Found:
    """One search."""
    source = Path(search.folder, "acdc-source")
    sys.path.insert(0, str(source))
    from acdc.TLACDCEdge import EdgeType
    from acdc.TLACDCExperiment import TLACDCExperiment

    network, tokens = search.model(), search.tokens()
    model = hooked(network, search.device, *FLAGS)
    metric, on_cpu = divergence(model(tokens["base"])), search.device == "cpu"
    experiments = []

    def run() -> None:
        experiment = TLACDCExperiment(
            model=model, ds=tokens["base"], ref_ds=tokens["source"], threshold=search.threshold, metric=metric,
            online_cache_cpu=on_cpu, corrupted_cache_cpu=on_cpu, indices_mode="normal", names_mode="normal",
        )  # fmt: skip
        experiments[:] = [experiment, experiment.count_no_edges()]
        while experiment.current_node is not None:
            experiment.step()

    with contextlib.redirect_stdout(io.StringIO()):
        figure = timed(search, "ACDC", [run], bare_pass(search, network))
    experiment, edges = experiments
    kept = [
        f"{name(sender, at.hashable_tuple)}->{name(receiver, to.hashable_tuple)}"
        for (receiver, to, sender, at), edge in experiment.corr.all_edges().items()
        if edge.present and edge.edge_type == EdgeType.ADDITION
    ]
    return Found((source / "VERSION").read_text(), {"ACDC": figure}, {"ACDC": sorted(kept)}, edges={"ACDC": edges})


if __name__ == "__main__":
    search = start()
    write_found(search.folder, "acdc", work(search))
