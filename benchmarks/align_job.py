"""What is every tool given that learns alignments? A network, pairs, rotations to start from, and what to fit.

Workers of other tools import this in their own environments, so it needs torch, transformers and safetensors alone.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

BATCHES = 2  # of training pairs, of which steps go round and round; the validation pairs are one more


@dataclass(frozen=True)
class Fits:
    """Single steps after each of ``layers`` with ``rank`` directions, or a sweep over all layers; last position.

    A sweep is of every layer, each of ``dims`` and ``seeds`` starts, ``steps`` steps each; ``single`` are the (layer,
    dims) that stand for it where each is a fit of its own.
    """

    folder: str
    n: int  # pairs in a batch
    length: int  # tokens
    layers: tuple[int, ...] = ()
    rank: int = 16
    repeats: int = 2
    sweep: bool = False
    dims: tuple[int, ...] = (4, 8, 16, 32)
    seeds: int = 3
    steps: int = 20
    single: tuple[tuple[int, int], ...] = ()

    def model(self) -> Any:
        """The Hugging Face model, its weights frozen, ready to run."""
        from transformers import GPT2LMHeadModel

        return GPT2LMHeadModel.from_pretrained(self.folder).eval().requires_grad_(False)

    def tokens(self) -> dict[str, Tensor]:
        """``base``, ``source`` int64 [batches * n, length], ``answer``, ``wanted`` [batches * n], ``rotation <l>``."""
        return load_file(Path(self.folder) / "tokens.safetensors")


def write_fits(fits: Fits, config: Mapping[str, Any]) -> None:
    """Write random GPT-2 weights of ``config``, random pairs, an orthonormal start for each layer, and the job."""
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(**config))
    logging.disable_progress_bar()
    model.save_pretrained(fits.folder)
    draw, n = torch.Generator().manual_seed(1), (BATCHES + 1) * fits.n
    sizes = {"base": (n, fits.length), "source": (n, fits.length), "answer": (n,), "wanted": (n,)}
    tokens = {name: torch.randint(0, model.config.vocab_size, size, generator=draw) for name, size in sizes.items()}
    for layer in fits.layers:
        raw = torch.randn(model.config.n_embd, fits.rank, generator=draw)
        tokens[f"rotation {layer}"] = torch.linalg.qr(raw)[0].contiguous()
    save_file(tokens, Path(fits.folder, "tokens.safetensors"))
    Path(fits.folder, "job.json").write_text(json.dumps(dataclasses.asdict(fits)))


def read_fits(folder: str) -> Fits:
    """The job in ``folder``."""
    found = json.loads(Path(folder, "job.json").read_text())
    listed = {name: tuple(found[name]) for name in ("layers", "dims")}
    return Fits(**{**found, **listed, "single": tuple(map(tuple, found["single"]))})
