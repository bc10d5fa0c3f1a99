"""Distributed alignment search finds directions that are known: signs written along them, in an MLP and a transformer."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

import causalmi as cm
from causalmi.methods.align.align import align
from causalmi.methods.align.das import DAS
from causalmi.methods.controls import ShuffledSources
from causalmi.results.alignment import AlignmentResult
from causalmi.stats.estimate import Estimate
from tests.ground_truth.planted import Floats, claim, network, transformer, transformer_claim, turn

VARIABLES = ("left", "right")
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
CHEAP = [ShuffledSources()]


def found_along(result: AlignmentResult, q: Floats) -> None:
    """Each variable is along its column, no more than 5 degrees off, and every interchange held out is right."""
    for variable in result.hypothesis.variables:
        direction = q[:, VARIABLES.index(variable)]
        (place,) = result.hypothesis.sites(variable)
        assert place.basis is not None and place.basis.dims == 1
        assert abs(place.basis.columns[:, 0] @ direction) >= 0.99
        assert np.degrees(subspace_angles(place.basis.columns, direction[:, None]).max()) < 5
    assert result.verdict == "supported"
    assert [f.iia.value for f in result.test.findings if f.iia is not None] == [1.0] * len(result.test.findings)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [16, pytest.param(64, marks=pytest.mark.slow)])
def test_a_sign_along_a_random_direction_is_found(width: int, seed: int) -> None:
    """Setting the whole input sets the other sign too, so half of the answers are wrong: no way to screen places."""
    q = turn(width, seed)
    result = align(claim(q, "left"), network(q), method=DAS(), n=2048, seed=seed, controls=CHEAP)
    found_along(result, q)
    for simpler in result.comparisons.values():
        assert isinstance(simpler, Estimate) and simpler.value < 0.7
    whole = result.comparisons["the whole place"]
    assert isinstance(whole, Estimate) and whole.low < 0.5 < whole.high


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [16, pytest.param(64, marks=pytest.mark.slow)])
def test_two_signs_at_one_place_are_found_at_once(width: int, seed: int) -> None:
    q = turn(width, seed)
    found_along(align(claim(q, *VARIABLES), network(q), method=DAS(), n=2048, seed=seed, controls=CHEAP), q)


def test_the_transformer_is_right_on_every_input_and_reads_the_signs_where_they_are_written() -> None:
    q = turn(16, 0)
    net = transformer(q)
    tokens = torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(2, 514))
    equal = tokens[:, 0] == tokens[:, 1]
    logits = net(tokens)[:, -1]
    assert torch.allclose(logits, torch.where(equal, 2.0, -2.0)[:, None] * torch.tensor([-1.0, 1.0]).double())
    place = cm.site.resid_post(0, at="last")
    written = cm.load_model(net).capture(tokens, place)[place] @ torch.from_numpy(q[:, :2])
    assert torch.allclose(written, 2.0 * tokens[:, :2].double() - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_signs_that_heads_write_are_found_in_the_residual_stream(seed: int) -> None:
    q = turn(16, seed)
    found_along(align(transformer_claim(), transformer(q), method=DAS(), n=1024, seed=seed, controls=CHEAP), q)
