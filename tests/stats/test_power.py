"""Sample sizes are those of the formulas, and reach what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from causalmi.errors import DataError
from causalmi.stats.intervals import proportion
from causalmi.stats.power import power_by_simulation, rule_of_three, sample_size_mean, sample_size_proportion


def test_the_sizes_of_the_recipes() -> None:
    assert sample_size_proportion(0.02) == 2401 and sample_size_proportion(0.02, p=0.95) == 457
    assert sample_size_proportion(0.02, level=0.99) == 4147
    assert sample_size_mean(0.1, 2.0) == int(np.ceil((1.959964 * 2 / 0.1) ** 2)) == 1537


@given(st.integers(1, 99), st.integers(1, 40))
def test_the_size_is_the_least_that_is_enough(percent: int, thousandths: int) -> None:
    p, half = percent / 100, thousandths / 1000
    n, z = sample_size_proportion(half, p), stats.norm.ppf(0.975)
    assert z * np.sqrt(p * (1 - p) / n) <= half * (1 + 1e-9)
    assert n == 1 or z * np.sqrt(p * (1 - p) / (n - 1)) > half * (1 - 1e-9)
    assert n <= sample_size_proportion(half)


def test_wilsons_interval_at_that_size_is_as_narrow_as_asked() -> None:
    for p in (0.5, 0.95):
        n = sample_size_proportion(0.02, p)
        e = proportion(np.arange(n) < round(p * n))
        assert (e.high - e.low) / 2 == pytest.approx(0.02, rel=0.02)


def test_rule_of_three_is_just_above_the_exact_bound() -> None:
    assert rule_of_three(300) == 0.01 and rule_of_three(1) == 1
    for n in (5, 30, 1000):
        exact = stats.binomtest(0, n).proportion_ci(0.9, "exact").high  # one-sided 95 %
        assert exact < rule_of_three(n) < 1.4 * exact
    assert rule_of_three(1000) == pytest.approx(stats.binomtest(0, 1000).proportion_ci(0.9, "exact").high, rel=0.01)


def test_power_is_that_of_scipy_and_of_theory() -> None:
    """A two-sided t-test of 20 normal values with mean 0.6: power from the noncentral t."""

    def p_value(x: np.ndarray) -> float:
        return float(stats.ttest_1samp(x, 0).pvalue)

    e = power_by_simulation(p_value, lambda g: g.normal(0.6, 1, size=20), seed=0, draws=500)
    critical = stats.t.ppf(0.975, 19)
    exact = stats.nct.sf(critical, 19, 0.6 * np.sqrt(20)) + stats.nct.cdf(-critical, 19, 0.6 * np.sqrt(20))
    assert e.low < exact < e.high and e.n == 500
    rng = np.random.default_rng(1)
    other = stats.power(
        lambda x, axis: stats.ttest_1samp(x, 0, axis=axis).pvalue,
        lambda size: rng.normal(0.6, 1, size),
        20,
        significance=0.05,
        vectorized=True,
    )
    assert float(other.power) == pytest.approx(e.value, abs=4 * np.sqrt(0.25 / 500))
    assert e == power_by_simulation(p_value, lambda g: g.normal(0.6, 1, size=20), seed=0, draws=500)


def test_without_an_effect_it_is_the_rate_of_false_alarms() -> None:
    e = power_by_simulation(lambda p: p, lambda g: g.random(), seed=0, alpha=0.1, draws=2000)
    assert e.low < 0.1 < e.high


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_bad_input_is_refused(bad: float) -> None:
    with pytest.raises(DataError, match="half width"):
        sample_size_proportion(bad)
    with pytest.raises(DataError, match="sd is"):
        sample_size_mean(0.1, bad)
    with pytest.raises(DataError, match="n is"):
        rule_of_three(bad)
    for wrong in ({"p": bad}, {"level": bad}, {"p": 1}):
        with pytest.raises(DataError, match="between 0 and 1"):
            sample_size_proportion(0.1, **wrong)
    with pytest.raises(DataError, match="or NaN"):
        power_by_simulation(lambda x: float("nan"), lambda g: 0, seed=0, draws=3)
    with pytest.raises(DataError, match="give a number from 1"):
        power_by_simulation(lambda x: 1, lambda g: 0, seed=0, draws=0)
