"""Where does a network bear out one of several claims? Its places are searched, and its pairs are kept for the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from causalmi.engine.model import Model
from causalmi.methods.align.align import align
from causalmi.methods.align.choose import tally
from causalmi.methods.align.method import Method, Progress
from causalmi.methods.align.places import Places
from causalmi.methods.align.split import Parts
from causalmi.methods.align.where import Where, wheres
from causalmi.methods.hypothesis_search.retelling import Rival
from causalmi.methods.hypothesis_search.telling_apart import Hits
from causalmi.methods.subsets import Subset, title
from causalmi.methods.swap import Alignment, Swap, sampling_units
from causalmi.methods.verdict import TooInaccurateError
from causalmi.results.alignment import AlignmentResult
from causalmi.results.hypothesis_search import RankedHypothesis
from causalmi.results.rival_pair import ALPHA
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import proportion


@dataclass(frozen=True, eq=False)
class ClaimSearch:
    """What is searched for one claim, and its validation and test pairs, which share no base."""

    rival: Rival
    model: Model
    sites: Where | None
    parts: Parts
    batch_size: int | None

    @cached_property
    def everywhere(self) -> list[Places]:
        """The places to search."""
        return wheres(self.rival.hypothesis, self.model, self.sites)

    @cached_property
    def swap(self) -> Swap:
        """Interchanges of all the numbers at the places, on the validation pairs."""
        each = {v: tuple(dict.fromkeys(s for p in self.everywhere for s in p.of[v])) for v in self.rival.slots}
        return Swap(self.model, self.parts.validation, each, self.batch_size)

    def search(
        self, method: Method, seed: int, controls: Sequence[Any], progress: Progress | None
    ) -> AlignmentResult | str:
        """What is found at the places, or why the network is not one that the claim can be about."""

        def told(stage: str, done: int, total: int) -> None:
            if progress is not None:
                progress(f"{self.rival.name}: {stage}", done, total)

        given = {"sites": self.sites, "data": self.rival.pairs, "seed": seed, "batch_size": self.batch_size}
        try:
            return align(self.rival.hypothesis, self.model, method=method, controls=controls, progress=told, **given)  # type: ignore[arg-type]
        except TooInaccurateError as reason:
            return str(reason)

    def ranked(self, found: AlignmentResult | str, rivals: int) -> RankedHypothesis:
        """The claim with what was found for it among so many rivals, or the reason why nothing was."""
        h, labels = self.rival.hypothesis, self.swap.pairs.base_labels
        changed = float(np.mean([(self.swap.expected(s) != labels).double().mean() for s in self.rival.subsets]))
        head: dict[str, Any] = {"name": self.rival.name, "claim": h, "changed": changed}
        if isinstance(found, str):
            return RankedHypothesis(**head, found=None, balanced=0.0, reason=found)
        alignment = {v: found.hypothesis.sites(v) for v in h.variables}
        balanced = min(self._balanced(alignment, subset) for subset in self.rival.subsets)
        iia = _simultaneous(found, sampling_units(self.parts.test), rivals)
        return RankedHypothesis(**head, found=found, balanced=balanced, iia=iia)

    def frame(self, ranked: RankedHypothesis) -> pd.DataFrame:
        """A row for each place and size that was tried."""
        whole = {str(places): self._whole(places).value for places in self.everywhere}
        if ranked.found is None:
            rows = pd.DataFrame({"place": list(whole), "chosen": False})
        else:
            rows = ranked.found.frame.copy()
        rows.insert(0, "hypothesis", self.rival.name)
        rows.insert(2, "whole", rows["place"].map(whole))
        return rows

    def _whole(self, places: Places) -> Estimate:
        """Agreement when all the numbers at the places of one variable are interchanged, where it is lowest."""
        inside = self.swap.within(places.of)
        return min((tally(inside, (v,)).estimate() for v in places.variables), key=lambda x: x.value)

    def _balanced(self, alignment: Alignment, subset: Subset) -> float:
        """The mean of the agreement where the right answer changes and where it does not; 0 for what never happens."""
        hits = tally(self.swap.within(alignment), subset)
        changed = (self.swap.expected(subset) != self.swap.pairs.base_labels).numpy()
        shares = [hits.share(changed), hits.share(~changed)]
        return sum(share.value for share in shares if share is not None) / 2


def hits_of(found: AlignmentResult | None) -> Hits | None:
    """Whether each test pair agreed, by set of variables; None where that was not tested."""
    if found is None or found.test.iia is None:
        return None
    names = ["+".join(f.variables) for f in found.test.findings]
    return {name: found.test.frame[f"agrees[{name}]"].to_numpy(dtype=np.bool_) for name in names}


def _simultaneous(found: AlignmentResult, units: NDArray[np.int64], rivals: int) -> Estimate | None:
    """IIA on the test pairs with an interval that holds for all claims at once (Bonferroni)."""
    if (hits := hits_of(found)) is None:
        return None
    return proportion(hits[title(found.test.weakest.variables)], units, level=1 - ALPHA / rivals)
