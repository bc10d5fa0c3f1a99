"""Does each place hold what the causal model makes of what the places before it hold?

Jenner et al. 2023, "A comparison of causal scrubbing, causal abstractions, and related methods".
"""

from typing import Any

from causalmi.data.pairs import CounterfactualPairs
from causalmi.errors import SpecError
from causalmi.methods.agreement_result import agreement_result
from causalmi.methods.interchange_block import Progress
from causalmi.results.agreement import AgreementResult
from causalmi.spec.hypothesis import Hypothesis

STATES = ("natural", "interchange")


def local_consistency_test(  # noqa: PLR0913  (the public call: what, on which network and examples, and how)
    hypothesis: Hypothesis,
    model: Any = None,
    *,
    states: Any = STATES,
    data: CounterfactualPairs | None = None,
    n: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> AgreementResult:
    """Test a claim one step at a time: each mapped variable, and the output, given its nearest mapped ancestors P.

    Agreement(v) = P[tau_v(L_v(z)) = H_v(x; do(p := tau_p(L_p(z)), p in P))] for states z of the network L: "natural",
    the run on x; "interchange", that run with the sites of each p in P set from an independent source. A node without
    mapped ancestors is compared with H_v(x), once. A value that the causal model does not admit is a miss.
    ``states`` is one of the two, or both. Readouts and controls are those of :func:`causalmi.observational_test`; under
    interchange also the share of examples where the right value is what it is without. ``data``, ``n`` and ``seed``
    are those of :func:`causalmi.interchange_test`.
    Raises SpecError, SiteError, PositionError, DataError or ModelError for what cannot be run.
    """
    kinds = (states,) if isinstance(states, str) else tuple(states)
    if not kinds or set(kinds) - set(STATES):
        raise SpecError("local_consistency_test", [f"states is {states!r}, it must be of {', '.join(STATES)}"])
    drawn, how = {"data": data, "n": n, "seed": seed}, {"batch_size": batch_size, "progress": progress}
    return agreement_result("local", hypothesis, model, tuple(dict.fromkeys(kinds)), drawn, how)
