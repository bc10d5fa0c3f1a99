"""Is a subspace split as projections onto explicit null and column spaces split it?"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import null_space, subspace_angles

from causalmi.methods.illusion.movement import between, movement
from causalmi.methods.illusion.splitting import Split
from causalmi.spec.basis import Basis

sizes = st.tuples(st.integers(3, 9), st.integers(1, 3), st.integers(1, 4), st.integers(0, 999))


def drawn(width: int, dims: int, read: int, seed: int) -> tuple[Basis, np.ndarray]:
    rng = np.random.default_rng(seed)
    return Basis.of(rng.normal(size=(dims, width))), rng.normal(size=(width, read))


@given(sizes)
def test_the_parts_add_up_and_are_what_a_null_space_says(size: tuple[int, int, int, int]) -> None:
    basis, readers = drawn(*size)
    split = Split.of(basis, torch.from_numpy(readers))
    kernel = null_space(readers.T)
    assert np.allclose(split.null + split.row, split.directions)
    assert np.allclose(readers.T @ split.null, 0) and np.allclose(kernel.T @ split.row, 0)
    assert split.shares.sum() == pytest.approx(np.linalg.norm(kernel.T @ basis.columns) ** 2)
    assert np.all(np.diff(split.shares) <= 1e-12)
    assert np.allclose(subspace_angles(split.directions, basis.columns), 0, atol=1e-6)
    for parts in (split.null, split.row):
        gram = parts.T @ parts
        assert np.allclose(gram, np.diag(np.diag(gram)))


def test_rank_is_judged_by_the_precision_of_the_weights() -> None:
    """A float32 product of rank 1 has further singular values of about 1e-8, which are rounding."""
    rng = np.random.default_rng(0)
    rank_one = torch.from_numpy(rng.normal(size=(6, 1))).float() @ torch.from_numpy(rng.normal(size=(1, 4))).float()
    assert Split.of(Basis.of(np.eye(6)[:1]), rank_one).read.shape == (6, 1)
    assert Split.of(Basis.of(np.eye(6)[:1]), torch.zeros(6, 2)).shares == pytest.approx([1.0])


@given(sizes)
def test_movement_is_the_sum_over_examples(size: tuple[int, int, int, int]) -> None:
    width, *_, seed = size
    basis, readers = drawn(*size)
    split, rng = Split.of(basis, torch.from_numpy(readers)), np.random.default_rng(seed + 1)
    x, other = rng.normal(size=(2, 7, width))
    found = movement(split, x, other, None)
    read = readers @ np.linalg.pinv(readers)
    v = basis.columns @ basis.columns.T
    assert found.put == pytest.approx(
        np.mean([np.sum((read @ v @ (b - a)) ** 2) for a, b in zip(x, other, strict=True)])
    )
    row = np.linalg.svd(read @ basis.columns, full_matrices=False)[0][:, : np.linalg.matrix_rank(read @ basis.columns)]
    assert found.natural == pytest.approx(
        np.mean([np.sum((row.T @ (b - a)) ** 2) for a, b in zip(x, other, strict=True)])
    )
    assert found.separation is None
    axes = np.linalg.svd(readers, full_matrices=False)[0]  # as many as are read, all of them independent
    mean_variance = np.mean([np.var(x @ axis) for axis in axes.T])
    assert found.spread == pytest.approx(np.mean([np.var(x @ axis) for axis in row.T]) / mean_variance)


def test_variance_between_classes_has_no_bias() -> None:
    rng = np.random.default_rng(0)
    values = [i % 4 for i in range(20)]
    raw = [between(rng.normal(size=(20, 2)), values) for _ in range(400)]
    assert np.mean([x for x in raw if x is not None]) < 0.15  # what is below 0 is cut off; uncorrected it is .3
    apart = [
        between(rng.normal(size=(400, 1)) + np.array([[i % 2 * 2.0] for i in range(400)]), [i % 2 for i in range(400)])
    ]
    assert apart[0] == pytest.approx(1.0, abs=0.2)
    assert between(np.zeros((3, 1)), "abc") is None
