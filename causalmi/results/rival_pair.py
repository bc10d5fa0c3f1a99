"""Could the data tell two claims apart, and which of them do they bear out where the two disagree?"""

from dataclasses import dataclass

ALPHA = 0.05
FEWEST_PAIRS, FEWEST_BASES = 10, 6  # that tell two claims apart; of 5 bases that all agree the sign test gives .0625


@dataclass(frozen=True, kw_only=True)
class RivalPair:
    """Two claims on the same test pairs.

    ``sets`` are the sets of variables that receive the same sources in both. ``natural`` is the share of bases that the
    two causal models answer differently, ``differ`` the share of pairs where they expect different answers under an
    interchange of corresponding sets, ``separating`` how many, on how many different ``bases``. ``first_right`` and
    ``second_right``: how often each is right there, and on how many bases more often than the other, ``first_wins`` and
    ``second_wins``. ``p`` is that of the sign test of these, ``p_adjusted`` for the number of comparisons. None where
    fewer than 10 pairs or 6 bases tell the claims apart, or one of them was not tested.
    """

    first: str
    second: str
    sets: tuple[str, ...]
    n: int
    natural: float
    differ: float
    separating: int
    bases: int
    first_right: float | None = None
    second_right: float | None = None
    first_wins: int = 0
    second_wins: int = 0
    p: float | None = None
    p_adjusted: float | None = None

    @property
    def separable(self) -> bool:
        """Whether enough pairs and bases tell the claims apart for a test to come out."""
        return self.separating >= FEWEST_PAIRS and self.bases >= FEWEST_BASES

    @property
    def better(self) -> str | None:
        """The claim that is right significantly more often where they differ; None for neither."""
        if self.p_adjusted is None or self.p_adjusted > ALPHA:
            return None
        return self.first if self.first_wins > self.second_wins else self.second

    @property
    def sentence(self) -> str:
        """What the data say of the two."""
        both = f"{self.first} and {self.second}"
        if not self.sets:
            return f"{both} cannot be told apart: no set of variables of one corresponds to one of the other"
        where = f"they expect different answers in {self.separating} of {self.n} pairs, on {self.bases} bases"
        if not self.separable:
            return f"{both} cannot be told apart: {where}, fewer than {FEWEST_PAIRS} pairs or {FEWEST_BASES} bases"
        if self.p is None:
            return f"{both} were not compared: {where}, but one of them was not tested"
        right = f"{where}, where {self.first_right:.2f} and {self.second_right:.2f} are right (p {self.p_adjusted:.2g})"
        return f"{self.better} is better of {both}: {right}" if self.better else f"neither is better of {both}: {right}"
