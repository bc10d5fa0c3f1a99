"""Does the induction network look up what followed its last letter, and through which heads?"""

import numpy as np
import pytest
import torch
from torch import Tensor

import causalmi as cm
from causalmi import site, testbeds
from causalmi.rng import stream, torch_stream
from causalmi.testbeds import induction
from causalmi.testbeds.induction import ALPHABET, LENGTH

PREVIOUS, COPYING, IDLE = ((0, 1), (0, 2)), ((1, 0), (1, 2), (1, 3)), ((0, 0), (0, 3), (1, 1))


@pytest.fixture(scope="module")
def text() -> Tensor:
    return induction.tensors(1_000, stream(9, "texts"))[0]


@pytest.fixture(scope="module")
def model() -> cm.Model:
    return cm.load_model("induction")


def _share_right(model: cm.Model, text: Tensor, heads: tuple[tuple[int, int], ...]) -> float:
    """With the z of ``heads`` at every position taken from other texts."""
    sites = [site.z(*head) for head in heads]
    donors = torch.randperm(len(text), generator=torch_stream(0, "donors"))
    values = model.capture(text, sites)
    logits = model.run(text, edits={s: values[s][donors] for s in sites}).logits
    answers = torch.tensor([induction.answer(t) for t in text.tolist()])
    return (logits.argmax(-1) == answers).double().mean().item()


def test_letters_differ_but_for_the_last_which_comes_once_before() -> None:
    rng = np.random.default_rng(0)
    texts = [induction.letters(rng) for _ in range(2_000)]
    assert all(len(t) == LENGTH and len(set(t)) == LENGTH - 1 and t.count(t[-1]) == 2 for t in texts)
    assert {letter for t in texts for letter in t} == set(range(ALPHABET))
    places = np.bincount([induction.earlier(t) for t in texts], minlength=LENGTH)
    assert places[-2:].tolist() == [0, 0]
    assert places[:-2].min() > 0.6 * 2_000 / (LENGTH - 2)


def test_tensors_are_letters_with_their_answers() -> None:
    text, answers = induction.tensors(500, np.random.default_rng(1))
    rows = [tuple(t) for t in text.tolist()]
    assert all(len(set(t)) == LENGTH - 1 and t.count(t[-1]) == 2 for t in rows)
    assert [induction.answer(t) for t in rows] == answers.tolist()
    assert {induction.earlier(t) for t in rows} == set(range(LENGTH - 2))


def test_shipped_network_is_right_on_fresh_texts() -> None:
    assert induction.accuracy(testbeds.induction_heads(), n=2_000, seed=7) > 0.999


def test_one_position_is_not_enough_to_know_the_answer(text: Tensor) -> None:
    answers = torch.tensor([induction.answer(t) for t in text.tolist()])
    assert (text == answers[:, None]).double().mean(0).max() < 0.12


def test_two_heads_look_one_back_and_three_at_what_followed(model: cm.Model, text: Tensor) -> None:
    seen = model.capture(text, [site.pattern(*head) for head in PREVIOUS + COPYING])
    for head in PREVIOUS:
        assert seen[site.pattern(*head)].diagonal(-1, dim1=1, dim2=2).mean() > 0.6
    followed = torch.tensor([induction.earlier(t) + 1 for t in text.tolist()])
    for head in COPYING:
        assert seen[site.pattern(*head)][torch.arange(len(text)), -1, followed].mean() > 0.85


def test_these_heads_do_the_work_and_the_others_none(model: cm.Model, text: Tensor) -> None:
    assert _share_right(model, text, PREVIOUS) < 0.2
    assert _share_right(model, text, COPYING) < 0.2
    assert _share_right(model, text, IDLE) > 0.99


def test_untrained_network_is_at_chance() -> None:
    assert induction.accuracy(induction.train(0, steps=0), n=2_000) < 0.15


def test_seed_decides_every_bit_of_the_training() -> None:
    first, again, other = (induction.train(seed, steps=2).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["embed.weight"], other["embed.weight"])
