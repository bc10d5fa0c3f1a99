"""A network that is known to the last weight, with directions that carry a bit and directions that only seem to.

Neurons: 0 reads the bit out; 1 has it too, and nothing reads it; 2 is constant, and read into the answer as well; 3
is another bit, read where the answer does not look; 4 is one that nothing reads; the others are 0.
"""

import torch

import causalmi as cm
from causalmi import Transformer, TransformerConfig, site

SIZE = 4.0  # of the bit in the neuron that nothing reads
WIDTH = 8


def vocabulary(setting: dict[str, int]) -> list[int]:
    return [4 * setting["a"] + 2 * setting["b"] + setting["c"]]


def task() -> cm.Task:
    model = cm.CausalModel(
        {"a": [0, 1], "b": [0, 1], "c": [0, 1]}, {"bit": lambda a, b: a ^ b, "out": lambda bit, c: bit + 0 * c}, "out"
    )
    return cm.Task(model, encode=vocabulary, label=lambda s: int(s["out"]))


def block() -> Transformer:
    """One block whose attention adds nothing and whose MLP is the network above."""
    config = TransformerConfig(
        n_layers=1, n_heads=1, d_model=5, d_mlp=WIDTH, d_vocab=8, d_vocab_out=2, n_ctx=1, normalization_type=None,
        positional_embedding_type=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        net = Transformer(config).double()
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        for token in range(8):
            a, b, c = token >> 2, token >> 1 & 1, token & 1
            net.embed.weight[token] = torch.tensor([float(a ^ b), float(b), float(c), 0.0, 0.0])
        mlp = net.blocks[0].mlp
        mlp.up.weight[0, 0], mlp.up.weight[1, 0], mlp.up.weight[3, 1], mlp.up.weight[4, 2] = 1.0, SIZE, 1.0, 1.0
        mlp.up.bias[2] = 5.0
        mlp.down.weight[3, 0], mlp.down.weight[4, 2], mlp.down.weight[2, 3] = 1.0, 1.0, 1.0
        net.unembed.weight[1, 3:] = 1.0
        net.unembed.bias[0] = 5.5
    return net


class Plain(torch.nn.Module):
    """The same after the embedding, the neurons turned by ``turn``: ``hidden``, then ``readout``."""

    def __init__(self, turn: torch.Tensor) -> None:
        super().__init__()
        net = block()
        mlp, self.embed = net.blocks[0].mlp, net.embed
        self.up, self.turn = torch.nn.Sequential(mlp.up, mlp.act), torch.nn.Linear(WIDTH, WIDTH, bias=False).double()
        self.readout = torch.nn.Linear(WIDTH, 2).double()
        with torch.no_grad():
            self.turn.weight.copy_(turn)
            self.readout.weight.zero_()
            self.readout.weight[1] = turn @ (mlp.down.weight[3] + mlp.down.weight[4])
            self.readout.bias.copy_(net.unembed.bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.readout(self.turn(self.up(self.embed(tokens[:, 0].long()))))


def direction(*neurons: int) -> torch.Tensor:
    found = torch.zeros(WIDTH, dtype=torch.float64)
    found[list(neurons)] = 1.0
    return found


def claim(place: cm.Site, model: torch.nn.Module) -> cm.Hypothesis:
    return cm.Hypothesis(claim="the bit is there", task=task(), model=model, alignment={"bit": place}, n=128)


def hidden(*neurons: int) -> cm.Hypothesis:
    return claim(site.mlp_hidden(0, at="last").along(direction(*neurons)), block())
