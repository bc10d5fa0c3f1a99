"""Are data found by what they agree on, without a search, and given to the network as they are?"""

import numpy as np

from causalmi.methods.scrubbing.population import Classes
from tests.methods.scrubbing.claims import short
from tests.methods.scrubbing.test_draws import drawn


def test_drawing_looks_up_tables_and_scans_nothing() -> None:
    seen = 0

    class Value(int):
        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal seen
            seen += 1
            return int(self) == other

    n, classes = 100_000, 1_000
    values = [(Value(i % classes),) for i in range(n)]
    table = Classes.of(values)
    assert seen <= 5 * n
    seen = 0
    own = table.draw(table.codes, np.random.default_rng(0))
    assert (own % classes == np.arange(n) % classes).all() and len(set(own.tolist())) > 60_000
    assert seen == 0


def test_tasks_are_encoded_as_they_are() -> None:
    setup = drawn(n=10)
    tokens = [short(setup.population.setting(i)) for i in range(10)]
    assert setup.inputs.values.tolist() == tokens
