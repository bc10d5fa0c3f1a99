"""Do the equality networks compute what they are said to, and does the seed decide the training?"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalmi import testbeds
from causalmi.rng import stream
from causalmi.testbeds import equality
from causalmi.testbeds.equality_data import ENTITIES, draw, encoder, entities, pair


def test_handcrafted_is_always_right_on_fresh_vectors() -> None:
    x, labels = draw(50_000, 2, stream(3, "fresh"))
    logits = testbeds.equality_handcrafted()(torch.from_numpy(x))
    assert logits.dtype == torch.float64
    assert torch.equal(logits.argmax(-1), torch.from_numpy(labels))
    assert set(logits[:, 1].tolist()) == {0.0, 1.0}


@given(st.tuples(*[st.integers(0, 4)] * 4))
def test_handcrafted_is_right_on_every_combination_of_entities(values: tuple[int, int, int, int]) -> None:
    w, x, y, z = values
    encode = encoder(entities(5, 2, seed=0))
    logits = testbeds.equality_handcrafted()(torch.from_numpy(encode({"wx": (w, x), "yz": (y, z)}))[None])
    assert logits.argmax().item() == int((w == x) == (y == z))


def test_handcrafted_first_layer_carries_each_equality_in_its_own_half() -> None:
    encode = encoder(entities(5, 2, seed=0))
    net = testbeds.equality_handcrafted()
    hidden = net.layer1(torch.from_numpy(encode({"wx": (1, 1), "yz": (1, 2)}))[None])
    assert not hidden[0, :4].any()
    assert hidden[0, 4:].any()
    assert net.layer2(hidden).tolist() == [[1.0, 0.0]]


def test_interchanging_a_half_of_the_first_layer_is_exact() -> None:
    rng = stream(4, "pairs")
    (base, _), (source, _) = draw(5_000, 2, rng), draw(5_000, 2, rng)
    net = testbeds.equality_handcrafted()
    hidden, donor = net.layer1(torch.from_numpy(base)), net.layer1(torch.from_numpy(source))
    predicted = net.readout(net.layer3(net.layer2(torch.cat([donor[:, :4], hidden[:, 4:]], 1)))).argmax(-1)
    same = (source[:, :2] == source[:, 2:4]).all(1) == (base[:, 4:6] == base[:, 6:]).all(1)
    assert np.array_equal(predicted.numpy(), same)


def test_pairs_are_equal_in_half_of_the_draws() -> None:
    rng = stream(6, "pairs")
    pairs = [pair(rng) for _ in range(4_000)]
    assert sum(a == b for a, b in pairs) / 4_000 == pytest.approx(0.5, abs=0.04)
    assert {name for both in pairs for name in both} == set(range(ENTITIES))


def test_shipped_network_reaches_its_stated_accuracy() -> None:
    assert equality.accuracy(testbeds.equality_mlp(), n=20_000, seed=5) > 0.999


def test_untrained_network_is_at_chance() -> None:
    assert equality.accuracy(equality.untrained(0), n=20_000) == pytest.approx(0.5, abs=0.02)


def test_seed_decides_every_bit_of_the_training() -> None:
    first, again, other = (equality.train(seed, steps=5).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["layer1.0.weight"], other["layer1.0.weight"])
