"""A basis is orthonormal, spans what it was made of, and is one value wherever it is made; a site may mean one."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from causalmi import site
from causalmi.errors import SiteError
from causalmi.spec.basis import Basis
from causalmi.spec.site import KINDS, LAYER_KINDS, Site


@st.composite
def directions(draw: st.DrawFn) -> np.ndarray:
    """Independent directions, neither of length 1 nor orthogonal."""
    width = draw(st.integers(1, 7))
    dims = draw(st.integers(1, width))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.standard_normal((dims, width)) * 10.0 ** draw(st.integers(-200, 200))


@given(directions())
def test_it_is_orthonormal_and_spans_the_directions_in_their_order(rows: np.ndarray) -> None:
    basis = Basis.of(rows)
    assert (basis.dims, basis.width) == rows.shape
    np.testing.assert_allclose(basis.columns.T @ basis.columns, np.eye(basis.dims), atol=1e-12)
    for i in range(basis.dims):  # each of the first i + 1 rows is a sum of the first i + 1 columns, the last with plus
        shares = basis.columns[:, : i + 1].T @ (rows[i] / np.abs(rows[i]).max())
        left = rows[i] / np.abs(rows[i]).max() - basis.columns[:, : i + 1] @ shares
        assert np.abs(left).max() < 1e-9 and shares[-1] > 0


@given(directions())
def test_the_complement_is_everything_else(rows: np.ndarray) -> None:
    basis = Basis.of(rows)
    if basis.dims == basis.width:
        with pytest.raises(SiteError, match="the whole space"):
            basis.complement()
        return
    rest = basis.complement()
    together = np.hstack([basis.columns, rest.columns])
    np.testing.assert_allclose(together.T @ together, np.eye(basis.width), atol=1e-12)
    assert rest == basis.complement()


def test_a_direction_is_a_row() -> None:
    one, two = Basis.of([3.0, 4.0]), Basis.of([[3.0, 4.0], [1.0, 0.0]])
    np.testing.assert_allclose(one.columns, [[0.6], [0.8]])
    np.testing.assert_allclose(two.columns, [[0.6, 0.8], [0.8, -0.6]])
    assert Basis.of([-3.0, -4.0]).columns[0, 0] < 0  # the sign is that of the direction


def test_equal_numbers_are_one_value() -> None:
    a, b = Basis.of([1.0, 2.0, 2.0]), Basis.of((2, 4, 4))
    assert a == b and hash(a) == hash(b) and len({a, b}) == 1
    assert a != Basis.of([1.0, 2.0, 2.0 + 1e-12]) and a != Basis.of([-1.0, -2.0, -2.0])
    assert Basis(np.eye(4)[:, :1]) != Basis(np.eye(4)[:, :2])
    assert Basis.of([0.0, 1.0]) == Basis.of([-0.0, 1.0])
    assert pickle.loads(pickle.dumps(a)) == a
    numbers = np.eye(3)[:, :2]
    kept = Basis(numbers)
    numbers[0] = 7.0
    assert kept == Basis(np.eye(3)[:, :2])
    with pytest.raises(ValueError, match="read-only"):
        kept.columns[0] = 7.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_torch_tensors_are_read(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], dtype=dtype, requires_grad=True)
    assert Basis.of(tensor) == Basis.of([*tensor]) == Basis.of([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])


def test_its_printed_form_is_short_and_the_same_in_another_process() -> None:
    code = "from causalmi.spec.basis import Basis; print(Basis.of([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]))"
    shown = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": s}, capture_output=True, check=True
        )
        for s in ("1", "2")
    ]
    basis = Basis.of([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    assert {run.stdout.decode().strip() for run in shown} == {repr(basis)}
    assert repr(basis).startswith("Basis(2 of 3, ") and len(repr(basis)) == len("Basis(2 of 3, 1f2e)")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([0.0, 0.0], "direction 0 is zero"),
        ([[1.0, 0.0], [0.0, 0.0]], "direction 1 is zero"),
        ([1.0, float("nan")], "NaN or infinite"),
        ([1.0, float("inf")], "NaN or infinite"),
        ([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [3.0, 5.0, 0.0]], "direction 2 lies in the span"),
        ([[1.0, 2.0], [-3.0, -6.0]], "direction 1 lies in the span"),
        (np.ones((3, 2)), "3 directions of 2 numbers, of which at most 2"),
        (np.ones((2, 2, 2)), r"shape \(2, 2, 2\)"),
        ([], r"shape \(1, 0\)"),
        ("up", "are a str"),
        (None, "NaN or infinite"),
        ([[1.0], [1.0, 2.0]], "are a list"),
    ],
)
def test_what_is_no_basis_is_refused(given: object, says: str) -> None:
    with pytest.raises(SiteError, match=says):
        Basis.of(given)
    with pytest.raises(SiteError, match=says):
        site.resid_post(1).along(given)


def test_directions_that_differ_by_rounding_alone_are_refused() -> None:
    a, b = np.float32([0.1, 0.7, 0.3]), np.float32([0.9, 0.2, 0.4])
    with pytest.raises(SiteError, match="direction 2"):
        Basis.of([a, b, a + b])
    assert Basis.of([[1.0, 0.0], [1.0, 1e-4]]).dims == 2


@pytest.mark.parametrize("columns", [2 * np.eye(2), np.ones((2, 2)), np.full((2, 1), np.nan), np.eye(2)[0], 3.0])
def test_columns_that_are_not_orthonormal_are_refused(columns: object) -> None:
    with pytest.raises(SiteError, match=r"Basis\.of"):
        Basis(columns)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_vector_of_a_network_has_subspaces(kind: str) -> None:
    whole = Site(kind, 1 if kind in LAYER_KINDS else None, at="last", path="a.b" if kind == "module" else None)
    if kind == "pattern":
        with pytest.raises(SiteError, match="attention weights"):
            whole.along([1.0, 0.0])
        return
    place = whole.along([1.0, 0.0])
    assert place.basis == Basis.of([1.0, 0.0]) and place == whole.along(Basis.of([2.0, 0.0])) != whole
    assert hash(place) == hash(whole.along([1.0, 0.0])) != hash(whole)
    assert str(place) == repr(place) == f"{whole}.along({place.basis})"
    with pytest.raises(SiteError, match="does not hold its directions"):
        site.parse(str(place))


def test_neurons_come_before_directions() -> None:
    place = site.mlp_hidden(0, neurons=[1, 5, 6]).along([1.0, 1.0, 0.0])
    assert place.neurons == (1, 5, 6) and place.basis is not None and place.basis.width == 3
    with pytest.raises(SiteError, match="directions have 2 numbers, and 3 neurons"):
        site.mlp_hidden(0, neurons=[1, 5, 6]).along([1.0, 1.0])
    with pytest.raises(SiteError, match="choose its neurons first"):
        site.mlp_hidden(0).along([1.0, 1.0])[0:1]
    with pytest.raises(SiteError, match="subspace already"):
        place.along([1.0])
    with pytest.raises(SiteError, match=r"use \.along"):
        Site("embed", basis=np.eye(2))  # type: ignore[arg-type]
