"""What does a test of readouts run on a block of examples? The network, and one of its shape that was not trained."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.model import Model
from causalmi.errors import CausalmiError
from causalmi.methods.consistency import Comparison, Key, Kind, comparisons
from causalmi.methods.interchange_block import Progress
from causalmi.methods.reader import Reader, nodes
from causalmi.methods.swap import Swap, sampling_units
from causalmi.methods.tally import Array, Evidence, Tally
from causalmi.spec.hypothesis import Hypothesis

UNTRAINED = "untrained network"
STILL = "value without the interchange"


@dataclass(frozen=True)
class AgreementBlock:
    """``block(pairs, seed, first)`` gives a tally for each node and kind of states; readouts learn on the first."""

    hypothesis: Hypothesis
    model: Model
    kinds: tuple[Kind, ...]
    batch_size: int | None
    progress: Progress | None
    readers: dict[str, Reader | str] = field(default_factory=dict)  # the network's, and an untrained one's or why not

    def __call__(self, pairs: CounterfactualPairs, seed: int, first: bool) -> Evidence:
        if "interchange" in self.kinds:
            Swap(self.model, pairs, {v: self.hypothesis.sites(v) for v in nodes(self.hypothesis)[:-1]}).check()
        self._tell("the network", 0)
        if first:
            self.readers["network"] = self._reader(self.hypothesis, self.model, pairs, seed)
        reader = self.readers["network"]
        assert isinstance(reader, Reader)  # as it raises when it cannot be had
        found = dict(comparisons(reader, pairs, self.kinds))
        self._tell(UNTRAINED, 1)
        fresh = self._untrained(pairs, seed, first)
        self._tell("done", 2)
        clusters = sampling_units(pairs)
        tallies = {
            key: _tally(key, x, clusters, fresh if isinstance(fresh, str) else fresh[key]) for key, x in found.items()
        }
        columns = dict(column for key, x in found.items() for column in self._shown(key, x))
        return Evidence(tallies, pd.concat([pairs.frame.reset_index(drop=True), pd.DataFrame(columns)], axis=1))

    def how(self, node: str) -> Any:
        """Where the readout of ``node`` comes from."""
        reader = self.readers["network"]
        assert isinstance(reader, Reader)
        return "answer" if node == self.hypothesis.task.model.output else reader.readouts[node].how

    def _reader(self, hypothesis: Hypothesis, model: Model, pairs: CounterfactualPairs, seed: int) -> Reader:
        return Reader.of(hypothesis, model, pairs, seed=seed, batch_size=self.batch_size)

    def _untrained(self, pairs: CounterfactualPairs, seed: int, first: bool) -> dict[Key, Comparison] | str:
        """The same in a network of the same shape with fresh weights; or why not.

        Its readouts always learn: those given are made for the network, and would fail in any other.
        """
        try:
            if first:
                own = replace(self.hypothesis, readouts={})
                self.readers[UNTRAINED] = self._reader(own, self.model.untrained(seed), pairs, seed)
            reader = self.readers[UNTRAINED]
            return reader if isinstance(reader, str) else dict(comparisons(reader, pairs, self.kinds))
        except CausalmiError as reason:
            self.readers[UNTRAINED] = f"not available: {reason}"
            return f"not available: {reason}"

    def _shown(self, key: Key, found: Comparison) -> list[tuple[str, Any]]:
        """The columns of the table; where an example trained a readout it is not judged, and its cell is empty."""
        node, kind = key
        label = node if kind == "observational" else f"{node}, {kind}"
        judged = zip(found.hits.tolist(), found.judged.tolist(), strict=True)
        agrees = pd.array([hit if counts else None for hit, counts in judged], dtype="boolean")
        return [(f"read[{label}]", found.read), (f"claimed[{label}]", found.claimed), (f"agrees[{label}]", agrees)]

    def _tell(self, stage: str, done: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, 2)


def _tally(key: Key, found: Comparison, clusters: Array, fresh: Comparison | str) -> Tally:
    rows = found.judged
    at = clusters[rows]
    claimed = np.empty(len(rows), dtype=object)
    claimed[:] = found.claimed
    controls: dict[str, Tally | str] = {STILL: Tally(found.still[rows], at)} if key[1] == "interchange" else {}
    controls[UNTRAINED] = fresh if isinstance(fresh, str) else Tally(fresh.hits[fresh.judged], clusters[fresh.judged])
    return Tally(found.hits[rows], at, {"claimed": claimed[rows], "unseen": found.unseen[rows]}, controls)
