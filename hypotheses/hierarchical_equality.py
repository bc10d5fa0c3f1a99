"""Is (w == x) == (y == z) computed by way of the two inner equalities, and which units carry them?"""

import causalmi as cm
from causalmi import site
from causalmi.testbeds.equality_data import ENTITIES, encoder, entities, pair


def equality(size: int) -> cm.Task:
    """The task on pairs of entities, each of which stands for a vector of ``size`` numbers."""
    model = cm.CausalModel(
        inputs={"wx": pair, "yz": pair},
        mechanisms={
            "left": lambda wx: wx[0] == wx[1],
            "right": lambda yz: yz[0] == yz[1],
            "same": lambda left, right: left == right,
        },
        output="same",
    )
    encode = encoder(entities(ENTITIES, size, seed=0))
    return cm.Task(model, encode=encode, label=lambda values: int(values["same"]))


@cm.hypothesis
def trained(layer: int = 1) -> cm.Hypothesis:
    """The halves of a layer of the trained network; training had no reason to keep the equalities in separate units."""
    return cm.Hypothesis(
        claim=f"the first half of layer {layer} carries whether w == x, the second whether y == z",
        task=equality(size=4),
        model="equality-mlp",
        alignment={"left": site.module(f"layer{layer}")[0:8], "right": site.module(f"layer{layer}")[8:16]},
        rule=cm.AtLeast(iia=0.8, above_control=0.2),
    )


@cm.hypothesis
def handcrafted() -> cm.Hypothesis:
    """Each half of layer 1 carries one of the inner equalities; true by construction."""
    return cm.Hypothesis(
        claim="units 0 to 3 of layer 1 carry whether w == x, units 4 to 7 whether y == z",
        task=equality(size=2),
        model="equality-handcrafted",
        alignment={"left": site.module("layer1")[0:4], "right": site.module("layer1")[4:8]},
        rule=cm.AtLeast(iia=0.99, above_control=0.2),
    )


@cm.hypothesis
def handcrafted_swapped() -> cm.Hypothesis:
    """The same network with the halves taken for each other; false by construction, and at chance."""
    return cm.Hypothesis(
        claim="units 4 to 7 of layer 1 carry whether w == x, units 0 to 3 whether y == z",
        task=equality(size=2),
        model="equality-handcrafted",
        alignment={"left": site.module("layer1")[4:8], "right": site.module("layer1")[0:4]},
        rule=cm.AtLeast(iia=0.99, above_control=0.2),
    )
