"""What is every tool given for a search of a circuit, and what does it give back? Edges by the names of EAP-IG and MIB.

Workers of other tools import this in their own environments, so it needs torch, transformers and safetensors alone.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.job import Figure


@dataclass(frozen=True)
class Search:
    """One part of the benchmark: ``"acdc"``, with the threshold ``digit`` * 10 ** ``exponent``, or ``"eap"``."""

    folder: str
    part: str
    device: str = "cpu"
    repeats: int = 3  # of our own calls; their time is the median
    digit: int = 1
    exponent: int = -2
    steps: int = 5
    plain: bool = True  # whether our engine's plain loop, a whole run for each edge, is run too
    reference: bool = False  # whether we run it as the reference transformer with the same weights

    @property
    def threshold(self) -> float:
        return self.digit * 10.0**self.exponent

    def model(self) -> Any:
        """The Hugging Face model, its weights frozen, ready to run."""
        from transformers import GPT2LMHeadModel

        return GPT2LMHeadModel.from_pretrained(self.folder).eval().requires_grad_(False).to(self.device)

    def tokens(self) -> dict[str, Tensor]:
        """``base`` and ``source``, int64 [n, pos], ``answer`` and ``foil``, int64 [n]."""
        return {k: x.to(self.device) for k, x in load_file(Path(self.folder) / "tokens.safetensors").items()}


@dataclass(frozen=True)
class Found:
    """What a worker gives back: its figures, and by operation the edges kept or the score of each edge."""

    version: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    kept: Mapping[str, list[str]] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    edges: Mapping[str, int] = field(default_factory=dict)  # how many there were to choose from
    cost: Mapping[str, Any] = field(default_factory=dict)  # what our search says of its own work


def write_search(search: Search, config: Mapping[str, Any], shape: tuple[int, int], spread: float = 0.0) -> None:
    """Write random GPT-2 weights of ``config``, random pairs of ``shape`` (n, positions) and the search.

    What each head and each MLP writes is scaled by exp(``spread`` * a standard normal), so that effects are not alike.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    folder = Path(search.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(**config))
        _scale(model, spread)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    draw = torch.Generator().manual_seed(1)
    n, vocabulary = shape[0], model.config.vocab_size
    sizes = {"base": shape, "source": shape, "answer": (n,), "foil": (n,)}
    tokens = {name: torch.randint(0, vocabulary, size, generator=draw) for name, size in sizes.items()}
    tokens["foil"] = torch.where(tokens["foil"] == tokens["answer"], (tokens["foil"] + 1) % vocabulary, tokens["foil"])
    save_file(tokens, folder / "tokens.safetensors")
    (folder / "job.json").write_text(json.dumps(dataclasses.asdict(search)))


@torch.no_grad()
def _scale(model: nn.Module, spread: float) -> None:
    heads = model.config.n_head
    for block in model.transformer.h:
        by_head = block.attn.c_proj.weight.unflatten(0, (heads, -1))
        by_head *= (spread * torch.randn(heads, 1, 1)).exp()
        block.mlp.c_proj.weight *= (spread * torch.randn(())).exp()


def read_search(folder: str) -> Search:
    """The search in ``folder``."""
    return Search(**json.loads(Path(folder, "job.json").read_text()))


def write_found(folder: str, distribution: str, found: Found) -> None:
    """Leave what a tool found in ``folder``."""
    Path(folder, f"{distribution}.json").write_text(json.dumps(dataclasses.asdict(found)))


def read_found(folder: str, distribution: str) -> Found:
    """What :func:`write_found` left."""
    found = json.loads(Path(folder, f"{distribution}.json").read_text())
    return Found(**{**found, "figures": {name: Figure(**given) for name, given in found["figures"].items()}})
