"""Are the shipped networks found by name, small, and quick to import?"""

import subprocess
import sys

import pytest
import torch

from causalmi import testbeds
from causalmi.errors import ModelError
from causalmi.testbeds.weights import FOLDER


@pytest.mark.parametrize("name", testbeds.NAMES)
def test_every_name_loads_and_leaves_global_randomness_alone(name: str) -> None:
    state = torch.get_rng_state()
    net = testbeds.load(name)
    assert not net.training
    assert all(p.isfinite().all() for p in net.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"'brackets'.*balanced-brackets, equality-mlp"):
        testbeds.load("brackets")


def test_weights_are_small_and_have_their_log_beside_them() -> None:
    files = sorted(FOLDER.glob("*.safetensors"))
    assert len(files) == 4
    for file in files:
        assert file.stat().st_size < 500_000
        assert "accuracy" in file.with_suffix(".txt").read_text()


def test_importing_testbeds_does_not_import_torch() -> None:
    code = "import sys, causalmi.testbeds, causalmi.testbeds.brackets_data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
