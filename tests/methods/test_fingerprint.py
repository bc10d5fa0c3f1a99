"""Equal settings have equal fingerprints in every process, and each changed number has another."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from causalmi import site
from causalmi.engine.featurizers.features import Features
from causalmi.engine.featurizers.linear import Rotation
from causalmi.engine.featurizers.module_featurizer import ModuleFeaturizer
from causalmi.engine.projection import Fixed
from causalmi.errors import UsageError
from causalmi.methods.align.dbm import DBM
from causalmi.methods.fingerprint import Fingerprint, told_of
from causalmi.spec.basis import Basis
from tests.methods.align.test_checkpoint import search, stop_at
from tests.methods.settings_of_a_number import MADE, autoencoder, linear, turned

ROOT = Path(__file__).parents[2]


def found(value: Any) -> str:
    fingerprint = Fingerprint()
    fingerprint.add("value", value)
    return fingerprint.text()


@pytest.mark.parametrize("name", MADE)
def test_each_number_counts(name: str) -> None:
    make = MADE[name]
    assert found(make(0.25)) == found(make(0.25)) != found(make(0.5))


@given(st.dictionaries(st.text(), st.lists(st.floats(allow_nan=False)), min_size=1), st.data())
def test_any_number_counts(numbers: dict[str, list[float]], data: st.DataObject) -> None:
    assert found(numbers) == found({name: list(x) for name, x in numbers.items()})
    name = data.draw(st.sampled_from(sorted(numbers)))
    assert found(numbers) != found({**numbers, name: [*numbers[name], 1.0]})


def test_types_and_shapes_count() -> None:
    zeros = [torch.zeros(4), torch.zeros(2, 2), torch.zeros(2, dtype=torch.float64), np.zeros(4, np.float32), [0.0] * 4]
    assert len({found(x) for x in zeros}) == len(zeros)
    assert len({found(x) for x in (1, True, "1", b"1", 1.0, (1,), [1], {1}, None, ...)}) == 10
    assert len({found(x) for x in (["ab", "c"], ["a", "bc"], [["ab"], "c"], ["abc"])}) == 4


def test_code_counts() -> None:
    functions = [
        lambda x: x + 1,
        lambda x: x + 2,
        lambda x: x - 1,
        lambda x: lambda y: y + 1,
        lambda x: lambda y: y + 2,
    ]
    assert len({found(f) for f in [*functions, torch.relu, torch.tanh, np.tanh, abs, "x".join, "y".join]}) == 11
    owns = [type("Own", (), {"read": f})() for f in functions]
    assert len({found(own) for own in owns}) == 5


def test_use_does_not_count() -> None:
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    for part in (Features(autoencoder(0.5)), Features(Rotation(turned(1.0))), Fixed(Basis.of([[1.0, 2.0]]))):
        before = found(part)
        part.write(x, part.read(x))
        assert found(part) == before
    used = ModuleFeaturizer(nn.Linear(2, 2), nn.Linear(2, 2), width=2, size=2)
    before = found(used)
    used.encode(x)
    assert found(used) == before
    assert found(linear(1.0).eval()) == found(linear(1.0).train())


SCRIPT = """
from causalmi.methods.fingerprint import told_of
from tests.methods.settings_of_a_number import MADE
print({name: told_of(make(0.25)) for name, make in MADE.items()})
"""


def test_every_process_finds_the_same() -> None:
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert told == f"{ {name: told_of(make(0.25)) for name, make in MADE.items()} }\n"


@pytest.mark.parametrize("value", [(x for x in (1, 2)), threading.Lock(), partial(max, threading.Lock())])
def test_what_cannot_be_told_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="cannot tell this value from another"):
        found(value)


def test_what_is_nested_too_deep_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(UsageError, match="cannot tell"):
        found(deep)


def frame(seed: int) -> Rotation:
    drawn = torch.randn(16, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Rotation(torch.linalg.qr(drawn)[0])


def of_values(seed: int) -> Callable[[Tensor], Rotation]:
    return lambda values: frame(seed)


@pytest.mark.parametrize("make", [frame, of_values])
def test_a_search_with_another_featurizer_is_refused(make: Any, tmp_path: Path) -> None:
    def run(seed: int, **how: Any) -> Any:
        method = DBM(featurizer=make(seed), steps=8, check=4, batch=32)
        return search(tmp_path, method=method, sites=[site.module("layer1")], **how)

    with pytest.raises(KeyboardInterrupt):
        run(0, progress=stop_at(6))
    with pytest.raises(UsageError, match="is of another search"):
        run(1)
    run(0)
