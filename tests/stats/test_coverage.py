"""Every interval covers the truth as often as it says, in 1000 simulated studies of each kind."""

from collections.abc import Callable

import numpy as np
import pytest

from causalmi.stats.equivalence import sign_tost, tost
from causalmi.stats.estimate import Estimate
from causalmi.stats.intervals import difference, proportion
from causalmi.stats.means import mean, ratio
from causalmi.stats.ratios import ratio_bootstrap, ratio_delta
from causalmi.stats.resampling import bootstrap
from causalmi.stats.sequential import betting_sequence, empirical_bernstein

STUDIES, DRAWS, ALONE, UNITS = 1000, 999, np.arange(100), np.repeat(np.arange(60), 4)
MANY = np.repeat(np.arange(200), 2)  # a bootstrap of 60 is short by about one in a hundred

Study = Callable[[np.random.Generator], Estimate | None]


def shared(rng: np.random.Generator, clusters: np.ndarray, columns: int = 1) -> np.ndarray:
    """Normal values of deviation 1, half of whose variance a cluster shares; those of ALONE share nothing."""
    size = columns, len(clusters)
    return np.sqrt(0.5) * (rng.normal(size=size)[:, clusters] + rng.normal(size=size))


def hits(rng: np.random.Generator, clusters: np.ndarray, p: float) -> np.ndarray:
    """Hits at a rate p, that of each cluster beta-distributed around it."""
    rates = rng.beta(3 * p, 3 * (1 - p), size=clusters.max() + 1)
    return rng.random(len(clusters)) < (rates[clusters] if clusters.max() + 1 < len(clusters) else p)


def pair(rng: np.random.Generator, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Top and bottom with the means 1.2 and 4, correlated at 0.7 or so."""
    bottom, noise = shared(rng, clusters, 2)
    return 1.2 + 0.5 * bottom + 0.5 * noise, bottom + 4


def coverage(study: Study, truth: float) -> float:
    rng = np.random.default_rng(0)
    found = [study(rng) for _ in range(STUDIES)]
    assert all(e is not None for e in found)
    return float(np.mean([e.low <= truth <= e.high for e in found]))


EXACT: dict[str, tuple[Study, float]] = {
    "proportion": (lambda g: proportion(hits(g, ALONE, 0.8)), 0.8),
    "proportion, clusters": (lambda g: proportion(hits(g, UNITS, 0.8), UNITS), 0.8),
    "difference": (lambda g: difference(proportion(hits(g, ALONE, 0.8)), proportion(hits(g, ALONE, 0.55))), 0.25),
    "difference, clusters": (
        lambda g: difference(proportion(hits(g, UNITS, 0.8), UNITS), proportion(hits(g, UNITS, 0.55), UNITS)),
        0.25,
    ),
    "mean": (lambda g: mean(shared(g, ALONE[:15])[0]), 0),
    "mean, clusters": (lambda g: mean(shared(g, UNITS)[0], UNITS), 0),
    "fieller": (lambda g: ratio(*pair(g, ALONE)), 0.3),
    "fieller, clusters": (lambda g: ratio(*pair(g, UNITS), UNITS), 0.3),
    "delta": (lambda g: ratio_delta(*pair(g, ALONE)), 0.3),
    "delta, clusters": (lambda g: ratio_delta(*pair(g, UNITS), UNITS), 0.3),
    "ratio, bootstrap": (lambda g: ratio_bootstrap(*pair(g, ALONE), seed=g.integers(2**31), draws=DRAWS), 0.3),
    "ratio, bootstrap, clusters": (
        lambda g: ratio_bootstrap(*pair(g, MANY), MANY, seed=g.integers(2**31), draws=DRAWS),
        0.3,
    ),
    "bca": (lambda g: bootstrap(g.exponential(size=100), seed=g.integers(2**31), draws=DRAWS), 1),
    "bca, clusters": (lambda g: bootstrap(shared(g, MANY)[0], clusters=MANY, seed=g.integers(2**31), draws=DRAWS), 0),
    "percentile": (
        lambda g: bootstrap(g.normal(size=100), seed=g.integers(2**31), draws=DRAWS, method="percentile"),
        0,
    ),
    "percentile, median": (
        lambda g: bootstrap(
            g.exponential(size=100), np.median, seed=g.integers(2**31), draws=DRAWS, method="percentile"
        ),
        np.log(2),
    ),
}

# Wider than they need be, by what they do not assume; those of the tests of equivalence have the level 90 %.
AT_LEAST: dict[str, tuple[Study, float, float]] = {
    "bernstein": (lambda g: empirical_bernstein(g.beta(1, 4, size=100)), 0.2, 0.95),
    "signs": (lambda g: sign_tost(g.normal(0.2, 1, size=60)).estimate, 0.579260, 0.90),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_it_covers(name: str) -> None:
    assert coverage(*EXACT[name]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_LEAST)
def test_it_covers_at_least(name: str) -> None:
    study, truth, level = AT_LEAST[name]
    assert coverage(study, truth) >= level - 0.01


@pytest.mark.slow
def test_that_of_the_equivalence_test_covers() -> None:
    assert coverage(lambda g: tost(g.normal(size=30), 1).estimate, 0) == pytest.approx(0.90, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.5, 0.95])
def test_the_betting_interval_covers_at_all_looks_at_once(rate: float) -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(STUDIES):
        ends = betting_sequence(rng.random(300) < rate)
        held += bool(((ends[:, 0] <= rate) & (rate <= ends[:, 1])).all())
    assert held / STUDIES >= 0.95 - 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mean", "fieller", "delta", "bca", "proportion"])
def test_without_clusters_it_would_not(name: str) -> None:
    """The same intervals, blind to clusters, are too short: the studies above can tell."""
    blind: dict[str, tuple[Study, float]] = {
        "mean": (lambda g: mean(shared(g, UNITS)[0]), 0),
        "fieller": (lambda g: ratio(*pair(g, UNITS)), 0.3),
        "delta": (lambda g: ratio_delta(*pair(g, UNITS)), 0.3),
        "bca": (lambda g: bootstrap(shared(g, UNITS)[0], seed=g.integers(2**31), draws=199), 0),
        "proportion": (lambda g: proportion(hits(g, UNITS, 0.8)), 0.8),
    }
    assert coverage(*blind[name]) < 0.9
