"""Small problems to learn from: two digits that a network of any family reads, or two signs in a network of eight."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

import causalmi as cm
from causalmi import site
from causalmi.engine.load import load_model
from causalmi.methods.align.batches import Pool
from causalmi.methods.align.fitting import Training
from causalmi.methods.align.method import Problem, Trained
from causalmi.methods.align.places import Places
from causalmi.methods.swap import Swap
from causalmi.spec.site import Site
from tests.networks import Network

DIGITS = range(5)


def digits() -> cm.CausalModel:
    return cm.CausalModel(
        inputs={"x": DIGITS, "y": DIGITS},
        mechanisms={"a": lambda x: x, "b": lambda y: y, "out": lambda a, b: (a + b) % 3},
        output="out",
    )


def encode_tokens(s: dict[str, int]) -> list[int]:
    return [s["x"], 7, s["y"], s["x"], s["y"] + 5]


def encode_numbers(s: dict[str, int]) -> list[float]:
    return [float(v) for v in np.random.default_rng(10 * s["x"] + s["y"]).standard_normal(6)]


def place_in(network: Network) -> Site:
    return site.resid_post(1, at="last") if network.tokens else site.module("layer1")


def problem_of(
    module: nn.Module, task: cm.Task, place: Site, variables: Sequence[str], n: int = 24, seed: int = 0
) -> Problem:
    """Half of the pairs to learn from, half to choose by, at one place for all variables."""
    model = load_model(module)
    places = Places.wide(dict.fromkeys(variables, (place,)))
    pools = [
        Pool(Swap(model, task.pairs(n, vary=list(variables), seed=seed + i).bind(model.tokenizer), places.of))
        for i in range(2)
    ]
    return Problem(*pools, places, list(task.model.together(tuple(variables))), seed)


def family(network: Network, *variables: str, module: nn.Module | None = None, n: int = 24) -> Problem:
    """The digits in a random network of a family."""
    encode = encode_tokens if network.tokens else encode_numbers
    task = cm.Task(digits(), encode=encode, label=lambda s: int(s["out"]))
    return problem_of(module or network.make(), task, place_in(network), variables, n)


class Signs(nn.Module):
    """``layer`` has u and v at some of eight places and noise at the others; the output is whether they are equal."""

    def __init__(self, read: Tensor) -> None:
        super().__init__()
        self.layer, self.read = nn.Identity(), nn.Parameter(read, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        u, v = (self.layer(x) @ self.read).unbind(-1)
        return torch.stack([(u - v).abs(), (u + v).abs()], -1) * 2


def signs(columns: Tensor, *variables: str, n: int = 512, noise: float = 1.0) -> Problem:
    """The signs u and v along two rows each of ``columns`` [8, 8], noise along the rest."""
    model = cm.CausalModel(
        inputs={"x": (-1, 1), "y": (-1, 1), "z": lambda rng: int(rng.integers(2**31))},
        mechanisms={"u": lambda x, z: x, "v": lambda y: y, "out": lambda u, v: u == v},
        output="out",
    )

    def encode(s: dict[str, int]) -> list[float]:
        rest = noise * np.random.default_rng(s["z"]).standard_normal(4)
        return [float(x) for x in np.array([s["x"], s["x"], s["y"], s["y"], *rest]) @ columns.numpy()]

    task = cm.Task(model, encode=encode, label=lambda s: int(s["out"]))
    read = torch.stack([columns[0] + columns[1], columns[2] + columns[3]], 1) / 2
    return problem_of(Signs(read), task, site.module("layer"), variables, n)


def trained(method: Trained, problem: Problem) -> Training:
    training = Training(method, problem, method.learner(problem))
    training.run()
    return training
