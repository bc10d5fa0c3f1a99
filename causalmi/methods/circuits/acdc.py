"""Which edges can go, one after the other, with little harm? Automatic circuit discovery, exactly and incrementally.

Conmy et al. 2023. From the logits to the inputs, each edge is removed if that raises the loss by less than a threshold.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from causalmi.errors import SpecError


@dataclass(frozen=True)
class Decision:
    """One edge, at [class, receiver, sender]: whether it was ``kept``, and the effect of its removal then.

    ``effect`` is None where the receiver's node was dead, so that removing could change nothing.
    """

    place: tuple[int, int, int]
    kept: bool
    effect: float | None


@dataclass(frozen=True, kw_only=True)
class ACDC:
    """An edge goes if L(without it) - L(now) < ``threshold``; with ``absolute`` the size of the difference counts.

    L is the mean of the metric as a loss. Equality keeps. Receivers from the logits down: each layer's MLP, then the
    inputs of values, keys and queries, of ``heads`` from "high" to low, from "low" to high, or in "random" order;
    ``senders`` of a receiver from the "latest" to the earliest, from the "earliest", or at "random". Edges into a node
    that no kept edge leaves go unseen. ``at_once``: how many removals are tried together, which changes no decision;
    None: 8 on a CPU, 32 elsewhere. ``redundant`` also reports the removed edges that could stand in for a
    kept one (`redundant_pairs`). Raises SpecError for other values.
    """

    threshold: float
    absolute: bool = False
    senders: Literal["latest", "earliest", "random"] = "latest"
    heads: Literal["high", "low", "random"] = "high"
    redundant: bool = False
    at_once: int | None = None

    def __post_init__(self) -> None:
        number = isinstance(self.threshold, int | float) and not isinstance(self.threshold, bool)
        problems = [] if number and np.isfinite(self.threshold) else [f"threshold is {self.threshold!r}; give a number"]
        if self.senders not in ("latest", "earliest", "random"):
            problems.append(f"senders is {self.senders!r}; give 'latest', 'earliest' or 'random'")
        if self.heads not in ("high", "low", "random"):
            problems.append(f"heads is {self.heads!r}; give 'high', 'low' or 'random'")
        if self.at_once is not None and self.at_once < 1:
            problems.append(f"at_once is {self.at_once!r}; give at least 1, or None")
        if problems:
            raise SpecError("ACDC", problems)

    def keeps(self, effect: float) -> bool:
        """Whether an edge whose removal has this ``effect`` stays."""
        return not (abs(effect) if self.absolute else effect) < self.threshold
