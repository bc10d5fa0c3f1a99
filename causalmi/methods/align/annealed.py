"""How do learned masks become 0 or 1? They are soft at first, and their temperature falls until they are not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from causalmi.methods.align.method import Trained


def fallen(progress: float, first: float, last: float) -> float:
    """The temperature at ``progress`` in [0, 1] of the way from ``first`` to ``last``, in equal ratios.

    >>> fallen(0.5, 4.0, 1.0)
    2.0
    """
    return float(first * (last / first) ** progress)


@dataclass(frozen=True, kw_only=True)
class Annealed(Trained):
    """What methods share whose masks harden: training goes to its end, and the last step is taken.

    ``penalty`` is the weight of the mean mask, which is added to the loss; a tuple tries several, all in one run. The
    table of fits has the agreement with what is claimed (``iia``), and with the masks as they are trained at the end
    (``soft``).
    """

    penalty: float | tuple[float, ...] = 0.1
    whole = True

    @property
    def penalties(self) -> tuple[float, ...]:
        """The weights to try."""
        return self.penalty if isinstance(self.penalty, tuple) else (self.penalty,)

    def alone(self, label: Mapping[str, Any]) -> Self:
        return replace(self, penalty=label["penalty"])

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.penalties or not all(isinstance(x, int | float) and 0 <= x < float("inf") for x in self.penalties):
            found.append(f"penalty is {self.penalty!r}, it must be a number from 0, or a tuple of them")
        return found


def temperatures(given: Any) -> list[str]:
    """What is wrong with a first and a last temperature."""
    numbers = isinstance(given, tuple) and len(given) == 2 and all(isinstance(x, int | float) for x in given)
    if numbers and float("inf") > given[0] >= given[1] > 0:
        return []
    return [f"temperature is {given!r}; give the first and the last, (5.0, 0.05), the last above 0 and not the larger"]
