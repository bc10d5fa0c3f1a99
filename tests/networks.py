"""Small random networks of every family, on which all tests of the engine run."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from causalmi import Transformer, TransformerConfig


@dataclass(frozen=True)
class Network:
    """A way to make a network, and inputs for it."""

    name: str
    make: Callable[[], nn.Module]
    draw: Callable[[int, int], Tensor]  # (examples, seed) -> inputs
    tokens: bool = True


def gpt2(dtype: torch.dtype = torch.float64) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_embd=24, n_layer=4, n_head=4, n_positions=128, vocab_size=10, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.1, initializer_range=0.3,
    )  # fmt: skip
    return seeded(lambda: GPT2LMHeadModel(config)).to(dtype)


def llama(dtype: torch.dtype = torch.float64) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
        vocab_size=10, max_position_embeddings=64, bos_token_id=0, eos_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    return seeded(lambda: LlamaForCausalLM(config)).to(dtype)


def reference(**changes: object) -> nn.Module:
    shape = dict(n_layers=3, n_heads=2, d_model=12, d_head=5, d_vocab=10, d_vocab_out=7, n_ctx=16, act_fn="gelu")
    config = TransformerConfig(**{**shape, **changes})  # type: ignore[arg-type]
    return seeded(lambda: Transformer(config)).to(torch.float64)


class MLP(nn.Module):
    """Three hidden layers, each one submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.layer2 = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer2(self.layer1(x)))


def mlp() -> nn.Module:
    return seeded(MLP).to(torch.float64)


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def draw_tokens(n: int, seed: int, length: int = 5) -> Tensor:
    return torch.randint(0, 10, (n, length), generator=torch.Generator().manual_seed(seed))


def draw_numbers(n: int, seed: int) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


NETWORKS = [
    Network("gpt2", gpt2, draw_tokens),
    Network("llama", llama, draw_tokens),
    Network("reference", reference, draw_tokens),
    Network("attention-only", lambda: reference(attn_only=True, normalization_type=None), draw_tokens),
    Network("classifier", lambda: reference(attention_dir="bidirectional", readout_position=0), draw_tokens),
    Network("mlp", mlp, draw_numbers, tokens=False),
]
every_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
every_transformer = pytest.mark.parametrize("network", [n for n in NETWORKS if n.tokens], ids=lambda n: n.name)
