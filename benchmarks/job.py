"""What is every tool given, and what does it give back? Weights and tokens in a folder, figures and logits in it.

Workers of other tools import this in their own environments, so it needs torch, transformers and safetensors alone.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

KEPT = 97  # the logits of every 97th token are kept, to compare the tools

Place = tuple[int, int]  # (layer, position), or (layer, head)


@dataclass(frozen=True)
class Figure:
    """What ``operation`` cost: ``seconds`` for each of ``sites``, ``run`` of which were run, and ``fixed`` for all.

    ``bare`` is the time of a bare forward pass measured in between, ``bytes`` the most memory that was added.
    """

    operation: str
    seconds: float
    fixed: float
    bare: float
    bytes: int
    sites: int = 1
    run: int = 1

    @property
    def site(self) -> float:
        """Bare forward passes for one site, with its share of what is done once."""
        return (self.seconds + self.fixed / self.sites) / self.bare

    @property
    def alone(self) -> float:
        """Bare forward passes for one site, without what is done once."""
        return self.seconds / self.bare


@dataclass(frozen=True)
class Result:
    """What a tool's worker gives back: its version, its figures, and logits at the last position by operation."""

    version: str
    figures: dict[str, Figure]
    logits: dict[str, Tensor]


@dataclass(frozen=True)
class Job:
    """One workload; ``residual`` and ``heads`` are what a tool that cannot run all of a sweep runs of it."""

    folder: str
    device: str = "cpu"
    repeats: int = 3  # of each edit; its time is the median
    full: float = 240  # seconds that a whole sweep may take
    part: float = 90  # seconds that a part of it may take, where the whole takes longer
    edits: tuple[Place, ...] = ()
    residual: tuple[Place, ...] = ()
    heads: tuple[Place, ...] = ()
    sites: Mapping[str, int] = field(default_factory=dict)  # how many the whole sweep of each kind has

    def model(self) -> Any:
        """The Hugging Face model, ready to run."""
        from transformers import GPT2LMHeadModel

        return GPT2LMHeadModel.from_pretrained(self.folder).eval().to(self.device)

    def tokens(self) -> dict[str, Tensor]:
        """``base`` and ``source``, int64 [n, pos], ``answer`` and ``foil``, int64 [n]."""
        return {k: x.to(self.device) for k, x in load_file(Path(self.folder) / "tokens.safetensors").items()}


def write_workload(folder: Path, config: Mapping[str, Any], shape: tuple[int, int]) -> tuple[int, int]:
    """Write random GPT-2 weights of ``config`` and random pairs of ``shape`` (n, positions); gives layers and heads."""
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(**config))
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    draw = torch.Generator().manual_seed(1)
    vocabulary, n = model.config.vocab_size, shape[0]
    sizes = {"base": shape, "source": shape, "answer": (n,), "foil": (n,)}
    tokens = {name: torch.randint(0, vocabulary, size, generator=draw) for name, size in sizes.items()}
    save_file(tokens, folder / "tokens.safetensors")
    return model.config.n_layer, model.config.n_head


def write_job(job: Job) -> None:
    """Put ``job`` into its folder."""
    Path(job.folder, "job.json").write_text(json.dumps(dataclasses.asdict(job)))


def read_job(folder: str) -> Job:
    """The job in ``folder``."""
    found = json.loads(Path(folder, "job.json").read_text())
    places = {name: tuple(map(tuple, found[name])) for name in ("edits", "residual", "heads")}
    return Job(**{**found, **places})


def write_result(folder: str, tool: str, figures: Sequence[Figure], logits: Mapping[str, Tensor]) -> None:
    """Leave a tool's figures and logits in ``folder``; ``tool`` is the name of its distribution."""
    save_file({k: x.detach().cpu().contiguous() for k, x in logits.items()}, Path(folder, f"{tool}.safetensors"))
    found = {"version": version(tool), "figures": [dataclasses.asdict(figure) for figure in figures]}
    Path(folder, f"{tool}.json").write_text(json.dumps(found))


def read_result(folder: str, tool: str) -> Result:
    """What :func:`write_result` left."""
    found = json.loads(Path(folder, f"{tool}.json").read_text())
    figures = {f["operation"]: Figure(**f) for f in found["figures"]}
    return Result(found["version"], figures, load_file(Path(folder, f"{tool}.safetensors")))


def kept(logits: Tensor) -> Tensor:
    """What is kept of logits [n, vocabulary]."""
    return logits[:, ::KEPT].clone()
