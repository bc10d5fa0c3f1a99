"""Rival claims about the handcrafted equality network, of which it is known which are true."""

from collections.abc import Callable
from typing import Any

import causalmi as cm
from causalmi import site
from causalmi.methods.align.das import DAS
from causalmi.testbeds.equality_data import ENTITIES, encoder, entities, pair

LAYER1, LAYER2 = site.module("layer1"), site.module("layer2")
QUICK = DAS(dims=1, steps=40, batch=128, check=20)
VECTORS = entities(ENTITIES, 2, seed=0)


def rival(name: str, output: str = "same", **mechanisms: Callable[..., Any]) -> cm.Hypothesis:
    """A claim that the variables between inputs and output are in layer 1."""
    model = cm.CausalModel({"wx": pair, "yz": pair}, mechanisms, output)
    task = cm.Task(model, encode=encoder(VECTORS), label=lambda values: int(values[output]))
    between = [v for v in mechanisms if v != output]
    width = 8 // len(between)
    places = {v: LAYER1[i * width : (i + 1) * width] for i, v in enumerate(between)}
    return cm.Hypothesis(claim=name, name=name, task=task, model="equality-handcrafted", alignment=places)


def equal(two: tuple[int, int]) -> bool:
    return two[0] == two[1]


def truth() -> cm.Hypothesis:
    return rival(
        "truth",
        left=lambda wx: equal(wx),
        right=lambda yz: equal(yz),
        same=lambda left, right: left == right,
    )


def opposite() -> cm.Hypothesis:
    """The same claim with both values called by the other's name: nothing can tell it from the truth."""
    return rival(
        "opposite",
        left=lambda wx: not equal(wx),
        right=lambda yz: not equal(yz),
        same=lambda left, right: left == right,
    )


def first_entity() -> cm.Hypothesis:
    """Right on every input, but what is set is the first entity, to be compared with the base's second one."""
    return rival(
        "first entity",
        left=lambda wx: wx[0],
        right=lambda yz: yz[0],
        same=lambda left, right, wx, yz: (left == wx[1]) == (right == yz[1]),
    )


def idle() -> cm.Hypothesis:
    """Right on every input, and says of two variables that they change nothing."""
    return rival(
        "idle",
        left=lambda wx: equal(wx),
        right=lambda yz: equal(yz),
        same=lambda left, right, wx, yz: equal(wx) == equal(yz) and (left or right or True),
    )


def negated() -> cm.Hypothesis:
    """Wrong on every input."""
    return rival(
        "negated",
        left=lambda wx: equal(wx),
        right=lambda yz: equal(yz),
        same=lambda left, right: left != right,
    )


def one_half() -> cm.Hypothesis:
    """The truth about one variable alone, under another name."""
    return rival("one half", half=lambda yz: equal(yz), same=lambda half, wx: equal(wx) == half)
