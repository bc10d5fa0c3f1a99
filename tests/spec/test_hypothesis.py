"""A claim is valid once it exists, and a file's parameters are read by their types."""

import pytest

import causalmi as cm
from causalmi import site
from causalmi.errors import SpecError, UsageError


def xor() -> cm.CausalModel:
    return cm.CausalModel(
        inputs={"a": [0, 1], "b": [0, 1]},
        mechanisms={"left": lambda a: a, "out": lambda left, b: left ^ b},
        output="out",
    )


def task() -> cm.Task:
    return cm.Task(xor(), encode=lambda s: [float(s["a"]), float(s["b"])], label=lambda s: int(s["out"]))


def claim(**changes: object) -> cm.Hypothesis:
    fields = dict(claim="left is at layer1", task=task(), alignment={"left": site.module("layer1")})
    return cm.Hypothesis(**{**fields, **changes})  # type: ignore[arg-type]


def test_everything_wrong_is_listed_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        claim(
            claim=" ",
            rule=0.9,
            n=0,
            alignment={"left": site.module("m"), "middle": site.module("m"), "b": "layer1"},
        )
    text = " ".join(caught.value.problems)
    for part in (
        "claim is empty",
        "rule is 0.9",
        "n is 0",
        "unknown variable 'middle'",
        "left and middle are both at",
        "b is",
    ):
        assert part in text
    assert len(caught.value.problems) >= 6


def test_a_hypothesis_is_frozen_hashable_and_printable() -> None:
    h = claim(alignment={"left": [site.module("m")[0:2], site.module("m")[2:4]]})
    assert hash(h) == hash(h)
    assert h.sites("left") == (site.module("m")[0:2], site.module("m")[2:4])
    assert "left at module('m', neurons=range(0, 2)) and module(" in str(h)
    with pytest.raises(AttributeError):
        h.n = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        h.alignment["left"] = site.module("x")  # type: ignore[index]


@pytest.mark.parametrize("bad", [-0.1, 1.5, "0.9", True])
def test_rules_are_shares(bad: object) -> None:
    with pytest.raises(SpecError, match="from 0 to 1"):
        cm.AtLeast(iia=bad)  # type: ignore[arg-type]


def test_unmapped_policies() -> None:
    assert claim(unmapped=cm.Resample(share="exact")).unmapped.share == "exact"
    with pytest.raises(SpecError, match="must be one of node, term"):
        cm.Resample(share="nodes")  # type: ignore[arg-type]


@cm.hypothesis
def with_parameters(layer: int = 1, share: float = 0.5, both: bool = False, name: str = "x", last=3) -> cm.Hypothesis:
    """What the first line says.

    And more.
    """
    return claim(claim=f"{layer} {share} {both} {name} {last}")


def test_parameters_are_read_by_type() -> None:
    h, settings = with_parameters.with_text({"layer": "7", "share": ".25", "both": "true", "name": "1", "last": "4"})
    assert settings == {"layer": 7, "share": 0.25, "both": True, "name": "1", "last": 4}
    assert h.claim == "7 0.25 True 1 4" and h.name == "with_parameters"
    assert with_parameters.summary == "What the first line says."
    assert with_parameters().name == "with_parameters"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"layer": "six"}, "'six' is no int"),
        ({"both": "maybe"}, "no bool"),
        ({"depth": "1"}, "its parameters are: layer"),
    ],
)
def test_parameters_that_cannot_be_read(given: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        with_parameters.with_text(given)


def test_a_factory_must_return_a_hypothesis() -> None:
    @cm.hypothesis
    def wrong():  # type: ignore[no-untyped-def]
        return 3

    with pytest.raises(UsageError, match="gave a int"):
        wrong()
