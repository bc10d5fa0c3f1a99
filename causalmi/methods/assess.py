"""What does every test say of one claim? The same hypothesis, network and seed, from the least strict test on.

The order: Jenner et al. 2023, "A comparison of causal scrubbing, causal abstractions, and related methods".
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from causalmi.engine.load import load_model
from causalmi.errors import CausalmiError, DataError, SpecError
from causalmi.methods.blocks import Blocks, asked
from causalmi.methods.interchange import Progress, interchange_test
from causalmi.methods.local import local_consistency_test
from causalmi.methods.observational import observational_test
from causalmi.methods.readout import LearningError
from causalmi.methods.scrubbing.scrub import scrub
from causalmi.methods.scrubbing.setup import set_up
from causalmi.results import Result
from causalmi.results.assessment import Assessment
from causalmi.spec.donor import Paired
from causalmi.spec.hypothesis import Hypothesis

TESTS: Mapping[str, Callable[..., Result]] = MappingProxyType(
    {
        "observational": observational_test,
        "local": local_consistency_test,
        "interchange": interchange_test,
        "scrub": scrub,
    }
)

FEW = 64  # examples on which a claim is looked at before anything runs


def assess(  # noqa: PLR0913  (the public call: what, on which network, by which tests, and how)
    hypothesis: Hypothesis,
    model: Any = None,
    *,
    tests: str | Sequence[str] | None = None,
    n: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Assessment:
    """Test a claim by observation, local consistency, interchange and causal scrubbing, or by ``tests`` of these.

    Each draws ``n`` examples, by default as many as the hypothesis says, with ``seed``; "until ±0.02" and "all" only
    where every test takes it. A test that this claim or network cannot have is listed with the reason. The verdict is
    the worst of those that could tell, and at most inconclusive without support by interchange or scrubbing.
    Raises SpecError for what is no hypothesis or no test, and for edges or routes that the network cannot have,
    DataError for an ``n``, a ``seed``, data or a function of the hypothesis that cannot be used, ModelError for a
    network that cannot be loaded.
    """
    chosen = _chosen(tests)
    n, seed = _asked(chosen, hypothesis, n, seed)
    model = load_model(hypothesis.model if model is None else model)
    if set(chosen) != {"scrub"}:
        next(Blocks(hypothesis, model, None, n, seed).draws())  # what cannot be drawn is found before anything runs
    if "scrub" in chosen:
        _refuse_ill_formed(hypothesis, model, seed)
    how: dict[str, Any] = {"n": n, "seed": seed, "batch_size": batch_size, "progress": progress}
    return Assessment(
        hypothesis=hypothesis.name,
        claim=hypothesis.claim,
        model=model.name,
        seed=seed,
        results={name: _tried(name, hypothesis, model, how) for name in chosen},
    )


def _refuse_ill_formed(hypothesis: Hypothesis, model: Any, seed: int) -> None:
    """Raise SpecError for edges, places or routes that the network cannot have: no test says anything of these."""
    try:
        set_up(hypothesis, model, data=None, n=FEW, seed=seed, batch_size=None)
    except SpecError:
        raise
    except CausalmiError:
        pass  # for the test itself to tell


def _chosen(tests: str | Sequence[str] | None) -> tuple[str, ...]:
    names = (tests,) if isinstance(tests, str) else tuple(tests or TESTS)
    if bad := [t for t in names if t not in TESTS]:
        raise SpecError("assess", [f"there is no test {bad[0]!r}; the tests are {', '.join(TESTS)}"])
    return tuple(t for t in TESTS if t in names)


def _asked(tests: tuple[str, ...], hypothesis: Any, n: Any, seed: Any) -> tuple[int | str | None, int]:
    """``n`` and ``seed``, where every one of ``tests`` takes them."""
    if n == "all" and tests == ("scrub",):
        return n, asked("assess", hypothesis, None, seed)[1]
    found = asked("assess", hypothesis, n, seed)
    if "scrub" in tests and (isinstance(n, str) or n == 1):
        raise DataError(f"n is {n!r}, which scrub does not take; give a whole number from 2, or leave scrub out")
    return found


def _tried(test: str, hypothesis: Hypothesis, model: Any, how: dict[str, Any]) -> Result | str:
    """The result, or why this claim or network cannot have the test; mistakes in data and functions are raised."""
    try:
        return TESTS[test](hypothesis, model, **how)
    except LearningError as reason:
        return str(reason)
    except DataError as reason:
        if test == "scrub" and _needs_pairs(hypothesis):
            return str(reason)
        raise
    except CausalmiError as reason:
        return str(reason)


def _needs_pairs(hypothesis: Hypothesis) -> bool:
    """Whether a scrub of the claim takes counterparts from pairs, where an assessment draws single settings."""
    paired = any(hypothesis.unmapped_at(v).share == "paired" for v in hypothesis.task.model.variables)
    return paired or any(isinstance(d, Paired) and not d.counterpart for d in hypothesis.donors.values())
