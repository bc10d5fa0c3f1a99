"""Attention in the open gives what attention by definition gives, for every kind of mask and head."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from causalmi.models.attention import OPEN, AttentionTaps, _attention
from tests import family_networks as families


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, scale: float, cap: float | None) -> Tensor:
    """One number at a time: q [batch, head, query, d] over k, v [batch, kv head, key, d]; gives [batch, query, head, d]."""
    out = torch.zeros(q.shape[0], q.shape[2], q.shape[1], q.shape[3], dtype=q.dtype)
    group = q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for i in range(q.shape[2]):
                keys = [j for j in range(k.shape[2]) if seen[b, i, j]]
                scores = [float(q[b, h, i] @ k[b, h // group, j]) * scale for j in keys]
                scores = [cap * float(torch.tensor(s / cap).tanh()) if cap else s for s in scores]
                weights = torch.tensor(scores, dtype=q.dtype).softmax(0)
                out[b, i, h] = sum(w * v[b, h // group, j] for w, j in zip(weights, keys, strict=True))
    return out


@settings(max_examples=30, deadline=None)
@given(
    group=st.integers(1, 3),
    queries=st.integers(1, 4),
    earlier=st.integers(0, 3),
    cap=st.sampled_from([None, 0.7]),
    kind=st.sampled_from(["none", "bool", "additive"]),
    seed=st.integers(0, 9),
)
def test_it_is_attention_by_definition(group, queries, earlier, cap, kind, seed) -> None:
    keys = queries + earlier
    q, k, v = draw(2, 2 * group, queries, 3, seed=seed), draw(2, 2, keys, 3, seed=seed + 1), draw(2, 2, keys, 3)
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(earlier).expand(2, -1, -1)  # the last queries of all
    mask = None
    if kind != "none":
        seen = seen & (torch.arange(keys) > keys - 3) | torch.eye(queries, keys, dtype=torch.bool).roll(earlier, 1)
        mask = seen[:, None]
    if kind == "additive":
        mask = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, torch.finfo(q.dtype).min)
    module = nn.Identity()
    found, pattern = in_the_open(module, q, k, v, mask, scaling=0.3, softcap=cap)
    torch.testing.assert_close(found, by_hand(q, k, v, seen, 0.3, cap), rtol=1e-6, atol=1e-6)
    assert torch.equal(pattern > 0, seen[:, None].expand_as(pattern))


def in_the_open(module: nn.Module, *args, **kwargs) -> tuple[Tensor, Tensor]:
    """The function as a model calls it: while some model's taps are open."""
    with AttentionTaps(families.gpt2()).open():
        return _attention(module, *args, **kwargs)


def test_without_a_mask_a_module_that_is_not_causal_sees_all() -> None:
    q, k, v = draw(1, 2, 3, 4), draw(1, 2, 3, 4, seed=1), draw(1, 2, 3, 4, seed=2)
    module = nn.Identity()
    module.is_causal = False
    found, _ = in_the_open(module, q, k, v, None)
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(found, wanted.transpose(1, 2))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_model_is_as_it_was_even_after_an_error(attention) -> None:
    net = families.llama(attention=attention)
    taps = AttentionTaps(net)
    with taps.open():
        assert net.config._attn_implementation == OPEN
    with pytest.raises(ValueError, match="input_ids"), taps.open():
        net()
    assert net.config._attn_implementation == attention
