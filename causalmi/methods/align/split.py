"""Which pairs are learned from, chosen by and judged on? Three parts that have no base in common."""

import warnings
from dataclasses import dataclass

from causalmi.data.pairs import CounterfactualPairs
from causalmi.errors import CausalmiWarning, DataError
from causalmi.rng import stream

FEWEST = 20  # bases to judge on, below which an interval is too wide to tell
LEARN, CHOOSE = 0.5, 0.2  # shares of the pairs; the rest is for judging


@dataclass(frozen=True, eq=False)
class Parts:
    """``train``, ``validation`` and ``test`` pairs."""

    train: CounterfactualPairs
    validation: CounterfactualPairs
    test: CounterfactualPairs

    @classmethod
    def of(cls, pairs: CounterfactualPairs, seed: int) -> "Parts":
        """About half, a fifth and three tenths of ``pairs``, drawn by base; raises DataError for too few bases."""
        first, second = (int(stream(seed, "split", name).integers(2**31)) for name in ("train", "validation"))
        try:
            train, rest = pairs.split(LEARN, seed=first)
            validation, test = rest.split(CHOOSE / (1 - LEARN), seed=second)
        except DataError as error:
            raise DataError(
                f"{len(pairs)} pairs cannot be divided into parts to learn from, to choose by and to judge on that "
                f"share no base: {error}"
            ) from None
        found = cls(train, validation, test)
        if (bases := len(set(test.clusters().tolist()))) < FEWEST:
            warnings.warn(
                f"the {len(test)} pairs that judge have {bases} different bases, of which an interval says little; "
                "draw from more inputs, or judge with interchange_test",
                CausalmiWarning,
                stacklevel=4,
            )
        return found
