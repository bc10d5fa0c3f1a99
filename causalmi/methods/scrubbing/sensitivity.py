"""On what does a scrubbed claim rest? On each of its parts, and on what the unmapped rest receives."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from causalmi.engine.load import load_model
from causalmi.errors import CausalmiError
from causalmi.methods.scrubbing.scrub import scrub
from causalmi.methods.scrubbing.share import exactly
from causalmi.results.scrub import ScrubResult
from causalmi.spec.hypothesis import SHARES, Hypothesis, Resample
from causalmi.stats.means import mean


def leave_one_out(hypothesis: Hypothesis, model: Any = None, **options: Any) -> pd.DataFrame:
    """What each mapped variable is worth: the scrub of the claim without it, on the same draws for all else.

    One row per variable, after one for the whole claim (``without`` is empty): the metric, the loss recovered with its
    interval, and ``worth``: the mean over references of how much of the metric goes with the variable, with an interval
    from paired differences. What fed the variable then feeds what it fed. ``options`` are those of
    :func:`causalmi.scrub`. Raises what that raises.
    """
    model, options = load_model(hypothesis.model if model is None else model), {"controls": (), **options}
    whole = scrub(hypothesis, model, **options)
    left_out = hypothesis.variables if len(hypothesis.variables) > 1 else ()
    rows = [_row(v, scrub(without(hypothesis, v), model, **options), whole) for v in left_out]
    return pd.DataFrame([_row("", whole, whole), *rows])


def unmapped_sensitivity(hypothesis: Hypothesis, model: Any = None, **options: Any) -> pd.DataFrame:
    """How much the loss recovered depends on what the unmapped rest receives: one row for each policy.

    Where a policy cannot be had, ``reason`` says why. ``options`` are those of :func:`causalmi.scrub`.
    """
    model, options = load_model(hypothesis.model if model is None else model), {"controls": (), **options}
    scrub(hypothesis, model, **options)  # so that a mistake in the options is not taken for a policy's
    rows = []
    for share in SHARES:
        varied = changed(hypothesis, unmapped=Resample(share=share))  # type: ignore[arg-type]
        try:
            found = scrub(varied, model, **options)
        except CausalmiError as reason:
            rows.append({"unmapped": share, "reason": str(reason)})
        else:
            rows.append({"unmapped": share, **_numbers(found), "reason": found.reason or ""})
    return pd.DataFrame(rows)


def without(hypothesis: Hypothesis, variable: str) -> Hypothesis:
    """The same claim, silent about one variable."""
    tables = {
        name: {v: x for v, x in getattr(hypothesis, name).items() if v != variable}
        for name in ("alignment", "donors", "readouts", "estimates")
    }
    routes = {edge: route for edge, route in hypothesis.routes.items() if variable not in edge}
    return changed(hypothesis, routes=routes, **tables)


def changed(hypothesis: Hypothesis, **fields: Any) -> Hypothesis:
    """The same claim with some fields changed."""
    own: Mapping[str, Any] = {name: getattr(hypothesis, name) for name in Hypothesis.__dataclass_fields__}
    return Hypothesis(**{**own, **fields})


def _row(variable: str, found: ScrubResult, whole: ScrubResult) -> dict[str, Any]:
    worth = (exactly if found.subject.exact else mean)(found.frame["scrubbed"] - whole.frame["scrubbed"])
    interval = {"worth": worth.value, "worth_low": worth.low, "worth_high": worth.high} if variable else {}
    return {"without": variable, **_numbers(found), **interval}


def _numbers(found: ScrubResult) -> dict[str, Any]:
    share = found.loss_recovered
    recovered = {} if share is None else {"recovered": share.value, "low": share.low, "high": share.high}
    return {found.metric: found.loss.value, **recovered}
