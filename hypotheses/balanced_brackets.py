"""Where does the bracket classifier keep whether ( and ) are equally many, and whether they are in order?

A string is balanced when the counts are equal and no bracket closes before it is opened. The second condition can be
read from the left (no prefix has more `)`) or from the right (no suffix has more `(`). With equal counts that is
the same; what tells the two apart is what the network would do if one of the conditions were met and not the other.
"""

from functools import cache

import torch

import causalmi as cm
from causalmi import site
from causalmi.testbeds.brackets_data import draw, encode, equal_count, full, never_below, none_left_open

NETWORK = "balanced-brackets"
ORDERS = {"right": none_left_open, "left": never_below}
FIT = {"n": 3000, "seed": 1_000}  # the strings from which a direction is taken, none that a test draws


def both(equal: bool, in_order: bool) -> bool:
    """Each of the two conditions is needed."""
    return equal and in_order


def brackets(order, strings=draw, balance="change", balanced=both, **more) -> cm.Task:
    """The task, with one of the readings of the second condition; ``more`` are mechanisms beside the two."""
    model = cm.CausalModel(
        inputs={"text": strings},
        mechanisms={"equal": equal_count, "in_order": order, **more, "balanced": balanced},
        output="balanced",
    )
    return cm.Task(
        model,
        encode=lambda values: encode(values["text"]),
        label=lambda values: int(values["balanced"]),
        positions={"start": 0, "end": -1},
        balance=balance,
        name="brackets",
    )


@cache
def towards(side: str) -> tuple[float, ...]:
    """What the stream entering layer 2 at the start token is for strings in order, minus what it is for the others."""
    task = brackets(ORDERS[side], full)
    settings = task.model.run_columns(task.model.sample(**FIT))
    place = site.resid_post(1, at="start")
    found = cm.load_model(NETWORK).capture(task.encode(settings), [place])[place].double()
    right = torch.tensor(settings["in_order"].tolist())
    return tuple((found[right].mean(0) - found[~right].mean(0)).tolist())


def order_of(side: str) -> cm.Site:
    """The one direction that the stream takes with the order read from ``side``."""
    return site.resid_post(1, at="start").along(list(towards(side)))


def gathered(side: str, layer: int) -> cm.Hypothesis:
    """Order along a direction, equal counts by attention, and both of them needed, on strings of 20 brackets."""
    return cm.Hypothesis(
        claim=f"what attention of layer {layer} adds at the start token carries whether the counts are equal, and one "
        f"direction of the stream that enters layer 2 there whether the brackets are in order, read from the {side}",
        task=brackets(ORDERS[side], full, "output"),
        model=NETWORK,
        alignment={"in_order": order_of(side), "equal": site.attn_out(layer, at="start")},
        donors={"equal": cm.Agree("equal", "in_order")},  # layer 2 brings order as well; see the README
        rule=cm.AtLeast(iia=0.8, recovered=0.9),
        n=2048,
    )


@cm.hypothesis
def order_and_count_at_start(layer: int = 2) -> cm.Hypothesis:
    """The start token is told of both conditions, order from the right; every test supports it."""
    return gathered("right", layer)


@cm.hypothesis
def order_from_the_left(layer: int = 2) -> cm.Hypothesis:
    """The same, with order read as people read, and a direction found for that. Tempting, and false."""
    return gathered("left", layer)


@cm.hypothesis
def equal_count_at_start(layer: int = 2) -> cm.Hypothesis:
    """Attention brings the equal-count verdict; where order is stays open. Interchange supports it, scrubbing not."""
    return cm.Hypothesis(
        claim=f"what attention of layer {layer} adds at the start token carries whether the counts are equal",
        task=brackets(none_left_open),
        model=NETWORK,
        alignment={"equal": site.attn_out(layer, at="start")},
        rule=cm.AtLeast(iia=0.7, above_control=0.1),
        n=2048,
    )


@cm.hypothesis
def read_from_the_left(layer: int = 2) -> cm.Hypothesis:
    """The same place, with order read from the left; it fails both."""
    return cm.Hypothesis(
        claim="order is read from the left, and the equal-count verdict comes to the start token by attention",
        task=brackets(never_below),
        model=NETWORK,
        alignment={"equal": site.attn_out(layer, at="start")},
        rule=cm.AtLeast(iia=0.7, above_control=0.1),
        n=2048,
    )


@cm.hypothesis
def attention_overrules() -> cm.Hypothesis:
    """What layer 2 brings decides alone, whatever order says. Scrubbing supports it, interchange does not."""
    task = brackets(
        none_left_open,
        full,
        "output",
        verdict=lambda equal, text: equal and none_left_open(text),
        balanced=lambda in_order, verdict: verdict,  # on strings as they are the two never disagree
    )
    return cm.Hypothesis(
        claim="what attention of layer 2 adds at the start token is the answer, and overrules the order found before",
        task=task,
        model=NETWORK,
        alignment={"in_order": order_of("right"), "verdict": site.attn_out(2, at="start")},
        rule=cm.AtLeast(iia=0.8, recovered=0.9),
        n=2048,
    )
