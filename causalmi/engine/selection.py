"""Which of the numbers at a place does a site mean? Positions that differ by example, heads, neurons, directions."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.engine.projection import Projection


@dataclass(frozen=True)
class Selection:
    """Picks from, and puts into, values laid out [batch, pos, (head,) width]; None selects a whole axis.

    ``positions`` are indices into axis 1, one row for each example. An axis with a single index is dropped when
    ``one_position`` or ``one_head`` says so. ``batch`` are the rows of the values that are these examples, None
    for all. With a ``projection`` the numbers are coordinates of what is selected.
    """

    positions: Int[Tensor, "batch k"] | None = None
    heads: tuple[int, ...] | None = None
    neurons: tuple[int, ...] | None = None
    one_position: bool = False
    one_head: bool = False
    batch: slice | None = None
    projection: Projection | None = None

    def rows(self, rows: slice) -> "Selection":
        """The same selection for some of the examples."""
        return replace(self, positions=None if self.positions is None else self.positions[rows])

    def within(self, starts: Int[Tensor, " batch"], batch: slice | None) -> "Selection":
        """The same selection from values that begin at position ``starts`` of each example, at rows ``batch``."""
        positions = None if self.positions is None else self.positions - starts.to(self.positions.device)[:, None]
        return replace(self, positions=positions, batch=batch)

    def get(self, x: Tensor) -> Tensor:
        """The selected numbers, in memory of their own."""
        value = self._picked(x)
        return self.dropped(value if self.projection is None else self.projection.read(value))

    def fill(self, x: Tensor, value: Tensor) -> None:
        """Replace the selected numbers of ``x`` by ``value``, of the shape that :meth:`get` gives."""
        value = self.widened(value)
        value = value if self.projection is None else self.projection.write(self._picked(x), value)
        mine = self._mine(x)
        mine[self._index(mine)] = value.to(device=x.device, dtype=x.dtype)

    def widened(self, value: Tensor) -> Tensor:
        """``value``, of the shape that :meth:`get` gives, with an axis for everything."""
        for axis in reversed(self._dropped()):
            value = value.unsqueeze(axis)
        return value

    def dropped(self, value: Tensor) -> Tensor:
        """``value``, with an axis for everything, in the shape that :meth:`get` gives."""
        for axis in self._dropped():
            value = value.squeeze(axis)
        return value

    def put(self, x: Tensor, value: Tensor) -> Tensor:
        """A copy of ``x`` with the selected numbers replaced."""
        new = x.clone()
        self.fill(new, value)
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
        if self.projection is not None:
            sizes[-1] = self.projection.dims
        return tuple(size for axis, size in enumerate(sizes) if axis not in self._dropped())

    def _mine(self, x: Tensor) -> Tensor:
        return x if self.batch is None else x[self.batch]

    def _picked(self, x: Tensor) -> Tensor:
        """What is selected, in memory of its own, with an axis for everything."""
        mine = self._mine(x)
        value = mine[self._index(mine)]
        return value.clone() if value.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() else value

    def _dropped(self) -> list[int]:
        """The axes to drop, last first, so that dropping one does not move another."""
        return [axis for axis, drop in ((2, self.one_head), (1, self.one_position)) if drop]

    def _index(self, x: Tensor) -> tuple[Tensor | slice, ...]:
        """Indices of the first axes, as many as it takes: a slice, or tensors broadcast against each other."""
        if self.positions is None and self.neurons is None:
            if self.heads is None:
                return (slice(None),)
            if len(self.heads) == 1:
                return (slice(None), slice(None), slice(self.heads[0], self.heads[0] + 1))
        depth = x.ndim if self.neurons is not None else 2 if self.heads is None else 3
        axes: list[Tensor] = [torch.arange(size, device=x.device) for size in x.shape[:depth]]
        if self.heads is not None:
            axes[2] = torch.tensor(self.heads, device=x.device)
        if self.neurons is not None:
            axes[-1] = torch.tensor(self.neurons, device=x.device)
        grid = [axis.view(-1, *[1] * (depth - 1 - i)) for i, axis in enumerate(axes)]
        if self.positions is not None:
            positions = self.positions.to(x.device)
            grid[1] = positions.view(*positions.shape, *[1] * (depth - 2))
        return tuple(grid)
