"""Does the brackets network judge strings it has never seen, and are the strings what their kinds promise?"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalmi import testbeds
from causalmi.testbeds import balanced_brackets as bb
from causalmi.testbeds.brackets_data import KINDS, LONGEST, draw, equal_count, is_held_out, never_below, none_left_open

BRACKETS = st.text("()", min_size=1, max_size=LONGEST)


def _balanced_by_removal(text: str) -> bool:
    while "()" in text:
        text = text.replace("()", "")
    return not text


@given(BRACKETS)
def test_the_two_conditions_together_are_balance(text: str) -> None:
    assert (equal_count(text) and never_below(text)) == _balanced_by_removal(text)


@given(BRACKETS)
def test_reading_from_the_right_is_reading_the_mirror_image_from_the_left(text: str) -> None:
    mirrored = text[::-1].translate(str.maketrans("()", ")("))
    assert none_left_open(text) == never_below(mirrored)
    assert not equal_count(text) or none_left_open(text) == never_below(text)


@pytest.mark.parametrize(("kind", "equal", "above"), [("balanced", 1, 1), ("dipping", 1, 0), ("unequal", 0, None)])
def test_kinds_are_what_they_are_called(kind: str, equal: bool, above: bool | None) -> None:
    rng = np.random.default_rng(0)
    texts = [KINDS[kind](rng) for _ in range(500)]
    assert all(1 <= len(t) <= LONGEST and equal_count(t) == equal for t in texts)
    assert {never_below(t) for t in texts} == ({True, False} if above is None else {bool(above)})


def test_balanced_strings_of_a_length_are_equally_likely() -> None:
    rng = np.random.default_rng(0)
    texts = [t for t in (KINDS["balanced"](rng) for _ in range(30_000)) if len(t) == 6]
    counts = [texts.count(t) for t in ("((()))", "(()())", "(())()", "()(())", "()()()")]
    assert sum(counts) == len(texts)
    assert min(counts) > 0.8 * len(texts) / 5


def test_shipped_network_is_right_on_held_out_strings_of_every_kind() -> None:
    net = testbeds.brackets()
    assert bb.accuracy(net, n=2_000, seed=7) > 0.999
    assert all(bb.accuracy(net, n=500, seed=8, draw=kind) > 0.999 for kind in KINDS.values())


def test_shipped_network_is_right_on_every_string_up_to_ten() -> None:
    assert bb.exhaustive_accuracy(testbeds.brackets(), 10) > 0.999


def test_padding_changes_nothing() -> None:
    tokens, mask, _ = bb.tensors(["(())", "(())()()()()"])
    alone, alone_mask, _ = bb.tensors(["(())"])
    net = testbeds.brackets()
    torch.testing.assert_close(net(tokens, mask)[:1], net(alone, alone_mask))


def test_training_never_sees_a_held_out_string() -> None:
    texts = bb.strings(500, np.random.default_rng(0), held_out=False)
    assert not any(map(is_held_out, texts))
    assert 0.05 < np.mean([is_held_out(draw(np.random.default_rng(i))) for i in range(500)]) < 0.2


def test_untrained_network_is_at_chance_on_balanced_classes() -> None:
    net = bb.seeded(lambda: bb.Transformer(bb.CONFIG), 0)
    each = [bb.accuracy(net, n=500, draw=KINDS[kind]) for kind in ("balanced", "unequal")]
    assert np.mean(each) == pytest.approx(0.5, abs=0.1)


def test_seed_decides_every_bit_of_the_training() -> None:
    state = torch.get_rng_state()
    first, again, other = (bb.train(seed, steps=2, pool=300).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["embed.weight"], other["embed.weight"])
    assert torch.equal(state, torch.get_rng_state())
