"""What did causal scrubbing find? The behaviour that is left, beside what its percentage hides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from causalmi.results.verdicts import Controls, Result, Verdict, plain, summary
from causalmi.stats.estimate import Estimate

NUMBERS = ("loss", "clean", "random", "loss_recovered", "accuracy", "accuracy_clean", "change", "kl")


@dataclass(frozen=True, kw_only=True)
class ScrubFinding:
    """The loss recovered, beside that of its controls."""

    estimate: Estimate | None
    controls: Controls
    verdict: Verdict
    sentence: str
    name: str = "scrub"

    def to_dict(self) -> dict[str, Any]:
        """The finding in plain values, for JSON."""
        return {**summary(self), "controls": {name: plain(x) for name, x in self.controls.items()}}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ScrubResult(Result):
    """The outcome of :func:`causalmi.scrub`.

    ``loss`` is the metric under the scrub; ``clean`` (100 %) that of the network, ``random`` (0 %) that of its outputs
    with the labels of other data; ``loss_recovered`` = (loss - random) / (clean - random), or None with the ``reason``.
    What it hides: ``constant`` is the metric of giving the label frequencies whatever the input, ``accuracy`` and
    ``accuracy_clean`` the shares of right answers, ``change`` the mean |scrubbed - clean| of single examples, ``kl``
    the mean KL(clean || scrubbed). ``classes`` has these by label, ``nodes`` what each node received, ``frame`` a row
    per reference.
    """

    measure = "loss recovered"
    test: str = "scrub"
    metric: str
    loss: Estimate
    clean: Estimate
    random: Estimate
    constant: float | None
    accuracy: Estimate
    accuracy_clean: Estimate
    change: Estimate
    kl: Estimate
    finding: ScrubFinding
    reason: str | None
    options: Mapping[str, Any]
    classes: pd.DataFrame
    nodes: pd.DataFrame

    @property
    def parts(self) -> tuple[ScrubFinding, ...]:
        """The one finding."""
        return (self.finding,)

    @property
    def loss_recovered(self) -> Estimate | None:
        """(loss - random) / (clean - random); None with the ``reason`` where it is undefined."""
        return self.finding.estimate

    def explain(self) -> str:
        """Each node of the unfolded claim: its place, what it received, and one example reference -> donor."""
        options = ", ".join(f"{name}: {value}" for name, value in self.options.items())
        return "\n".join([f"{self.hypothesis}: {self.claim}", f"  {options}", *map(_explained, self._rows())])

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.nodes.to_dict("records")
        return rows

    def to_dict(self) -> dict[str, Any]:
        """The result in plain values, for JSON; without the frames."""
        more = {name: plain(getattr(self, name)) for name in NUMBERS}
        said = {"metric": self.metric, "constant": self.constant, "reason": self.reason, "options": dict(self.options)}
        return {**super().to_dict(), **more, **said}

    def _lines(self) -> Iterator[str]:
        yield f"{self.hypothesis} on {self.model}, seed {self.seed}: {self.claim}"
        yield f"  {self.metric}: {self.loss:.4g} scrubbed, {self.clean:.4g} clean"
        constant = "" if self.constant is None else f", {self.constant:.4g} for a constant answer"
        yield f"    {self.random:.4g} with permuted labels{constant}"
        yield f"  accuracy: {self.accuracy} scrubbed, {self.accuracy_clean} clean"
        yield f"  of single examples: {self.metric} changes by {self.change:.3g}, KL(clean || scrubbed) {self.kl:.3g}"
        yield f"  loss recovered: {self.reason or format(self.finding.estimate, '.3f')}"
        yield from (f"    {control}: {x}" for control, x in self.finding.controls.items())
        yield f"  {self.sentence}"


def _explained(row: Mapping[str, Any]) -> str:
    """One node in three or four lines, as far in as it is deep."""
    *above, name = str(row["node"]).split(" <- ")
    depth = "  " * (1 + len(above))
    route = f", {row['route']}" if row["route"] else ""
    sizes = f", {row['classes']:.0f} classes of {row['smallest']:.0f} to {row['largest']:.0f}" if row["classes"] else ""
    lines = [
        f"{name} at {row['site']}{route}",
        f"  donor {row['donor']}{sizes}; {row['self_donors']:.0%} are their own, {row['unmatched']} unmatched",
        f"  for example {row['example']}",
        *([f"  everything else: {row['unmapped']}"] if row["unmapped"] else []),
    ]
    return "\n".join(depth + line for line in lines)
