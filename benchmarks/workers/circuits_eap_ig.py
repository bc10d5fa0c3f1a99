"""What do EAP and EAP-IG cost with their authors' code? Its attribution, from the source that the job brings along.

circuitkit has a fork of it, which is run here too.
"""

import contextlib
import io
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.circuit_job import Found, Search, write_found
from benchmarks.job import Figure
from benchmarks.workers.circuits import WARM, bare_pass, difference, hooked, start, timed

FLAGS = ("use_attn_result", "use_split_qkv_input", "use_hook_mlp_in")
KINDS: Mapping[str, dict[str, Any]] = {"EAP": {"method": "EAP"}, "EAP-IG": {"method": "EAP-IG-inputs"}}


def tokenized(model: Any, tokens: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor, Tensor, int]:
    """Tokens are given as they are; both packages would make them of strings."""
    n, length = tokens.shape
    return tokens, torch.ones_like(tokens), torch.full((n,), length, device=tokens.device), length


class Attribution:
    """One package's ``attribute`` and ``Graph``."""

    def __init__(self, attribute: Callable[..., None], graph: Any, search: Search):
        self.attribute, self.search, self.network, self.tokens = attribute, search, search.model(), search.tokens()
        self.model = hooked(self.network, search.device, *FLAGS)
        self.model.pos_embed.W_pos.requires_grad_()  # what gradients flow to; without one frozen weights have none
        self.graph = graph.from_model(self.model)

    def run(self, n: int | None, **kind: Any) -> None:
        """Scores of all edges, into the graph; the metric is what falls as the difference grows."""
        x = {name: tokens[:n] for name, tokens in self.tokens.items()}
        batches = [(x["base"], x["source"], None)]
        steps = self.search.steps if kind["method"] != "EAP" else None
        self.attribute(self.model, self.graph, batches, self.metric, ig_steps=steps, quiet=True, **kind)

    def metric(self, logits: Tensor, *_: Any) -> Tensor:
        return -difference(logits, self.tokens).sum()

    def scores(self) -> dict[str, float]:
        return {name: float(edge.score) for name, edge in self.graph.edges.items()}


def eap(package: Attribution, version: str) -> Found:
    """Both methods, after two pairs that warm up."""
    bare = bare_pass(package.search, package.network)
    figures: dict[str, Figure] = {}
    scores: dict[str, dict[str, float]] = {}
    for name, kind in KINDS.items():
        package.run(WARM, **kind)
        figures[name] = timed(package.search, name, [partial(package.run, None, **kind)], bare)
        scores[name] = package.scores()
    return Found(version, figures, scores=scores, edges={"EAP": len(package.graph.edges)})


def main(search: Search) -> None:
    """Do the job with the source in its folder."""
    source = Path(search.folder, "eap-ig-source")
    sys.path[:0] = [str(source), str(source / "src")]
    from eap import attribute
    from eap.graph import Graph

    attribute.tokenize_plus = tokenized
    with contextlib.redirect_stdout(io.StringIO()):
        found = eap(Attribution(attribute.attribute, Graph, search), (source / "VERSION").read_text())
    write_found(search.folder, "eap-ig", found)


if __name__ == "__main__":
    main(start())
