"""What does an interchange test run on a block of pairs? The network's own answers, interchanges and their controls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from causalmi.data.pairs import CounterfactualPairs
from causalmi.engine.model import Model
from causalmi.errors import CausalmiError
from causalmi.methods.agreement import accuracy
from causalmi.methods.controls import Control
from causalmi.methods.subsets import Nested, Subset, title
from causalmi.methods.swap import Swap
from causalmi.methods.tally import Evidence, Tally
from causalmi.methods.verdict import too_inaccurate
from causalmi.spec.hypothesis import Hypothesis

Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True)
class InterchangeBlock:
    """``block(pairs, seed, first)`` gives a tally for each set of variables.

    There is none when the network is wrong so often on the first pairs that nothing can be tested.
    """

    hypothesis: Hypothesis
    model: Model
    subsets: list[Subset]
    controls: tuple[Control, ...]
    batch_size: int | None
    progress: Progress | None

    def __call__(self, pairs: CounterfactualPairs, seed: int, first: bool) -> Evidence:
        h = self.hypothesis
        swap = Swap(self.model, pairs, {v: h.sites(v) for v in h.variables}, self.batch_size)
        swap.check(*(item for subset in self.subsets for item in subset if isinstance(item, Nested)))
        for subset in self.subsets:
            swap.expected(subset)
        self._tell("the network's own answers", 0)
        own = accuracy(swap.pairs, swap.base, {v: swap.source(v) for v in h.variables})
        columns: dict[str, Any] = {"base_answer": swap.base.among_choices.numpy()}
        tallies: dict[Subset, Tally] = {}
        if not (first and too_inaccurate(h.rule, own.estimate())):
            for number, subset in enumerate(self.subsets):
                tallies[subset], more = self._interchanged(swap, subset, seed, self._steps(number))
                columns |= more
        self._tell("done", self._steps(len(self.subsets)))
        frame = pd.concat([swap.pairs.frame.reset_index(drop=True), pd.DataFrame(columns)], axis=1)
        return Evidence(tallies, frame, own, (swap.pairs,))

    def _interchanged(self, swap: Swap, subset: Subset, seed: int, done: int) -> tuple[Tally, dict[str, Any]]:
        """The tally of a set of variables, and its columns of the table."""
        label = title(subset)
        self._tell(f"interchange of {label}", done)
        given, expected = swap.interchange(subset), swap.expected(subset)
        hits = swap.hits(subset, given).numpy()
        columns = {"changed": (expected != swap.pairs.base_labels).numpy()}
        if swap.pairs.choices is not None:
            columns["vocabulary"] = (given.among_all == expected).numpy()
        controls: dict[str, Tally | str] = {}
        for number, control in enumerate(self.controls):
            self._tell(f"{label}: {control.name}", done + 1 + number)
            controls[control.name] = _control(control, swap, subset, seed)
        shown = {f"answer[{label}]": given.among_choices.numpy(), f"agrees[{label}]": hits}
        return Tally(hits, swap.clusters, columns, controls), shown

    def _steps(self, subsets: int) -> int:
        """How many passes there are up to these subsets."""
        return 1 + subsets * (1 + len(self.controls))

    def _tell(self, stage: str, done: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, self._steps(len(self.subsets)))


def _control(control: Control, swap: Swap, subset: Subset, seed: int) -> Tally | str:
    """A control's hits, or why it cannot be had."""
    try:
        return Tally(control.hits(swap, subset, seed).numpy(), control.clusters(swap))
    except CausalmiError as reason:
        return f"not available: {reason}"
