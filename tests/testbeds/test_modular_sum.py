"""Does the modular-addition network know every sum, those it never saw included?"""

import pytest
import torch

from causalmi import testbeds
from causalmi.testbeds import modular_sum


def test_shipped_network_is_right_on_every_pair() -> None:
    net = testbeds.modular_addition()
    assert modular_sum.accuracy(net) == 1.0
    assert net(torch.tensor([[58, 3, modular_sum.EQUALS]])).argmax().item() == 2


def test_training_saw_seven_tenths_of_the_pairs() -> None:
    assert modular_sum.shown(0).double().mean().item() == pytest.approx(0.7, abs=1e-3)


def test_untrained_network_is_at_chance() -> None:
    assert modular_sum.accuracy(modular_sum.train(0, steps=0)) < 0.05


def test_seed_decides_every_bit_of_the_training() -> None:
    first, again, other = (modular_sum.train(seed, steps=2).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["embed.weight"], other["embed.weight"])
