"""How far can the bracket classifier be taken apart before its behaviour is lost? Four claims, each with more detail.

Causal scrubbing takes everything that a claim does not name from other strings. All have 20 brackets, so that a
position means the same in each. After Chan et al. 2022, "Causal scrubbing: a method for rigorously testing
interpretability hypotheses", whose example is a classifier like this one.
"""

from collections.abc import Callable
from inspect import Parameter, Signature

import causalmi as cm
from causalmi import site
from causalmi.testbeds.brackets_data import LONGEST, encode, equal_count, full, none_left_open

POSITIONS = range(1, LONGEST + 1)  # of the brackets; the start token is 0
EARLY = [site.z(0, (0, 1), at=0), site.z(1, (0, 1), at=0)]  # what heads of layers 0 and 1 bring to the start token


def scrubbed(claim: str, mechanisms: dict, alignment: dict, donors: dict | None = None) -> cm.Hypothesis:
    """A claim about the answer to a string of 20 brackets."""
    model = cm.CausalModel(inputs={"text": full}, mechanisms=mechanisms, output="balanced")
    task = cm.Task(
        model,
        encode=lambda values: encode(values["text"]),
        label=lambda values: int(values["balanced"]),
        balance="output",
        name="brackets",
    )
    rule = cm.AtLeast(recovered=0.8)
    return cm.Hypothesis(
        claim=claim,
        task=task,
        model="balanced-brackets",
        alignment=alignment,
        donors=donors or {},
        rule=rule,
        n=2048,
    )


def conditions(text: str) -> tuple[bool, bool]:
    """Whether counts are equal, and whether order is right, read from the right."""
    return equal_count(text), none_left_open(text)


def verdict(early: bool, even: bool, late: tuple[bool, bool]) -> bool:
    """Balanced if all say so."""
    return early and even and all(late)


@cm.hypothesis
def scrubbed_root() -> cm.Hypothesis:
    """The answer is all that matters at the end."""
    return scrubbed(
        "the stream after layer 2 at the start token says whether the string is balanced, and nothing else",
        {"balanced": lambda text: all(conditions(text))},
        {"balanced": site.resid_post(2, at=0)},
    )


@cm.hypothesis
def scrubbed_heads() -> cm.Hypothesis:
    """Three groups of heads bring the conditions to the start token."""
    return scrubbed(
        "heads of layers 0 and 1 bring the order to the start token, 2.0 the equal counts, and 2.1 both",
        {"early": none_left_open, "even": equal_count, "late": conditions, "balanced": verdict},
        {"early": EARLY, "even": site.z(2, 0, at=0), "late": site.z(2, 1, at=0)},
    )


@cm.hypothesis
def scrubbed_inputs() -> cm.Hypothesis:
    """The same heads, and what those of layer 2 read."""
    return scrubbed(
        "heads of layer 2 read both conditions from the other positions, and are asked for them by the start token",
        {
            "early": none_left_open,
            "entering": conditions,
            "even": lambda early, entering: entering[0],
            "late": lambda early, entering: entering,
            "balanced": verdict,
        },
        {
            "early": EARLY,
            "entering": site.resid_post(1, at=tuple(POSITIONS)),
            "even": site.z(2, 0, at=0),
            "late": site.z(2, 1, at=0),
        },
    )


def bracket_and_count(i: int) -> Callable[[str], tuple[str, int]]:
    """What is at position i, and by how many more `(` than `)` there are from there on."""
    return lambda text: (text[i - 1], 2 * text[i - 1 :].count("(") - len(text[i - 1 :]))


def bracket_and_state(i: int) -> Callable[[str], tuple[str, bool, bool]]:
    """What is at position i, whether all is in order from there on, and whether the counts of all are equal."""
    return lambda text: (text[i - 1], none_left_open(text[i - 1 :]), equal_count(text))


def of(names: list[str], function: Callable[..., object]) -> Callable[..., object]:
    """A mechanism of many parents, called with a list of their values."""

    def mechanism(*values: object) -> object:
        return function(values)

    mechanism.__signature__ = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])
    return mechanism


@cm.hypothesis
def scrubbed_by_position() -> cm.Hypothesis:
    """The same, with what each position carries into layer 1 and into layer 2."""
    low, high = ({f"{name}_{i}": i for i in POSITIONS} for name in ("low", "high"))
    return scrubbed(
        "entering layer 1, a position says which bracket it has and what is the count from there on; entering layer 2, "
        "which bracket, whether all is in order from there on, and whether the counts of the string are equal",
        {
            "glance": none_left_open,
            **{name: bracket_and_count(i) for name, i in low.items()},
            "early": of(["glance", *low], lambda values: all(count <= 0 for _, count in values[1:])),
            **{name: bracket_and_state(i) for name, i in high.items()},
            "late": of(["glance", "early", *high], lambda values: (values[2][2], values[2][1])),
            "balanced": lambda glance, early, late: glance and early and all(late),
        },
        {
            "glance": EARLY[0],
            **{name: site.resid_post(0, at=i) for name, i in low.items()},
            "early": EARLY[1],
            **{name: site.resid_post(1, at=i) for name, i in high.items()},
            "late": site.z(2, (0, 1), at=0),
        },
        {name: cm.Agree(name, pool=cm.Pool(1, "order")) for name in ("glance", "early")},  # one string for both
    )
