"""To which class does each position belong, where edges are told apart by position?"""

import torch
from jaxtyping import Int
from torch import Tensor

from causalmi.data.inputs import Inputs
from causalmi.data.positions import resolve
from causalmi.errors import PositionError

REST = "rest"


def classes_of(positions: tuple[str, ...], inputs: Inputs) -> Int[Tensor, "n pos"]:
    """The number in ``positions`` of each position's class.

    A class is a number of a position, counted from the example's own start, or the name of a span of the prompt, or
    "rest" for all others. Raises PositionError for a position that is in no class or in two.
    """
    n, length = inputs.values.shape
    found = torch.full((n, length), -1)
    rows = torch.arange(n)[:, None]
    for number, name in enumerate(positions):
        if name == REST:
            continue
        at = resolve(int(name) if name.lstrip("-").isdigit() else name, inputs)
        assert at is not None
        at = at.cpu()
        if bool((found[rows, at] >= 0).any()):
            raise PositionError(f"some position is in {name!r} and in another class; give classes that do not overlap")
        found[rows, at] = number
    if REST in positions:
        return torch.where(found < 0, positions.index(REST), found)
    outside = (found < 0) & (torch.ones_like(found, dtype=torch.bool) if inputs.mask is None else inputs.mask.cpu())
    if bool(outside.any()):
        row, at = outside.nonzero()[0].tolist()
        raise PositionError(f"position {at} of example {row} is in none of {', '.join(positions)}; add {REST!r}")
    return found.clamp(min=0)
