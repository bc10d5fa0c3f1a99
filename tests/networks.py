"""Small random networks of every family, on which all tests of the engine run."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from causalmi import Transformer, TransformerConfig
from tests import family_networks as families


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


REFERENCES = [
    Network("reference", reference, draw_tokens),
    Network("attention-only", lambda: reference(attn_only=True, normalization_type=None), draw_tokens),
    Network("classifier", lambda: reference(attention_dir="bidirectional", readout_position=0), draw_tokens),
]
FAMILIES = [  # every Hugging Face family of decoders, with grouped heads and windows where the family has them
    Network("gpt2-perturbed", families.gpt2, draw_tokens),
    Network("gpt-neox", families.gpt_neox, draw_tokens),
    Network("gpt-neox-sequential", lambda: families.gpt_neox(use_parallel_residual=False), draw_tokens),
    Network("gptj", families.gptj, draw_tokens),
    Network("opt", families.opt, draw_tokens),
    Network("llama-perturbed", families.llama, draw_tokens),
    Network("mistral", families.mistral, draw_tokens),
    Network("qwen2", families.qwen2, draw_tokens),
    Network("qwen3", families.qwen3, draw_tokens),
    Network("gemma2", lambda: families.gemma2(attention="eager"), draw_tokens),
    Network("gemma3", families.gemma3, draw_tokens),
    Network("phi", families.phi, draw_tokens),
]
ENCODERS = [
    Network("opt-350m", lambda: families.opt(do_layer_norm_before=False, word_embed_proj_dim=12), draw_tokens),
    Network("bert", families.bert, draw_tokens),
    Network("bert-classifier", families.bert_classifier, draw_tokens),
    Network("vit", families.vit, families.draw_images, tokens=False),
]
# Those that differ most. Not Gemma 2: its attention, which knows float32 alone, gives NaN at padding in float64.
OFTEN = ("gpt-neox", "gptj", "opt", "qwen3", "gemma3", "phi")

NETWORKS = [
    Network("gpt2", gpt2, draw_tokens),
    Network("llama", llama, draw_tokens),
    *REFERENCES,
    *(n for n in FAMILIES if n.name in OFTEN),
    Network("mlp", mlp, draw_numbers, tokens=False),
]
every_network = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
every_transformer = pytest.mark.parametrize("network", [n for n in NETWORKS if n.tokens], ids=lambda n: n.name)
every_decoder = pytest.mark.parametrize("network", FAMILIES, ids=lambda n: n.name)
every_family = pytest.mark.parametrize("network", [*FAMILIES, *ENCODERS], ids=lambda n: n.name)


def exact_norms(module: nn.Module) -> nn.Module:
    """The same network, whose root-mean-square norms compute in its own precision: those of models on file take float32.

    With them float64 results can be compared to the last digits.
    """

    def normed(self: Any, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * (x * scale)

    for part in module.modules():
        if type(part).__name__.endswith("RMSNorm"):
            part.forward = MethodType(normed, part)
    return module
