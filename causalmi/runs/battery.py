"""Which tests can a run ask for, by name?"""

from collections.abc import Callable
from typing import Any

from causalmi.errors import UsageError
from causalmi.methods.interchange import interchange_test

TESTS: dict[str, Callable[..., Any]] = {"interchange": interchange_test}


def chosen(names: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """The tests of these names (``"all"`` for every one); raises UsageError for a name that there is not."""
    if bad := [name for name in names if name not in (*TESTS, "all")]:
        raise UsageError(f"there is no test {bad[0]!r}; the tests are {', '.join(TESTS)}, or all")
    return {name: test for name, test in TESTS.items() if name in names or "all" in names or not names}


def run_tests(
    tests: dict[str, Callable[..., Any]], hypothesis: Any, model: Any, options: Any, progress: Any
) -> dict[str, Any]:
    """The result of each test, by its name."""
    return {
        name: test(hypothesis, model, n=options.n, seed=options.seed, batch_size=options.batch_size, progress=progress)
        for name, test in tests.items()
    }
