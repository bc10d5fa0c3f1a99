"""Where do the shipped weights lie, and what was printed when they were trained?"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from causalmi.testbeds.training import Net, seeded

FOLDER = Path(__file__).parent / "weights"


def store(name: str, net: nn.Module, config: Mapping[str, Any], log: Sequence[str]) -> None:
    """Write NAME.safetensors (weights, with ``config`` as metadata) and NAME.txt (``log``), and print the log."""
    text = "\n".join([*log, f"torch {torch.__version__.split('+')[0]}, {torch.get_num_threads()} thread"])
    weights = save(net.state_dict(), metadata={"config": json.dumps(dict(config))})
    (FOLDER / f"{name}.safetensors").write_bytes(weights)
    (FOLDER / f"{name}.txt").write_text(text + "\n")
    print(text)


def restore(name: str, build: Callable[[dict[str, Any]], Net]) -> Net:
    """The network stored as ``name``, made by ``build`` from its configuration; global randomness stays as it was."""
    with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as file:
        config = json.loads(file.metadata()["config"])
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (the file is no mapping)
    net = seeded(lambda: build(config), 0)
    net.load_state_dict(weights)
    return net.eval()
