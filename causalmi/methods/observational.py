"""Does each place hold the value that the causal model gives its variable, on inputs as they come?

It is the weakest of the tests: what is there need not be used.
"""

from typing import Any

from causalmi.data.pairs import CounterfactualPairs
from causalmi.methods.agreement_result import agreement_result
from causalmi.methods.interchange_block import Progress
from causalmi.results.agreement import AgreementResult
from causalmi.spec.hypothesis import Hypothesis


def observational_test(  # noqa: PLR0913  (the public call: what, on which network and examples, and how)
    hypothesis: Hypothesis,
    model: Any = None,
    *,
    data: CounterfactualPairs | None = None,
    n: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> AgreementResult:
    """Test a claim by reading each mapped variable, and the output, on inputs as they are.

    Agreement(v) = P[tau_v(L_v(x)) = H_v(x)] for the numbers L_v(x) at the sites of v, float [n, width], and a readout
    tau_v: the hypothesis's own, else a logistic regression that learns from a quarter of the examples and is judged on
    the others; of the output, the network's answer. Controls: the most common value, and an untrained network of the
    same shape with readouts of its own. ``data``, ``n`` and ``seed`` are those of :func:`causalmi.interchange_test`,
    of which the bases are read. Raises SiteError, PositionError, DataError or ModelError for what cannot be run.
    """
    drawn, how = {"data": data, "n": n, "seed": seed}, {"batch_size": batch_size, "progress": progress}
    return agreement_result("observational", hypothesis, model, ("observational",), drawn, how)
