"""Inputs hold what the network is given, and refuse what no network could be."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalmi.data.inputs import Inputs
from causalmi.errors import DataError

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "mask", "says"),
    [
        ([1, 2], None, "one row for each example"),
        ([[1, 2], [3]], None, "rows of one length"),
        ([["a"]], None, "makes no tensor"),
        ([[1.0, NAN]], None, "finite"),
        ([[1.0, 2.0]], [[1, 1]], "leave it out"),
        ([[True, False]], None, "whole numbers"),
        ([[[1], [2]]], None, "whole numbers"),
        ([[1, -2]], None, "-2 is negative"),
        ([[1, 2]], [[1, 1, 1]], "one shape"),
        ([[1, 2]], [[1, 2]], "other than 0 and 1"),
        ([[1, 2], [1, 2]], [[1, 1], [0, 0]], "example 1 has no real token"),
        ([[1, 2, 3], [1, 2, 3]], [[1, 1, 1], [0, 1, 0]], "example 1 has padding on both sides"),
        ([[1, 2, 3]], [[1, 0, 1]], "between tokens"),
    ],
)
def test_what_is_refused(values: Any, mask: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Inputs.of(values, mask)


def test_tokens_are_int64_and_all_real_without_a_mask() -> None:
    inputs = Inputs.of(torch.tensor([[1, 2, 3]], dtype=torch.int32))
    assert inputs.values.dtype == torch.int64
    assert inputs.mask is not None
    assert inputs.mask.tolist() == [[True] * 3]
    assert repr(inputs) == "Inputs(tokens, [1, 3])"


def test_numbers_keep_their_type_and_have_no_mask() -> None:
    inputs = Inputs.of(torch.zeros(2, 3, 4, dtype=torch.float16))
    assert inputs.values.dtype == torch.float16
    assert inputs.mask is None
    assert inputs.lengths.tolist() == [3, 3]
    assert Inputs.of(torch.zeros(2, 3)).lengths.tolist() == [0, 0]
    assert repr(inputs) == "Inputs(float16, [2, 3, 4])"


def test_lengths_starts_and_real_tokens_do_not_count_padding() -> None:
    inputs = Inputs.of([[0, 0, 5], [6, 7, 0], [1, 2, 3]], [[0, 0, 1], [1, 1, 0], [1, 1, 1]])
    assert inputs.lengths.tolist() == [1, 2, 3]
    assert inputs.starts.tolist() == [2, 0, 0]
    assert inputs.real() == [(5,), (6, 7), (1, 2, 3)]


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=8), st.booleans())
def test_keys_are_equal_exactly_for_equal_examples(rows: list[list[int]], left: bool) -> None:
    pads = [[9] * (5 - len(row)) for row in rows]
    values = [p + r if left else r + p for r, p in zip(rows, pads, strict=True)]
    mask = [[v != 9 for v in row] for row in values]
    keys = Inputs.of(values, mask).key()
    assert all((a == b) == (x == y) for a, x in zip(keys, rows, strict=True) for b, y in zip(keys, rows, strict=True))
    assert len({*keys}) == len({tuple(row) for row in rows})


def test_keys_of_numbers_know_no_negative_zero() -> None:
    a, b, c = Inputs.of([[0.0, 1.0], [-0.0, 1.0], [0.0, 2.0]]).key()
    assert a == b != c


def test_rows_take_everything_along() -> None:
    inputs = Inputs(
        values=torch.tensor([[1, 2], [3, 4], [5, 6]]),
        mask=torch.ones(3, 2, dtype=torch.bool),
        spans={"x": ((0,), (1,), (0, 1))},
        examples=({"x": 0}, {"x": 1}, {"x": 2}),
        texts=("a", "b", "c"),
    )
    for index in (torch.tensor([2, 0]), torch.tensor([True, False, True]), slice(None, None, 2)):
        part = inputs.rows(index)
        order = [2, 0] if getattr(index, "dtype", None) == torch.int64 else [0, 2]
        assert part.values.tolist() == [[1 + 2 * i, 2 + 2 * i] for i in order]
        assert part.spans["x"] == tuple(inputs.spans["x"][i] for i in order)
        assert part.texts == tuple("abc"[i] for i in order)
        assert [e["x"] for e in part.examples] == order
        assert len(part) == 2
    assert inputs.to("cpu").spans == inputs.spans
