"""What do all workers of a search share? Bare passes, the measuring, and the network as a HookedTransformer.

It runs with every version of TransformerLens, so it names the weights itself.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.circuit_job import Search, read_search
from benchmarks.job import Figure
from benchmarks.measure import figure_of_edit, measure

WARM = 2  # pairs that are run before anything is measured
FORWARDS = 20  # of a small network, to time one


def start() -> Search:
    """The search in the folder that the command line names; one thread."""
    torch.set_num_threads(1)
    return read_search(sys.argv[1])


def bare_pass(search: Search, network: Any) -> Callable[[], object]:
    """FORWARDS passes without gradients, or for scores by gradients one with a backward pass to the embeddings."""
    tokens = search.tokens()
    if search.part == "eap":
        return lambda: forward_backward(network, tokens)
    return lambda: [forward(network, tokens) for _ in range(FORWARDS)]


@torch.no_grad()
def forward(network: Any, tokens: dict[str, Tensor]) -> Tensor:
    """All logits."""
    return network(tokens["base"]).logits


def forward_backward(network: Any, tokens: dict[str, Tensor]) -> Tensor:
    """The gradient of the logit difference with respect to the embeddings."""
    x = network.transformer.wte(tokens["base"]).requires_grad_()
    difference(network(inputs_embeds=x).logits, tokens).sum().backward()
    return x.grad


def difference(logits: Tensor, tokens: dict[str, Tensor]) -> Tensor:
    """Logit of the answer - of the foil at the last position, [n]."""
    rows = torch.arange(len(logits))
    n = len(logits)
    return logits[rows, -1, tokens["answer"][:n]] - logits[rows, -1, tokens["foil"][:n]]


def divergence(clean: Tensor) -> Callable[[Tensor], Tensor]:
    """KL(clean || patched) at the last position, mean over examples, for logits [n, pos, vocabulary]."""
    wanted = clean[:, -1].log_softmax(-1)

    def kl(logits: Tensor) -> Tensor:
        given = logits[:, -1].log_softmax(-1)
        return (wanted.exp() * (wanted - given)).sum(-1).mean()

    return kl


def timed(search: Search, name: str, pieces: Sequence[Callable[[], object]], bare: Callable[[], object]) -> Figure:
    """The cost of one operation from its repetitions, with bare passes on either side of each."""
    costs, seconds = measure(pieces, bare, device=search.device, every=1)
    return figure_of_edit(name, costs, seconds / (1 if search.part == "eap" else FORWARDS))


def lens_weights(network: Any) -> dict[str, Tensor]:
    """The weights of a GPT-2 by the names of TransformerLens."""
    heads, given = network.config.n_head, network.transformer
    found = {
        "embed.W_E": given.wte.weight,
        "pos_embed.W_pos": given.wpe.weight,
        "unembed.W_U": network.lm_head.weight.T,
        "unembed.b_U": torch.zeros(network.config.vocab_size, device=network.device),
        "ln_final.w": given.ln_f.weight,
        "ln_final.b": given.ln_f.bias,
    }
    for layer, block in enumerate(given.h):
        found |= {f"blocks.{layer}.{name}": x for name, x in _block(block, heads).items()}
    return {name: x.detach().contiguous() for name, x in found.items()}


def _block(block: Any, heads: int) -> dict[str, Tensor]:
    weights, biases = block.attn.c_attn.weight.chunk(3, 1), block.attn.c_attn.bias.chunk(3)
    split = {f"attn.W_{s}": w.unflatten(1, (heads, -1)).transpose(0, 1) for s, w in zip("QKV", weights, strict=True)}
    split |= {f"attn.b_{s}": b.unflatten(0, (heads, -1)) for s, b in zip("QKV", biases, strict=True)}
    return split | {
        "attn.W_O": block.attn.c_proj.weight.unflatten(0, (heads, -1)),
        "attn.b_O": block.attn.c_proj.bias,
        "ln1.w": block.ln_1.weight,
        "ln1.b": block.ln_1.bias,
        "ln2.w": block.ln_2.weight,
        "ln2.b": block.ln_2.bias,
        "mlp.W_in": block.mlp.c_fc.weight,
        "mlp.b_in": block.mlp.c_fc.bias,
        "mlp.W_out": block.mlp.c_proj.weight,
        "mlp.b_out": block.mlp.c_proj.bias,
    }


def lens_config(network: Any) -> dict[str, Any]:
    """The sizes by the names of TransformerLens."""
    c = network.config
    return {
        "n_layers": c.n_layer, "d_model": c.n_embd, "n_ctx": c.n_positions, "n_heads": c.n_head,
        "d_head": c.n_embd // c.n_head, "d_mlp": 4 * c.n_embd, "d_vocab": c.vocab_size,
        "act_fn": c.activation_function, "eps": c.layer_norm_epsilon, "normalization_type": "LN",
    }  # fmt: skip


def hooked(network: Any, device: str, *flags: str) -> Any:
    """The same network as a HookedTransformer with ``flags`` set, its weights unprocessed and frozen."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    cfg = HookedTransformerConfig(**lens_config(network), init_weights=False, device=device, dtype=torch.float32)
    model = HookedTransformer(cfg)
    model.load_state_dict(lens_weights(network), strict=False)
    for flag in flags:
        setattr(model.cfg, flag, True)
    model.eval().requires_grad_(False)
    _agrees(network, model)
    return model


@torch.no_grad()
def _agrees(network: Any, model: Any) -> None:
    tokens = torch.arange(4, device=network.device)[None]
    torch.testing.assert_close(model(tokens), network(tokens).logits, rtol=1e-3, atol=1e-4)
