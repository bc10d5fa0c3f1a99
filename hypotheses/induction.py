"""What do the keys, the values and the query of the induction heads carry? One letter each, and from where?

The study is that of Chan et al. 2022, "Causal scrubbing", on the heads of Olsson et al. 2022, "In-context learning and
induction heads". The network answers with the letter that followed the last letter when it came before. The claim: at
position j the value carries letter j and the key letter j - 1, and the query carries the last letter. Each part can be
claimed alone. Then the other inputs of these heads stay as they are, and what goes past the heads is from another text.
"""

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any

import causalmi as cm
from causalmi import site
from causalmi.testbeds.induction import LENGTH, letters

HEADS = (0, 2, 3)  # of layer 1, the induction heads of the shipped network
PREVIOUS = "1 2"  # of layer 0, its previous-token heads
PLACES = range(LENGTH)
LAST = LENGTH - 1


def letter(j: int) -> Callable[..., Any]:
    """Letter ``j`` of the text; -1 for the one before the first."""
    return lambda text: text[j] if j >= 0 else -1


def same(parent: str) -> Callable[..., Any]:
    """The value of one other variable."""
    return reading([parent], lambda value: value)


def reading(parents: Sequence[str], function: Callable[..., Any]) -> Callable[..., Any]:
    """A mechanism with these parents: its signature names them, because they are many."""

    def mechanism(*values: Any) -> Any:
        return function(*values)

    mechanism.__signature__ = Signature([Parameter(p, Parameter.POSITIONAL_OR_KEYWORD) for p in parents])
    return mechanism


def look_up(asked: int, *letters: int) -> int:
    """What stands where ``asked`` is the letter before; ``asked`` itself where it stands before none."""
    before, here = letters[: len(PLACES)], letters[len(PLACES) :]
    return dict(zip(before, here, strict=True)).get(asked, asked)


def named(kind: str) -> list[str]:
    """The variables of one kind, in the order of the positions."""
    return [f"{kind}_{j}" for j in PLACES]


model = cm.CausalModel(
    inputs={"text": letters},
    mechanisms={
        **{f"written_{j}": letter(j - 1) for j in PLACES},
        **{f"before_{j}": same(f"written_{j}") for j in PLACES},
        **{f"shown_{j}": letter(j) for j in PLACES},
        **{f"here_{j}": same(f"shown_{j}") for j in PLACES},
        "asked": same(f"shown_{LAST}"),
        "answer": reading(["asked", *named("before"), *named("here")], look_up),
    },
    output="answer",
)
task = cm.Task(
    model,
    encode=lambda values: list(values["text"]),
    label=lambda values: int(values["answer"]),
    name="induction",
)
QUERY = site.q(1, HEADS, at=LAST)
KEY = {j: site.k(1, HEADS, at=j) for j in PLACES}
VALUE = {j: site.v(1, HEADS, at=j) for j in PLACES}


def at(kind: str, sites: dict[int, cm.Site]) -> dict[str, cm.Site]:
    """The variables of one kind at one site for each position."""
    return {f"{kind}_{j}": sites[j] for j in PLACES}


ALL_THREE = {"asked": QUERY, **at("before", KEY), **at("here", VALUE)}


def part(claim: str, donors: dict[str, cm.Donor]) -> cm.Hypothesis:
    """A claim about some inputs of the induction heads; the others are given as they are, all else is resampled."""
    given = {v: donors.get(v, cm.Exact()) for v in ALL_THREE}
    rule = cm.AtLeast(recovered=0.95)
    return cm.Hypothesis(
        claim=claim, task=task, model="induction", alignment=ALL_THREE, donors=given, rule=rule, n=2048
    )


def agreeing(kind: str, on: str) -> dict[str, cm.Donor]:
    """At each position a donor of its own for the variable of one kind, which agrees on that of another."""
    return {f"{kind}_{j}": cm.Agree(f"{on}_{j}") for j in PLACES}


VALUES, KEYS, QUERY_ALONE = agreeing("here", "here"), agreeing("before", "before"), {"asked": cm.Agree("asked")}


@cm.hypothesis
def values() -> cm.Hypothesis:
    """What a position gives is its own letter, and nothing else of the text."""
    return part("the value at j carries letter j", VALUES)


@cm.hypothesis
def keys() -> cm.Hypothesis:
    """A position is found by the letter before it, and nothing else of the text."""
    return part("the key at j carries letter j - 1", KEYS)


@cm.hypothesis
def keys_and_the_first() -> cm.Hypothesis:
    """The first position has no letter before it. Its key is not free for all that."""
    return part("the key at j carries letter j - 1, at 0 letter 0", {**KEYS, "before_0": cm.Agree("here_0")})


@cm.hypothesis
def queries() -> cm.Hypothesis:
    """What is looked for is the last letter, and nothing else of the text."""
    return part("the query carries the last letter", QUERY_ALONE)


@cm.hypothesis
def all_three() -> cm.Hypothesis:
    """Values, keys and query together, each from texts of its own."""
    return part(
        "the values carry letter j, the keys letter j - 1, the query the last", {**VALUES, **KEYS, **QUERY_ALONE}
    )


@cm.hypothesis
def nothing() -> cm.Hypothesis:
    """All inputs of the induction heads from one other text: the study's own 0 %, and a false claim."""
    return part("what the induction heads read does not matter", {v: cm.Together() for v in ALL_THREE})


@cm.hypothesis
def values_of_the_letter_before() -> cm.Hypothesis:
    """The wrong letter for the values."""
    return part("the value at j carries letter j - 1", agreeing("here", "before"))


@cm.hypothesis
def keys_of_the_letter_itself() -> cm.Hypothesis:
    """The wrong letter for the keys."""
    return part("the key at j carries letter j", agreeing("before", "here"))


@cm.hypothesis
def query_of_the_letter_before() -> cm.Hypothesis:
    """The wrong letter for the query."""
    return part("the query carries the last letter but one", {"asked": cm.Agree(f"before_{LAST}")})


@cm.hypothesis
def whole(previous: str = PREVIOUS) -> cm.Hypothesis:
    """One level deeper, and everything else in the network from other texts."""
    heads = tuple(int(head) for head in previous.split())
    written = at("written", {j: site.z(0, heads, at=j) for j in PLACES})
    shown = at("shown", {j: site.embed(at=j) for j in PLACES})
    direct = cm.Route(direct=True)
    embedded = {(f"shown_{j}", f"here_{j}"): direct for j in PLACES}
    return cm.Hypothesis(
        claim=f"keys come from heads {' and '.join(f'0.{h}' for h in heads)} alone, values and query from the "
        "embedding alone, and nothing else matters",
        task=task,
        model="induction",
        alignment={**written, **shown, **ALL_THREE},
        rule=cm.AtLeast(recovered=0.95),
        routes={**embedded, (f"shown_{LAST}", "asked"): direct},
        n=2048,
    )
