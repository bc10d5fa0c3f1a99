"""What is a network run on? Token ids with a mask that says which are real, or numbers, one row an example."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from causalmi.errors import DataError

Spans = Mapping[str, tuple[tuple[int, ...], ...]]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Examples for a network; made by a task, or from the user's own tensors by :meth:`of`.

    ``values``: token ids, int64 [n, pos], or numbers, float [n, ...]. ``mask``: bool [n, pos], True for real tokens,
    None for numbers. ``spans``: by name, each example's token indices, counted with padding. ``examples`` (settings of
    the causal model) and ``texts`` are empty where there are none. ``tokens_text`` shows a token id.
    """

    values: Tensor
    mask: Bool[Tensor, "n pos"] | None = None
    spans: Spans = field(default_factory=dict)
    examples: Sequence[Mapping[str, Any]] = ()
    texts: tuple[str, ...] = ()
    tokens_text: Callable[[int], str] | None = None

    @classmethod
    def of(cls, values: Any, mask: Any = None) -> "Inputs":
        """Inputs from token ids [n, pos], padded on the left or the right where ``mask`` is False, or numbers [n, ...].

        Raises DataError for another shape or type, numbers that are not finite, or padding between real tokens.

        >>> Inputs.of([[0, 5, 7]], mask=[[False, True, True]]).lengths
        tensor([2])
        """
        values = _tensor(values)
        if values.is_floating_point():
            return cls(_numbers(values, mask))
        values = _token_ids(values)
        return cls(values, _mask(mask, values))

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        what = "tokens" if self.mask is not None else str(self.values.dtype).removeprefix("torch.")
        return f"Inputs({what}, {list(self.values.shape)})"

    @property
    def lengths(self) -> Int[Tensor, " n"]:
        """The number of positions of each example, padding not counted; 0 for numbers [n, features]."""
        if self.mask is not None:
            return self.mask.sum(1)
        positions = self.values.shape[1] if self.values.ndim > 2 else 0
        return torch.full((len(self),), positions, dtype=torch.long, device=self.values.device)

    @property
    def starts(self) -> Int[Tensor, " n"]:
        """The index of each example's first real token."""
        return torch.zeros_like(self.lengths) if self.mask is None else self.mask.int().argmax(1)

    def rows(self, index: Any) -> "Inputs":
        """The examples that ``index`` (a slice, a tensor of indices or of bools) selects, padded as they were."""
        picked = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index]
        here, rows = picked.to(self.values.device), picked.tolist()
        return replace(
            self,
            values=self.values[here],
            mask=None if self.mask is None else self.mask[here],
            spans={name: tuple(spans[i] for i in rows) for name, spans in self.spans.items()},
            examples=tuple(self.examples[i] for i in rows) if self.examples else (),
            texts=tuple(self.texts[i] for i in rows) if self.texts else (),
        )

    def to(self, device: torch.device | str) -> "Inputs":
        """The same examples on ``device``."""
        return replace(self, values=self.values.to(device), mask=None if self.mask is None else self.mask.to(device))

    def real(self) -> list[tuple[Any, ...]]:
        """Each example's own tokens, padding left out; for numbers, its values."""
        rows = self.values.tolist()
        if self.mask is None:
            return [tuple(row) for row in rows]
        bounds = zip(rows, self.starts.tolist(), self.lengths.tolist(), strict=True)
        return [tuple(row[start : start + length]) for row, start, length in bounds]

    def key(self) -> list[Any]:
        """For each example a hashable value, equal exactly where the network is given the same."""
        if self.mask is not None:
            return list(self.real())
        numbers = self.values.detach().cpu().double() + 0.0  # -0.0 becomes 0.0
        return [row.tobytes() for row in numbers.numpy()]

    def show(self, row: int) -> str:
        """One example for a message: its text, or its tokens."""
        shown = repr(self.texts[row]) if self.texts else str(list(self.rows(slice(row, row + 1)).real()[0]))
        return shown if len(shown) <= 200 else f"{shown[:200]}..."


def _tensor(values: Any) -> Tensor:
    try:
        tensor = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        message = f"the examples are a {type(values).__name__} that makes no tensor; give rows of one length"
        raise DataError(message) from None
    if tensor.ndim < 2:
        raise DataError(f"the examples have shape {list(tensor.shape)}; give one row for each example, [n, ...]")
    return tensor


def _numbers(values: Tensor, mask: Any) -> Tensor:
    if mask is not None:
        raise DataError("a mask goes with token ids, and these are numbers; leave it out")
    if not bool(values.isfinite().all()):
        raise DataError("the examples have NaN or infinite numbers; give finite ones")
    return values


def _token_ids(values: Tensor) -> Int[Tensor, "n pos"]:
    if values.dtype == torch.bool or values.is_complex() or values.ndim != 2:
        raise DataError(
            f"the examples are {values.dtype} of shape {list(values.shape)}; "
            "give token ids as whole numbers [n, pos], or numbers as floats [n, ...]"
        )
    if values.numel() and int(values.min()) < 0:
        raise DataError(f"the token id {int(values.min())} is negative; give ids from 0, and padding by mask=")
    return values.long()


def _mask(mask: Any, values: Tensor) -> Bool[Tensor, "n pos"]:
    real = torch.ones_like(values, dtype=torch.bool) if mask is None else torch.as_tensor(mask, device=values.device)
    if real.shape != values.shape:
        raise DataError(f"the mask has shape {list(real.shape)} and the tokens {list(values.shape)}; give one shape")
    if real.dtype != torch.bool and not bool(((real == 0) | (real == 1)).all()):
        raise DataError("the mask has entries other than 0 and 1; give True for real tokens")
    real = real.bool()
    if bool((~real.any(1)).any()):
        raise DataError(f"example {int((~real.any(1)).int().argmax())} has no real token; leave it out")
    edges = (real[:, 1:] != real[:, :-1]).sum(1)
    if bool((edges > 1).any()):
        raise DataError(f"example {int(edges.argmax())} has padding on both sides or between tokens; pad at one side")
    return real
