"""Where does the bracket classifier keep whether ( and ) are equally many? And from which side does it read?

A string is balanced when the counts are equal and no bracket closes before it is opened. The second condition can be
read from the left (no prefix has more `)`) or from the right (no suffix has more `(`). With equal counts that is
the same; what tells the two apart is what the network would do if the counts were made equal and nothing else.
"""

import causalmi as cm
from causalmi import site
from causalmi.testbeds.brackets_data import draw, encode, equal_count, never_below, none_left_open


def brackets(in_order) -> cm.Task:
    """The task, with one of the two readings of the second condition."""
    model = cm.CausalModel(
        inputs={"text": draw},
        mechanisms={
            "equal": equal_count,
            "in_order": in_order,
            "balanced": lambda equal, in_order: equal and in_order,
        },
        output="balanced",
    )
    return cm.Task(
        model,
        encode=lambda values: encode(values["text"]),
        label=lambda values: int(values["balanced"]),
        positions={"start": 0, "end": -1},
        balance="change",
        name="brackets",
    )


@cm.hypothesis
def equal_count_at_start(layer: int = 2) -> cm.Hypothesis:
    """Attention brings the equal-count verdict to the start token; order is read from the right."""
    return cm.Hypothesis(
        claim=f"what attention of layer {layer} adds at the start token carries whether the counts are equal",
        task=brackets(in_order=none_left_open),
        model="balanced-brackets",
        alignment={"equal": site.attn_out(layer, at="start")},
        rule=cm.AtLeast(iia=0.7, above_control=0.1),
        n=2048,
    )


@cm.hypothesis
def read_from_the_left(layer: int = 2) -> cm.Hypothesis:
    """The same place, with order read as people read. Tempting, and false."""
    return cm.Hypothesis(
        claim="order is read from the left, and the equal-count verdict comes to the start token by attention",
        task=brackets(in_order=never_below),
        model="balanced-brackets",
        alignment={"equal": site.attn_out(layer, at="start")},
        rule=cm.AtLeast(iia=0.7, above_control=0.1),
        n=2048,
    )
