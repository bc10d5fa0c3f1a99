"""A frozen norm is the norm at the clean input, affine everywhere, and its slope is the norm's scale."""

import pytest
import torch
from torch import nn

from causalmi.models.norms import frozen
from tests import family_networks as families


def draw(seed: int) -> torch.Tensor:
    return torch.randn(2, 3, 24, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def module_of(norm: str) -> nn.Module:
    if norm == "layer":
        return families.perturbed(nn.LayerNorm(24, dtype=torch.float64))
    return (families.llama() if norm == "rms" else families.gemma3()).model.norm


every_norm = pytest.mark.parametrize("norm", ["layer", "rms", "rms1p"])


@every_norm
def test_at_the_clean_input_it_is_the_norm(norm) -> None:
    module, x = module_of(norm), draw(0)
    torch.testing.assert_close(frozen(module, norm, x)(x), module(x).detach(), rtol=1e-5, atol=1e-5)


@every_norm
def test_it_is_affine_with_the_clean_scale(norm) -> None:
    module, x, y = module_of(norm), draw(1), draw(2)
    f = frozen(module, norm, x)
    zero = f(torch.zeros_like(x))
    torch.testing.assert_close(f(2 * x - 3 * y) - zero, 2 * (f(x) - zero) - 3 * (f(y) - zero))
    assert not torch.allclose(f(2 * x), module(2 * x))  # the norm itself would undo the factor
    by_hand = (y - y.mean(-1, keepdim=True) if norm == "layer" else y) / torch.sqrt(
        (x.var(-1, correction=0, keepdim=True) if norm == "layer" else x.square().mean(-1, keepdim=True))
        + (1e-5 if norm == "layer" else 1e-6)
    )
    weight = module.weight + 1 if norm == "rms1p" else module.weight
    bias = module.bias if norm == "layer" else 0
    torch.testing.assert_close(f(y), (by_hand * weight + bias).detach())


def test_gradients_flow_to_its_input_alone() -> None:
    module, clean, x = module_of("layer"), draw(3).requires_grad_(), draw(4).requires_grad_()
    frozen(module, "layer", clean)(x).sum().backward()
    assert x.grad is not None
    assert clean.grad is None
    assert module.weight.grad is None


def test_no_norm_and_a_norm_without_weights() -> None:
    x, y = draw(5), draw(6)
    assert frozen(nn.Identity(), "layer", x)(y) is y
    bare = nn.LayerNorm(24, elementwise_affine=False)
    torch.testing.assert_close(frozen(bare, "layer", x)(x), bare(x))


@every_norm
def test_large_numbers_in_half_precision_keep_their_scale(norm) -> None:
    module, x = module_of(norm).half(), (300 * draw(7)).half()
    torch.testing.assert_close(frozen(module, norm, x)(x), module(x).detach(), rtol=0.01, atol=0.01)
