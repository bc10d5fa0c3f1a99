"""What did a test of readouts find? How often each node's readout is the value that the causal model gives."""

from dataclasses import dataclass
from typing import Any, Literal

from causalmi.results.verdicts import Controls, Result, Verdict, plain, strongest, summary, weakest
from causalmi.stats.estimate import Estimate

Test = Literal["observational", "local"]
States = Literal["natural", "interchange"]


@dataclass(frozen=True, kw_only=True)
class NodeFinding:
    """How often the readout of ``node`` was the value that it should be, in these ``states`` of the network.

    ``readout`` is "given", "learned", or "answer" for the network's own. ``unseen`` counts judged examples in which a
    learned readout, of the node or of one that it is computed from, never saw the value, and so cannot give it.
    ``controls`` maps a control's name to its agreement, or to the reason why there is none.
    """

    test: Test
    node: str
    states: States
    readout: Literal["given", "learned", "answer"]
    agreement: Estimate
    unseen: int = 0
    controls: Controls
    verdict: Verdict
    sentence: str

    @property
    def name(self) -> str:
        """The test and its node, with the states where the test has two kinds."""
        return f"{self.test}[{self.node}{f', {self.states}' if self.test == 'local' else ''}]"

    @property
    def estimate(self) -> Estimate:
        """The agreement."""
        return self.agreement

    @property
    def control(self) -> Estimate | None:
        """The strongest control."""
        return strongest(self.controls)[1]

    def to_dict(self) -> dict[str, Any]:
        """The finding in plain values, for JSON."""
        return {
            **summary(self),
            "node": self.node,
            "states": self.states,
            "readout": self.readout,
            "unseen": self.unseen,
            "controls": {name: plain(x) for name, x in self.controls.items()},
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AgreementResult(Result):
    """The outcome of :func:`causalmi.observational_test` and :func:`causalmi.local_consistency_test`.

    ``findings`` has one entry for each node, and kind of states; a claim stands only if every one does. ``frame`` has a
    row per example.
    """

    measure = "agreement"
    findings: tuple[NodeFinding, ...]

    @property
    def parts(self) -> tuple[NodeFinding, ...]:
        """The findings."""
        return self.findings

    @property
    def weakest(self) -> NodeFinding:
        """The finding that decides: the worst verdict, then the lowest agreement."""
        return weakest(self.findings)
