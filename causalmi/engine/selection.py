"""Which of the numbers at a place does a site mean? Positions that differ by example, heads and neurons."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True)
class Selection:
    """Picks from, and puts into, values laid out [batch, pos, (head,) width]; None selects a whole axis.

    ``positions`` are indices into axis 1, one row for each example. An axis with a single index is dropped when
    ``one_position`` or ``one_head`` says so.
    """

    positions: Int[Tensor, "batch k"] | None = None
    heads: tuple[int, ...] | None = None
    neurons: tuple[int, ...] | None = None
    one_position: bool = False
    one_head: bool = False

    def rows(self, rows: slice) -> "Selection":
        """The same selection for some of the examples."""
        positions = None if self.positions is None else self.positions[rows]
        return Selection(positions, self.heads, self.neurons, self.one_position, self.one_head)

    def get(self, x: Tensor) -> Tensor:
        """The selected numbers, in memory of their own."""
        value = x[self._index(x)]
        value = value.clone() if value is x or value.data_ptr() == x.data_ptr() else value
        for axis in self._dropped():
            value = value.squeeze(axis)
        return value

    def put(self, x: Tensor, value: Tensor) -> Tensor:
        """A copy of ``x`` with the selected numbers replaced by ``value``, of the shape that :meth:`get` gives."""
        for axis in reversed(self._dropped()):
            value = value.unsqueeze(axis)
        new = x.clone()
        new[self._index(x)] = value.to(device=x.device, dtype=x.dtype)
        return new

    def shape(self, full: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that :meth:`get` gives for values of shape ``full``."""
        sizes = list(full)
        if self.positions is not None:
            sizes[1] = self.positions.shape[1]
        if self.heads is not None:
            sizes[2] = len(self.heads)
        if self.neurons is not None:
            sizes[-1] = len(self.neurons)
        return tuple(size for axis, size in enumerate(sizes) if axis not in self._dropped())

    def _dropped(self) -> list[int]:
        """The axes to drop, last first, so that dropping one does not move another."""
        return [axis for axis, drop in ((2, self.one_head), (1, self.one_position)) if drop]

    def _index(self, x: Tensor) -> tuple[Tensor | slice, ...]:
        """One index for each axis, all broadcast against each other where more than slices are needed."""
        if self.positions is None and self.heads is None and self.neurons is None:
            return (slice(None),)
        axes: list[Tensor] = [torch.arange(size, device=x.device) for size in x.shape]
        if self.heads is not None:
            axes[2] = torch.tensor(self.heads, device=x.device)
        if self.neurons is not None:
            axes[-1] = torch.tensor(self.neurons, device=x.device)
        grid = [axis.view(-1, *[1] * (x.ndim - 1 - i)) for i, axis in enumerate(axes)]
        if self.positions is not None:
            positions = self.positions.to(x.device)
            grid[1] = positions.view(*positions.shape, *[1] * (x.ndim - 2))
        return tuple(grid)
