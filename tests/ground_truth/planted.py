"""Networks with two signs, u and v, written along known random directions; the answer is whether they are equal."""

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import causalmi as cm
from causalmi import site

Floats = NDArray[np.float64]
SIGNS = (-1, 1)
EXACT = cm.AtLeast(iia=0.95, above_control=0.2)


def turn(width: int, seed: int) -> Floats:
    """A random orthogonal matrix; its columns are directions."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0]


def network(q: Floats) -> nn.Sequential:
    """``h``, the input itself, then ReLUs of u + v and -u - v along columns 0 and 1 of ``q``: [unequal, equal]."""
    linear, readout = nn.Linear(len(q), 2), nn.Linear(2, 2)
    both = torch.from_numpy(q[:, 0] + q[:, 1])
    linear.load_state_dict({"weight": torch.stack([both, -both]), "bias": torch.zeros(2)})
    readout.load_state_dict({"weight": torch.tensor([[-2.0, -2], [2, 2]]), "bias": torch.tensor([2.0, -2])})
    parts: list[tuple[str, nn.Module]] = [("h", nn.Identity()), ("hidden", nn.Sequential(linear, nn.ReLU()))]
    return nn.Sequential(OrderedDict([*parts, ("readout", readout)])).double().eval()


def task(q: Floats) -> cm.Task:
    """The input is q [u, v, noise], with fresh standard normal noise in each example."""
    model = cm.CausalModel(
        inputs={"u": SIGNS, "v": SIGNS, "noise": lambda rng: int(rng.integers(2**31))},
        mechanisms={"left": lambda u, noise: u, "right": lambda v: v, "same": lambda left, right: left == right},
        output="same",
    )

    def encode(s: Any) -> Floats:
        noise = np.random.default_rng(s["noise"]).standard_normal(len(q) - 2)
        return q @ np.array([s["u"], s["v"], *noise])

    return cm.Task(model, encode=encode, label=lambda s: int(s["same"]))


def claim(q: Floats, *variables: str) -> cm.Hypothesis:
    """The claim that ``variables`` are somewhere in the input."""
    half = len(q) // 2
    places = {"left": site.module("h")[0:half], "right": site.module("h")[half : len(q)]}
    return cm.Hypothesis(
        claim="the signs are in the input",
        task=task(q),
        alignment={v: places[v] for v in variables},
        rule=EXACT,
    )


def cosine(found: cm.Site, direction: Floats) -> float:
    """The cosine of the angle between ``direction`` and the nearest one in the subspace of ``found``."""
    assert found.basis is not None
    return float(np.linalg.norm(found.basis.columns.T @ direction) / np.linalg.norm(direction))


def transformer(q: Floats, fillers: int = 512) -> cm.Transformer:
    """Tokens 0 and 1 are the signs -1 and 1; heads 0 and 1 of layer 0 copy those at positions 0 and 1 to all later ones.

    There they are written along columns 0 and 1 of ``q`` [16, 16]. The other tokens have random embeddings along the
    last ten columns. The MLP of layer 1 writes whether the signs are equal along column 5, which the logits read.
    """
    width = len(q)
    config = cm.TransformerConfig(
        n_layers=2, n_heads=2, d_model=width, d_head=1, d_mlp=2, d_vocab=2 + fillers, d_vocab_out=2, n_ctx=3,
        normalization_type=None,
    )  # fmt: skip
    net = cm.Transformer(config).double().eval()
    left, right, sign, *at, answer = torch.from_numpy(q.T[:6])
    noise = np.random.default_rng(0).standard_normal((fillers, width - 6)) @ q[:, 6:].T
    with torch.no_grad():
        for value in net.parameters():
            value.zero_()
        net.embed.weight[:] = torch.cat([-sign[None], sign[None], torch.from_numpy(noise)])
        net.pos_embed.weight[:2] = torch.stack(at)
        first, mlp = net.blocks[0].attn, net.blocks[1].mlp
        first.q.bias[:] = 100.0  # so that a head looks at its position alone
        first.k.weight[:], first.v.weight[:] = torch.stack(at), torch.stack([sign, sign])
        first.o.weight[:] = torch.stack([left, right], 1)
        mlp.up.weight[:] = torch.stack([left + right, -left - right])
        mlp.down.weight[:] = torch.stack([answer, answer], 1)
        net.unembed.weight[:], net.unembed.bias[:] = torch.stack([-2 * answer, 2 * answer]), torch.tensor([2.0, -2.0])
    return net


def transformer_task(fillers: int = 512) -> cm.Task:
    """Two signs, then any filler; the answer is read there."""
    model = cm.CausalModel(
        inputs={"u": SIGNS, "v": SIGNS, "filler": range(2, 2 + fillers)},
        mechanisms={"left": lambda u, filler: u, "right": lambda v: v, "same": lambda left, right: left == right},
        output="same",
    )
    encode = lambda s: [int(s["u"] > 0), int(s["v"] > 0), s["filler"]]  # noqa: E731
    return cm.Task(model, encode=encode, label=lambda s: int(s["same"]))


def transformer_claim() -> cm.Hypothesis:
    """The claim that both signs are in the residual stream after layer 0 at the last position."""
    place = site.resid_post(0, at="last")
    return cm.Hypothesis(
        claim="both signs are in the residual stream",
        task=transformer_task(),
        alignment={"left": place[0:8], "right": place[8:16]},
        rule=EXACT,
    )
