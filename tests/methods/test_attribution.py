"""Do components' shares of the logit difference sum to it, and is each what the formula says?"""

import numpy as np
import pandas as pd
import pytest
import torch

import causalmi as cm
from causalmi import Inputs, site
from causalmi.errors import DataError, ModelError
from causalmi.methods.attribution import contributions, direct_logit_attribution
from tests.methods.test_ablations import with_biases
from tests.networks import Network, draw_tokens, every_transformer, gpt2, llama, mlp, reference

N = 7


def drawn_pairs(mask: torch.Tensor | None = None) -> cm.CounterfactualPairs:
    answer, foil = torch.arange(N) % 3, torch.arange(N) % 3 + 3
    return cm.CounterfactualPairs.from_tokens(draw_tokens(N, 1), draw_tokens(N, 2), answer=answer, foil=foil, mask=mask)


FLOAT32_NORMS = ("llama", "qwen3", "gemma3")  # whatever the precision of the rest


def own_logit_diff(model: cm.Model, pairs: cm.CounterfactualPairs) -> torch.Tensor:
    """Of the logits before the cap, where there is one: c tanh(logits / c)."""
    logits = model.run(pairs.base).logits
    logits = logits if logits.ndim == 2 else logits[:, -1]
    if cap := getattr(model.module.config, "final_logit_softcapping", None):
        logits = cap * (logits / cap).atanh()
    i = torch.arange(N)
    return logits[i, pairs.base_labels] - logits[i, pairs.foil]


@every_transformer
def test_the_shares_sum_to_the_logit_difference(network: Network) -> None:
    model, pairs = cm.load_model(with_biases(network.make())), drawn_pairs()
    shares, total, exact = contributions(model, pairs, batch_size=3)
    own = own_logit_diff(model, pairs)
    each = torch.stack([*shares.values()])
    error = 1e-6 if network.name in FLOAT32_NORMS else 1e-9
    torch.testing.assert_close(each.sum(0), own, atol=error, rtol=0)
    torch.testing.assert_close(total, each.sum(0), atol=error, rtol=0)
    assert exact == (network.name != "gemma3")
    assert all(bool(x.any()) for c, x in shares.items() if c.kind != "bias")  # no other row is there for nothing
    frame = direct_logit_attribution(model, pairs)
    assert frame["contribution"].sum() == pytest.approx(float(own.mean()), abs=error)
    assert frame.attrs["logit_diff"] == pytest.approx(float(own.mean()), abs=error)


def test_every_share_by_hand_on_gpt2() -> None:
    net = with_biases(gpt2())
    model, pairs = cm.load_model(net), drawn_pairs()
    frame = direct_logit_attribution(model, pairs, batch_size=2).set_index("component")
    heads = [f"a{layer}.h{head}" for layer in range(4) for head in range(4)]
    rest = [f"{x}" for layer in range(4) for x in (f"a{layer}.bias", f"m{layer}")]
    assert sorted(frame.index) == sorted(["input", *heads, *rest, "bias"])
    read = [
        site.resid_pre(0),
        site.resid_post(3),
        *(site.head_out(i) for i in range(4)),
        *(site.mlp_out(i) for i in range(4)),
    ]
    run = model.run(pairs.base, read=read)
    x, norm = run[site.resid_post(3)][:, -1], net.transformer.ln_f
    scale = (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    towards = net.lm_head.weight[pairs.base_labels] - net.lm_head.weight[pairs.foil]

    def share(c: torch.Tensor) -> float:
        return float((((c - c.mean(-1, keepdim=True)) / scale * norm.weight) * towards).sum(-1).mean())

    with torch.no_grad():
        wanted = {"input": share(run[site.resid_pre(0)][:, -1]), "bias": float((towards @ norm.bias).mean())}
        for layer in range(4):
            wanted |= {f"a{layer}.h{h}": share(run[site.head_out(layer)][:, -1, h]) for h in range(4)}
            wanted[f"a{layer}.bias"] = share(net.transformer.h[layer].attn.c_proj.bias.expand(N, -1))
            wanted[f"m{layer}"] = share(run[site.mlp_out(layer)][:, -1])
    for name, value in wanted.items():
        assert frame["contribution"][name] == pytest.approx(value, abs=1e-9), name
    assert (frame["low"] <= frame["contribution"]).all() and (frame["contribution"] <= frame["high"]).all()
    assert frame.loc["a2.h1", ["kind", "layer", "head"]].tolist() == ["head_out", 2, 1]


def test_the_frame_does_not_depend_on_batches_or_padding() -> None:
    model, pairs = cm.load_model(llama()), drawn_pairs()
    frame = direct_logit_attribution(model, pairs)
    pd.testing.assert_frame_equal(frame, direct_logit_attribution(model, pairs, batch_size=2))
    mask = torch.ones(N, 7, dtype=torch.bool)
    mask[:, 5:] = False
    more = torch.cat([draw_tokens(N, 1), draw_tokens(N, 9)[:, :2]], 1)
    longer = cm.CounterfactualPairs.from_tokens(more, more, answer=pairs.base_labels, foil=pairs.foil, mask=mask)
    assert np.allclose(direct_logit_attribution(model, longer)["contribution"], frame["contribution"])
    assert "a0.bias" not in set(frame["component"])  # Llama has none


def test_one_position_reads_only_that_position() -> None:
    """An edit elsewhere that leaves the read-out's stream alone leaves the shares alone."""
    net = reference(attn_only=True)
    model, pairs = cm.load_model(net), drawn_pairs()
    other = Inputs.of(pairs.base.values.flip(0))
    same = cm.CounterfactualPairs.from_tokens(
        pairs.base.values, other.values, answer=pairs.base_labels, foil=pairs.foil
    )
    a, b = (contributions(model, p)[0] for p in (pairs, same))  # sources do not matter
    assert all(torch.equal(a[c], b[c]) for c in a)
    assert {c.kind for c in a} == {"embed", "head_out", "attn_bias", "bias"}


def test_what_cannot_be_attributed_is_refused() -> None:
    pairs = drawn_pairs()
    with pytest.raises(ModelError, match="module paths"):
        direct_logit_attribution(mlp(), pairs)
    with pytest.raises(DataError, match="CounterfactualPairs"):
        direct_logit_attribution(gpt2(), pairs.base)  # type: ignore[arg-type]
    without = cm.CounterfactualPairs.from_tokens(draw_tokens(4, 1), draw_tokens(4, 2), answer=1)
    with pytest.raises(DataError, match="needs a wrong answer"):
        direct_logit_attribution(gpt2(), without)


def test_of_one_pair_there_is_a_contribution_without_an_interval() -> None:
    frame = direct_logit_attribution(gpt2(), drawn_pairs().rows([0]))
    assert frame["contribution"].sum() == pytest.approx(frame.attrs["logit_diff"])
    assert frame[["low", "high", "p"]].isna().all(axis=None)
    assert "uncertain" in frame.attrs
