"""What do ACDC and mask gradients cost with auto-circuit? circuitkit has a fork of its ACDC, which is run here too."""

import contextlib
import io
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

from torch import Tensor

from benchmarks.circuit_job import Found, Search, write_found
from benchmarks.workers.circuits import WARM, bare_pass, hooked, start, timed

FLAGS = ("use_attn_result", "use_attn_in", "use_split_qkv_input", "use_hook_mlp_in")


class Package:
    """The parts of auto-circuit, or of its fork, under ``root``."""

    kept = float("inf")  # the score of an edge that was never removed

    def __init__(self, root: str, search: Search):
        self.root, self.search, self.network = root, search, search.model()
        patchable = self.part("utils.graph_utils").patchable_model
        model = hooked(self.network, search.device, *FLAGS)
        self.model = patchable(
            model, factorized=True, slice_output="last_seq", separate_qkv=True, device=model.cfg.device
        )
        self.whole, self.few = self.loader(None), self.loader(WARM)
        self.scores: dict[str, Tensor] = {}

    def part(self, name: str) -> Any:
        return import_module(f"{self.root}.{name}")

    def loader(self, n: int | None) -> Any:
        """All pairs, or ``n`` of them, in one batch."""
        data, x = self.part("data"), {name: x[:n] for name, x in self.search.tokens().items()}
        answers = [list(x[name][:, None]) for name in ("answer", "foil")]
        pairs = data.PromptDataset(list(x["base"]), list(x["source"]), *answers)
        options = self.options(x["base"].shape[1])
        return data.PromptDataLoader(pairs, batch_size=len(x["base"]), shuffle=False, **options)

    def options(self, length: int) -> dict[str, Any]:
        """What else the loader is told."""
        return {"seq_len": length, "diverge_idx": 0}

    def acdc(self) -> None:
        function = self.part("prune_algos.ACDC").acdc_prune_scores
        self.scores = function(
            self.model, self.whole, None, tao_exps=[self.search.exponent], tao_bases=[self.search.digit],
            faithfulness_target="kl_div",
        )  # fmt: skip

    def gradients(self, loader: Any, **steps: Any) -> None:
        function = self.part("prune_algos.mask_gradient").mask_gradient_prune_scores
        self.scores = function(self.model, loader, None, grad_function="logit", answer_function="avg_diff", **steps)

    def by_edge(self) -> dict[str, float]:
        """The score of each edge."""
        return {
            f"{name(edge.src.name)}->{name(edge.dest.name)}": float(edge.prune_score(self.scores))
            for edge in self.model.edges
        }


def name(given: str) -> str:
    """The name that EAP-IG has for "A3.1.Q", "MLP 2", "Resid Start" or "Resid End"."""
    if given.startswith("Resid"):
        return "input" if given.endswith("Start") else "logits"
    if given.startswith("MLP"):
        return f"m{given.split()[1]}"
    layer, head, *letter = given[1:].split(".")
    return f"a{layer}.h{head}" + "".join(f"<{x.lower()}>" for x in letter)


def acdc(package: Package, version: str) -> Found:
    """One search."""
    figure = timed(package.search, "ACDC", [package.acdc], bare_pass(package.search, package.network))
    scores = package.by_edge()
    kept = sorted(edge for edge, score in scores.items() if score == package.kept)
    return Found(version, {"ACDC": figure}, {"ACDC": kept}, edges={"ACDC": len(scores)})


def eap(package: Package, version: str) -> Found:
    """Gradients of the masks where nothing is ablated, and on the way from there to where all is."""
    bare, steps = bare_pass(package.search, package.network), package.search.steps
    kinds: dict[str, dict[str, Any]] = {"EAP": {"mask_val": 0.0}, "EAP-IG": {"integrated_grad_samples": steps}}
    figures, scores = {}, {}
    for kind, given in kinds.items():
        run: Callable[[Any], None] = partial(package.gradients, **given)
        run(package.few)
        figures[kind] = timed(package.search, kind, [partial(run, package.whole)], bare)
        scores[kind] = package.by_edge()
    return Found(version, figures, scores=scores, edges={"EAP": len(package.model.edges)})


def main(root: str, distribution: str) -> None:
    """Do the job of the command line with the package at ``root``."""
    search = start()
    with contextlib.redirect_stdout(io.StringIO()):
        package = Package(root, search)
        found = (acdc if search.part == "acdc" else eap)(package, version(distribution))
    write_found(search.folder, distribution, found)


if __name__ == "__main__":
    main("auto_circuit", "auto-circuit")
