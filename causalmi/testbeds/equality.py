"""Is (w == x) == (y == z)? One network whose weights say how, written by hand, and one that learned it.

Both are plain stacks: ``layer1``, ``layer2``, ... (each ends with its ReLU) and ``readout``. The task and the shape of
the trained one are those of Geiger et al. 2023, "Finding alignments between interpretable causal variables".
Run ``python -m causalmi.testbeds.equality`` to train it again.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import nn

from causalmi.rng import stream
from causalmi.testbeds.equality_data import draw
from causalmi.testbeds.training import Batch, fit, right, seeded
from causalmi.testbeds.weights import restore, store

NAME = "equality-mlp"
SIZE = 4  # numbers in each of the trained network's four vectors
WIDTHS = (4 * SIZE, 16, 16, 16, 2)
CLOSEST = 2.0**-20  # the handcrafted network tells vectors apart whose summed difference is at least this


def stack(widths: Sequence[int]) -> nn.Sequential:
    """``layer1``, ``layer2``, ..., each linear and ReLU, then a linear ``readout``."""
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths[:-1])]
    named: list[tuple[str, nn.Module]] = [(f"layer{i}", layer) for i, layer in enumerate(layers, 1)]
    return nn.Sequential(OrderedDict([*named, ("readout", nn.Linear(widths[-2], widths[-1]))]))


def handcrafted() -> nn.Sequential:
    """Vectors of 2 numbers, float64 [batch, 8] -> logits [batch, 2]; every value inside is exact.

    ``layer1``: relu(w - x), relu(x - w), relu(y - z), relu(z - y), 2 units each; the first 4 are 0 iff w == x, the
    last 4 iff y == z. ``layer2``: [w == x, y == z] as 0 or 1. ``layer3``: [both, neither]. The logits are
    [1/2, both + neither].
    """
    differ = torch.kron(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), torch.eye(2))  # [4, 4]: a, b -> a - b, b - a
    halves = torch.block_diag(torch.ones(1, 4), torch.ones(1, 4))  # [2, 8]: the sum of the first 4, of the last 4
    values = [
        (torch.block_diag(differ, differ), [0.0] * 8),
        (-halves / CLOSEST, [1.0, 1.0]),
        (torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), [-1.0, 1.0]),
        (torch.tensor([[0.0, 0.0], [1.0, 1.0]]), [0.5, 0.0]),
    ]
    net = seeded(lambda: stack((8, 8, 2, 2, 2)), 0).double()
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    for module, (weight, bias) in zip(linear, values, strict=True):
        module.load_state_dict({"weight": weight, "bias": torch.tensor(bias)})
    return net.eval()


def untrained(seed: int) -> nn.Sequential:
    """The network before training: weights from N(0, .02), biases 0."""

    def build() -> nn.Sequential:
        net = stack(WIDTHS)
        for name, value in net.named_parameters():
            nn.init.normal_(value, std=0.02) if name.endswith("weight") else nn.init.zeros_(value)
        return net

    return seeded(build, seed)


def sample(n: int, seed: int, *names: str) -> Iterator[Batch]:
    """Batches of ``n`` examples of fresh vectors, from the stream ``names`` of ``seed``."""
    rng = stream(seed, *names)
    while True:
        x, y = draw(n, SIZE, rng)
        yield (torch.from_numpy(x).float(),), torch.from_numpy(y)


def train(seed: int, *, steps: int = 3_000) -> nn.Sequential:
    """The network trained on ``steps`` batches of 1,024 fresh examples."""
    net = untrained(seed)
    fit(net, sample(1024, seed, "train"), steps=steps, lr=3e-3)
    return net


def accuracy(net: nn.Module, *, n: int = 100_000, seed: int = 0) -> float:
    """The share of ``n`` fresh examples that ``net`` gets right."""
    return right(net, *next(sample(n, seed, "judge"))).double().mean().item()


def trained() -> nn.Sequential:
    """The shipped trained network: four vectors of 4 numbers, float32 [batch, 16] -> logits [batch, 2]."""
    return restore(NAME, lambda config: stack(config["widths"]))


def main(seed: int = 1, steps: int = 3_000) -> None:
    """Train, judge and store the network."""
    torch.set_num_threads(1)
    net = train(seed, steps=steps)
    log = [f"{NAME}: seed {seed}, {steps} steps of 1024", f"accuracy on 100,000 fresh examples: {accuracy(net):.5f}"]
    store(NAME, net, {"widths": WIDTHS}, log)


if __name__ == "__main__":
    main()
