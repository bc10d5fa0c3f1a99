"""Claims about tiny random networks of every family: none is right, and every draw and every run has a slow oracle."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

import causalmi as cm
from tests.networks import reference, seeded

NAMES = ("a", "b", "c", "d")
FILL = 5  # a token that stands between, in prompts of unequal lengths


@cache
def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_embd=8, n_layer=2, n_head=2, n_positions=8, vocab_size=7, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.1, initializer_range=0.4,
    )  # fmt: skip
    return seeded(lambda: GPT2LMHeadModel(config)).to(torch.float64)


@cache
def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=12,
        vocab_size=7, max_position_embeddings=16, bos_token_id=0, eos_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    return seeded(lambda: LlamaForCausalLM(config)).to(torch.float64)


@cache
def causal() -> nn.Module:
    return reference(n_layers=2, d_model=8, d_head=4, d_vocab=7, d_vocab_out=7)


@cache
def bidirectional() -> nn.Module:
    return reference(
        n_layers=2, d_model=8, d_head=4, d_vocab=7, d_vocab_out=7, attention_dir="bidirectional", readout_position=0
    )


class Plain(nn.Module):
    """Layers of which nothing is known but their order."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Sequential(nn.Linear(i, 6), nn.Tanh()) for i in (4, 6, 12))
        self.head = nn.Linear(6, 7)

    def forward(self, x: Tensor) -> Tensor:
        one = self.first(x)
        return self.head(self.third(torch.cat([one, self.second(one)], 1)))


@cache
def plain() -> nn.Module:
    return seeded(Plain).to(torch.float64)


NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "gpt2": gpt2, "llama": llama, "causal": causal, "bidirectional": bidirectional, "plain": plain,
}  # fmt: skip
DECODERS = ("gpt2", "llama", "causal", "bidirectional")


@cache
def model(name: str) -> cm.Model:
    return cm.load_model(NETWORKS[name]())


def graph(**mechanisms: Any) -> cm.CausalModel:
    """A diamond: s is read by t and by the output."""
    usual = {
        "s": lambda a, b: (a + b) % 3,
        "t": lambda s, c: (s + c) % 3,
        "u": lambda d, a: (d + a) % 2,
        "out": lambda t, u, s: (t + 2 * u + s) % 5,
    }
    return cm.CausalModel(dict.fromkeys(NAMES, range(3)), mechanisms or usual, "out")


def short(setting: Mapping[str, Any]) -> list[int]:
    return [int(setting[name]) for name in NAMES]


def ragged(setting: Mapping[str, Any]) -> list[int]:
    """From four to six tokens, the last two digits at the end."""
    first = [int(setting[name]) for name in "ab"]
    return [*first, *[FILL] * ((first[0] + int(setting["d"])) % 3), int(setting["c"]), int(setting["d"])]


def numbers(setting: Mapping[str, Any]) -> list[float]:
    return [setting[name] / 2 for name in NAMES]


def task(name: str, *, unequal: bool = False, causal_model: cm.CausalModel | None = None) -> cm.Task:
    encode = numbers if name == "plain" else ragged if unequal else short
    where = {} if name == "plain" else {"second": 1, "third": lambda s: len(encode(s)) - 2, "pair": lambda s: [0, 1]}
    return cm.Task(causal_model or graph(), encode=encode, label=lambda s: s["out"], positions=where)


def claim(name: str, places: Mapping[str, Any], *, unequal: bool = False, **more: Any) -> cm.Hypothesis:
    made = task(name, unequal=unequal, causal_model=more.pop("causal_model", None))
    return cm.Hypothesis(claim="x", task=made, model=model(name), alignment=places, **more)
