"""How does a language model know whom to name? It marks, at the second mention of a name, which one is repeated.

"When Mary and John went to the market, John gave a ticket to" is continued by the name that was said once. The claim is
about a place between the two: where the subject is named again, the residual stream says whether it is the first or the
second name, and not which name it is, so that it can be carried over to a prompt with other names.
"""

from itertools import permutations

import causalmi as cm
from causalmi import site

NAMES = (
    "Mary", "John", "Tom", "James", "Anna", "Paul", "Sarah", "Mark", "Emma", "Jack",
    "Kate", "Peter", "Alice", "David", "Laura", "Simon", "Lucy", "Adam", "Helen", "Frank",
)  # fmt: skip
TEMPLATES = (
    "When {first} and {second} went to the market, {subject} gave a ticket to",
    "After {first} and {second} came to the station, {subject} handed a letter to",
    "While {first} and {second} sat in the garden, {subject} passed a cup to",
    "Then {first} and {second} met at the library, and {subject} lent a book to",
    "Since {first} and {second} worked at the office, {subject} sent a message to",
)

model = cm.CausalModel(
    inputs={"names": tuple(permutations(NAMES, 2)), "again": (0, 1), "template": TEMPLATES},
    mechanisms={
        "prompt": lambda template: template,
        "first": lambda names: names[0],
        "second": lambda names: names[1],
        "subject": lambda names, again: names[again],
        "repeated": lambda subject, first: "first" if subject == first else "second",
        "answer": lambda repeated, first, second: second if repeated == "first" else first,
    },
    output="answer",
)
task = cm.Task(
    model,
    prompt=lambda values: values["prompt"],
    answer=" {answer}",
    choices=[" {first}", " {second}"],
    balance="change",
    name="indirect object",
)


@cm.hypothesis
def repeated_name(layer: int = 17, at: str = "subject", model: str = "smollm2") -> cm.Hypothesis:
    """Which of the two names is the repeated one is in the residual stream at its second mention."""
    return cm.Hypothesis(
        claim=f"which name is the repeated one is carried by the residual stream after layer {layer} at {at!r}",
        task=task,
        model=model,
        alignment={"repeated": site.resid_post(layer, at=at)},
        rule=cm.AtLeast(iia=0.8, above_control=0.2),
        n=256,
    )
