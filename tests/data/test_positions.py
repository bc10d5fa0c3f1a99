"""A position means the same token of an example however it is padded, and what an example does not have is refused."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalmi.data.inputs import Inputs
from causalmi.data.positions import Example, is_single, resolve
from causalmi.errors import PositionError

ROWS = [[11, 12, 13, 14], [21, 22, 23], [31, 32, 33, 34, 35]]
SPANS = {"x": [(1,), (1,), (1, 2)], "end": [(3,), (2,), (4,)], "start": [(0,), (0,), (0,)], "two": [(1, 2)] * 3}


def batch(side: str, rows: list[list[int]] = ROWS, spans: Any = SPANS) -> Inputs:
    """The rows padded with 99 on one side, or on "both": on the left in the even rows, on the right in the odd ones."""
    width = max(map(len, rows)) + 1
    values, mask, starts = [], [], []
    for i, row in enumerate(rows):
        pad = [99] * (width - len(row))
        left = side == "left" or (side == "both" and i % 2 == 0)
        values.append(pad + row if left else row + pad)
        mask.append([v != 99 for v in values[-1]])
        starts.append(len(pad) if left else 0)
    moved = {n: tuple(tuple(i + s for i in own) for own, s in zip(of, starts, strict=True)) for n, of in spans.items()}
    return Inputs(torch.tensor(values), torch.tensor(mask), moved)


def tokens(at: Any, inputs: Inputs) -> list[list[int]]:
    """The tokens that the positions fall on."""
    found = resolve(at, inputs)
    assert found is not None
    assert found.dtype == torch.int64
    return inputs.values.gather(1, found).tolist()


def third(example: Example) -> int:
    return 2


KNOWN = [
    (0, [[11], [21], [31]]),
    (2, [[13], [23], [33]]),
    (-1, [[14], [23], [35]]),
    (-3, [[12], [21], [33]]),
    ("last", [[14], [23], [35]]),
    ("x", [[12], [22], [33]]),
    ("x:last", [[12], [22], [33]]),
    ("x:first", [[12], [22], [32]]),
    ("before:x", [[11], [21], [31]]),
    ("after:x", [[13], [23], [34]]),
    ("end", [[14], [23], [35]]),
    ("two:all", [[12, 13], [22, 23], [32, 33]]),
    (("x:first", -1), [[12, 14], [22, 23], [32, 35]]),
    (["two:all", "start"], [[12, 13, 11], [22, 23, 21], [32, 33, 31]]),
    (third, [[13], [23], [33]]),
    (lambda e: [0, len(e.tokens) - 1], [[11, 14], [21, 23], [31, 35]]),
    (lambda e: -2, [[13], [22], [34]]),
    (lambda e: torch.tensor([e.tokens[0] % 10]), [[12], [22], [32]]),
]


@pytest.mark.parametrize("side", ["left", "right", "both"])
@pytest.mark.parametrize(("at", "wanted"), KNOWN, ids=[str(at) if not callable(at) else "callable" for at, _ in KNOWN])
def test_the_tokens_meant_whatever_the_padding(at: Any, wanted: list[list[int]], side: str) -> None:
    assert tokens(at, batch(side)) == wanted


@given(data=st.data(), side=st.sampled_from(["left", "right", "both"]))
def test_padding_never_moves_a_position(data: st.DataObject, side: str) -> None:
    lengths = data.draw(st.lists(st.integers(3, 7), min_size=1, max_size=5))
    rows = [[10 * i + k for k in range(n)] for i, n in enumerate(lengths)]
    firsts = [data.draw(st.integers(1, n - 2)) for n in lengths]
    spans = {"v": [tuple(range(f, data.draw(st.integers(f, n - 2)) + 1)) for f, n in zip(firsts, lengths, strict=True)]}
    at = data.draw(st.sampled_from([0, 2, -1, -3, "last", "v", "v:first", "before:v", "after:v", ("v", "last")]))
    alone = [tokens(at, batch("right", [r], {"v": [s]}))[0] for r, s in zip(rows, spans["v"], strict=True)]
    assert tokens(at, batch(side, rows, spans)) == alone


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("at", "says"),
    [
        (3, r"3 in example 1, \[21, 22, 23\] of 3 tokens: position 3 is not there; give one from -3 to 2"),
        (-4, "example 1.*-4 is not there"),
        ("before:start", "example 0.*no token comes before 'start'"),
        ("after:end", "no token comes after 'end'"),
        ("x:all", "example 2.*2 positions there and 1 in the first.*unequal lengths"),
        ("verb", "'verb' is no position here; the names are 'x', 'end'"),
        ("x:middle", "no position here"),
        ("before:x:all", "no position here"),
        ("", "no position here"),
        (1.0, "1.0 is no position; give an int"),
        (True, "True is no position"),
        ((0, None), "None is no position"),
        ((), "empty"),
        ((1, "x:first"), "example 0.*are one token"),
        (lambda e: 9, "<lambda> in example 0.*position 9"),
        (lambda e: [], "the callable gives"),
        (lambda e: "x", "it must give an int"),
        (lambda e: [True], "it must give an int"),
        (lambda e: list(range(len(e.tokens))), "unequal lengths"),
    ],
)
def test_what_an_example_does_not_have(at: Any, says: str, side: str) -> None:
    with pytest.raises(PositionError, match=says):
        resolve(at, batch(side))


def test_an_empty_field_has_no_position() -> None:
    inputs = batch("left", [[1, 2, 3], [4, 5, 6]], {"e": [(1,), ()]})
    for at in ("e", "e:all", "before:e", "after:e"):
        with pytest.raises(PositionError, match=r"example 1.*'e' has no token there"):
            resolve(at, inputs)


def test_a_callable_sees_the_example_without_padding() -> None:
    seen: list[Example] = []
    inputs = Inputs(torch.tensor([[9, 1, 2]]), torch.tensor([[False, True, True]]), {}, ({"x": 5},), ("one two",))
    resolve(lambda e: seen.append(e) or 0, inputs)  # type: ignore[func-returns-value]
    assert seen == [Example((1, 2), "one two", {"x": 5})]


def test_none_is_all_positions_and_forms_say_if_they_are_one() -> None:
    assert resolve(None, batch("left")) is None
    singles = [0, -1, "last", "x", "x:first", "x:last", "before:x", "after:x"]
    assert all(map(is_single, singles))
    assert not any(map(is_single, [None, "x:all", (0,), ["x"], third, True, 1.0]))


def test_numbers_have_positions_only_with_an_axis_for_them() -> None:
    assert resolve("last", Inputs.of(torch.zeros(2, 3, 4))).tolist() == [[2], [2]]  # type: ignore[union-attr]
    with pytest.raises(PositionError, match="without positions"):
        resolve(0, Inputs.of(torch.zeros(2, 3)))


def test_long_texts_are_cut_in_messages() -> None:
    inputs = Inputs(torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool), texts=("a" * 1000,))
    with pytest.raises(PositionError) as caught:
        resolve(5, inputs)
    assert len(str(caught.value)) < 400
