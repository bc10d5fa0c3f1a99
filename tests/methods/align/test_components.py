"""Principal components as places of variables: the leading ones, shared out by what they tell apart."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from causalmi.methods.align.components import PCAAlignment, explained, shared_out
from causalmi.methods.align.observed import Observed
from tests.methods.align.small_problems import raw
from tests.methods.align.test_from_values import RNG, Q, columns, planted


def test_components_are_the_leading_ones_by_variance() -> None:
    stretched = np.diag([1.0, 5, 2, 9, 3, 4, 6, 7]) @ Q
    p = planted("left", q=stretched)
    x = Observed(p).vectors(next(iter(p.places.at)))
    _, directions = np.linalg.eigh(np.cov(x.T))
    for found, k in zip(PCAAlignment(dims=(1, 3)).fits(p), (1, 3), strict=True):
        assert np.degrees(subspace_angles(directions[:, ::-1][:, :k], columns(found, "left")).max()) < 1e-4


def test_components_go_to_the_variables_that_they_tell_apart() -> None:
    """The signs vary most, the second one more; each gets its own."""
    stretched = Q @ np.diag([4.0, 5, 1, 1, 1, 1, 1, 1])
    (found,) = PCAAlignment(dims=1).fits(planted("left", "right", q=stretched))
    assert abs(columns(found, "left")[:, 0] @ Q[:, 0]) > 0.99
    assert abs(columns(found, "right")[:, 0] @ Q[:, 1]) > 0.99


def test_explained_is_the_share_between_classes() -> None:
    scores, kinds = RNG.standard_normal((30, 3)), np.arange(30) % 3
    scores[:, 2] = 1.0
    for column, share in zip(scores.T, explained(scores, kinds), strict=True):
        predicted = np.array([column[kinds == k].mean() for k in kinds])
        slow = np.corrcoef(predicted, column)[0, 1] ** 2 if np.ptp(column) else 0.0
        assert share == pytest.approx(slow)


def test_shared_out_by_the_greatest_share_until_each_has_its_number() -> None:
    share = np.array([[0.9, 0.8, 0.7, 0.1], [0.6, 0.85, 0.3, 0.2]])
    assert shared_out(share, 2) == [[0, 2], [1, 3]]
    assert shared_out(share[:, :2], 1) == [[0], [1]]
    assert shared_out(np.array([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2]]), 2) == [[0, 1], [2, 3]]


def test_components_of_one_variable_need_no_values() -> None:
    (found,) = PCAAlignment(dims=2).fits(raw())
    assert found.alignment["source"][0].basis.dims == 2  # type: ignore[union-attr]
