"""Random small networks with random pairs, and searches of them in which every option takes its turns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

import causalmi as cm
from causalmi.methods.circuits.problem import Problem
from tests import family_networks as families
from tests.networks import exact_norms, seeded

VOCAB = 7
SMALL = dict(hidden_size=8, num_attention_heads=2, intermediate_size=6, vocab_size=VOCAB, initializer_range=0.5)
GROUPED = SMALL | dict(hidden_size=12, num_attention_heads=4, num_key_value_heads=2, head_dim=4)
GPT = dict(n_embd=8, n_head=2, n_inner=6, vocab_size=VOCAB, initializer_range=0.5)


def gpt2(layers: int) -> nn.Module:
    return families.gpt2(n_layer=layers, **GPT)


def llama(layers: int) -> nn.Module:
    return exact_norms(families.llama(num_hidden_layers=layers, **GROUPED))


def neox(layers: int) -> nn.Module:
    return families.gpt_neox(num_hidden_layers=layers, **SMALL)


def reference(layers: int, **changes: Any) -> nn.Module:
    shape = dict(n_layers=layers, n_heads=2, d_model=8, d_head=3, d_mlp=6, d_vocab=VOCAB, n_ctx=8, act_fn="gelu")
    config = cm.TransformerConfig(**{**shape, **changes})
    return families.perturbed(seeded(lambda: cm.Transformer(config)).to(torch.float64), 0.4)


NETS: dict[str, Callable[[int], nn.Module]] = {
    "gpt2": gpt2,
    "llama": llama,
    "neox": neox,
    "reference": reference,
    "attention-only": lambda layers: reference(layers, attn_only=True, normalization_type=None, n_heads=3),
    "bidirectional": lambda layers: reference(layers, attention_dir="bidirectional"),
    "classifier": lambda layers: reference(layers, attention_dir="bidirectional", readout_position=1),
}
ABLATIONS = (None, cm.Zero(), cm.Mean(), cm.MeanPositional(), cm.Resample(share="node"))
GRAPHS: tuple[dict[str, Any], ...] = (
    {},
    {"positions": ("0", "rest")},
    {"split_qkv": False},
    {},
    {"split_embeddings": True},
    {"positions": ("rest", "1"), "split_embeddings": True},
)
SENDERS, HEADS = ("latest", "random", "earliest"), ("high", "low", "random")
METRICS = ("kl", "logit_diff", "cross_entropy")


@dataclass(frozen=True)
class Case:
    """One search: its number decides everything."""

    number: int

    @property
    def name(self) -> str:
        return [*NETS][self.number % len(NETS)]

    @property
    def layers(self) -> int:
        many = 4 if self.name in ("gpt2", "classifier") else 2
        return (2, 2, 3, 2, many, 2, 2, 3)[self.number // len(NETS) % 8]

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.number)

    def model(self) -> cm.Model:
        return cm.load_model(shaken(NETS[self.name](self.layers), self.number))

    def pairs(self) -> cm.CounterfactualPairs:
        n, length = int(self.rng.integers(4, 8)), int(self.rng.integers(4, 6))
        draw = torch.Generator().manual_seed(self.number)
        base, source = torch.randint(0, VOCAB, (2, n, length), generator=draw)
        base[:, 0] = torch.arange(n) % VOCAB  # no two alike
        answer = torch.randint(0, VOCAB, (n,), generator=draw)
        made = cm.CounterfactualPairs.from_tokens(
            base, source, answer=answer, foil=(answer + 1) % VOCAB, mask=self.mask(n, length)
        )
        return replace(made, task=SimpleNamespace(readout=1)) if self.number % 5 == 3 else made  # type: ignore[arg-type]

    def mask(self, n: int, length: int) -> torch.Tensor | None:
        """Every third case is padded on the left, every third on the right."""
        if self.number % 3 == 0 or self.ablation == cm.Resample(share="node"):
            return None
        short = torch.arange(n)[:, None] % 3
        at = torch.arange(length)
        return at >= short if self.number % 3 == 1 else at < length - short

    @property
    def ablation(self) -> Any:
        return ABLATIONS[self.number % len(ABLATIONS)]

    def graph(self, model: cm.Model) -> cm.Graph:
        how = dict(GRAPHS[(self.number // 2) % len(GRAPHS)])
        if self.name == "llama":
            how.pop("split_qkv", None)
        if self.name in ("llama", "neox"):
            how.pop("split_embeddings", None)
        if self.layers > 2:
            how.pop("positions", None)
        return cm.graph_of(model, **how)

    def problem(self, batch_size: int | None = None) -> Problem:
        model = self.model()
        one = 1 if self.layers == 2 else 4  # slow otherwise
        size = (None, one, 3, None, 2)[self.number // 3 % 5] if batch_size is None else batch_size
        return Problem.of(
            model, self.pairs(), metric=METRICS[self.number // 2 % 3], ablation=self.ablation,
            graph=self.graph(model), seed=self.number, batch_size=size,
        )  # fmt: skip

    def method(self, threshold: float) -> cm.ACDC:
        k = self.number
        return cm.ACDC(
            threshold=threshold, absolute=k % 4 == 1, senders=SENDERS[k % 3], heads=HEADS[k // 3 % 3],
            at_once=(1, 2, 4, 16, None)[k // 4 % 5],
        )  # fmt: skip

    @property
    def share(self) -> float:
        """About the share of edges that the threshold is to keep."""
        return (0.9, 0.3, 0.6, 0.15, 0.75, 0.45, 0.0)[self.number % 11 % 7]


def threshold_of(problem: Problem, method: cm.ACDC, share: float) -> float:
    """So that about ``share`` of the edges have a larger effect, each removed alone; from some of them."""
    edges = np.random.default_rng(0).permutation(np.argwhere(problem.graph.exists))[:24]
    keeps = np.repeat(problem.graph.exists[None], len(edges) + 1, axis=0)
    for keep, edge in zip(keeps[1:], edges, strict=True):
        keep[tuple(edge)] = False
    losses = problem.losses(keeps).mean(1)
    effects = losses[1:] - losses[0]
    sizes = np.abs(effects) if method.absolute else effects
    return float(
        np.quantile(sizes, 1 - share) + (1e-3 if share == 0 else 1e-6)
    )  # effects of 0 have a test of their own


def shaken(net: nn.Module, seed: int) -> nn.Module:
    """Other weights for each seed."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(1 + 0.5 * torch.randn(weight.shape, generator=draw, dtype=torch.float64))
    return net
