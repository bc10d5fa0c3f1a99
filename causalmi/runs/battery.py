"""Which tests can a run ask for, by name?"""

from typing import Any

from causalmi.errors import UsageError
from causalmi.methods.assess import TESTS, assess


def chosen(names: tuple[str, ...]) -> tuple[str, ...]:
    """The tests of these names (``"all"`` for every one); raises UsageError for a name that there is not."""
    if bad := [name for name in names if name not in (*TESTS, "all")]:
        raise UsageError(f"there is no test {bad[0]!r}; the tests are {', '.join(TESTS)}, or all")
    return tuple(test for test in TESTS if test in names or "all" in names or not names)


def run_tests(tests: tuple[str, ...], hypothesis: Any, model: Any, options: Any, progress: Any) -> Any:
    """The result of one test, or the assessment by several."""
    how = {"n": options.n, "seed": options.seed, "batch_size": options.batch_size, "progress": progress}
    if len(tests) == 1:
        return TESTS[tests[0]](hypothesis, model, **how)
    return assess(hypothesis, model, tests=tests, **how)
