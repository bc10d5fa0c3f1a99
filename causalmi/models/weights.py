"""With which weights does each head read the residual stream and write to it? Views of the model's own, by head."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from causalmi.errors import ModelError
from causalmi.models.decoder import DecoderAdapter
from causalmi.models.places import matrix
from causalmi.models.tap import Direct, Share
from causalmi.spec.site import Site


@dataclass(frozen=True)
class Projection:
    """x W[h] + b[h] for each head h."""

    weight: Float[Tensor, "head d_in d_out"]
    bias: Float[Tensor, "head d_out"] | None

    def __call__(self, x: Tensor, heads: list[int] | slice = slice(None)) -> Tensor:
        """[head or 1, n, pos, d_in] to [head, n, pos, d_out], the inputs of some ``heads`` by theirs."""
        y: Tensor
        if len(x) == 1 and heads == slice(None):
            y = (x[0] @ self._beside).unflatten(-1, (len(self.weight), -1)).permute(2, 0, 1, 3)
        else:
            y = (x.flatten(1, 2) @ self.weight[heads]).unflatten(1, x.shape[1:3])
        return y if self.bias is None else y + self.bias[heads][:, None, None]

    @cached_property
    def _beside(self) -> Float[Tensor, "d_in head_d_out"]:
        """All heads side by side, for inputs that they share: one product is faster than many."""
        return self.weight.movedim(0, 1).flatten(1)


def projection(adapter: DecoderAdapter, which: str, layer: int, copies: int = 1) -> Projection:
    """The weights of "q", "k" or "v", of keys and values ``copies`` of each; raises ModelError for no linear map."""
    tap = adapter.tap(Site(which, layer))
    assert isinstance(tap, Direct)
    linear, heads = checked(tap.module), tap.heads or 1
    bias = None if linear.bias is None else _columns(linear.bias.detach(), tap.columns, heads)
    weight = _columns(matrix(linear), tap.columns, heads).movedim(-2, 0)
    if which == "q" or copies == 1:
        return Projection(weight, bias)
    return Projection(weight.repeat_interleave(copies, 0), None if bias is None else bias.repeat_interleave(copies, 0))


def output(adapter: DecoderAdapter, layer: int) -> tuple[Float[Tensor, "head d_head d_model"], Tensor | None]:
    """W_O by head, and b_O."""
    linear = checked(adapter.blocks[layer].get_submodule(adapter.family.o))
    bias = None if linear.bias is None else linear.bias.detach()
    return matrix(linear).unflatten(0, (adapter.shape.n_heads, adapter.shape.d_head)), bias


def checked(module: nn.Module) -> Any:
    """``module`` if it computes x W + b, by an nn.Linear or a Conv1D; raises ModelError for any other."""
    if type(module) is nn.Linear or type(module).__name__ == "Conv1D":
        return module
    raise ModelError(
        f"a projection is a {type(module).__name__}, not a plain linear layer, so its weights cannot be told apart by "
        "head; merge adapters into the weights, or load the model without quantisation"
    )


def _columns(x: Tensor, columns: slice | Share | None, heads: int) -> Tensor:
    """The columns [..., head, d_out] of one projection in those [..., all] of what may be fused."""
    if isinstance(columns, Share):
        shares: Tensor = x.unflatten(-1, (heads, columns.of, -1))
        return shares[..., columns.part, :]
    some: Tensor = (x if columns is None else x[..., columns]).unflatten(-1, (heads, -1))
    return some
