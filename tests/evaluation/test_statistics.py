import itertools

import numpy as np
import pytest

from vectorplug.evaluation import interval, paired


def test_the_interval_covers_the_mean_19_times_of_20() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for i in range(200):
        made = interval(rng.beta(2, 1, 80), seed=i)
        assert made.low is not None
        assert made.high is not None
        covered += made.low <= 2 / 3 <= made.high
    assert 180 <= covered <= 199


def test_the_interval_is_that_of_normal_means() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    made = interval(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert made.mean == values.mean()
    assert (made.low, made.high) == pytest.approx((made.mean - half, made.mean + half), abs=0.03)
    assert made == interval(values)
    assert made != interval(values, seed=1)


def test_equal_values_and_a_single_one() -> None:
    made = interval(np.ones(50))
    assert (made.mean, made.low, made.high) == (1, 1, 1)
    alone = interval(np.array([0.25]))
    assert (alone.mean, alone.low, alone.high) == (0.25, None, None)


def test_p_is_that_of_every_exchange() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.random(10), rng.random(10)
    difference = first - second
    means = [abs(np.mean(difference * signs)) for signs in itertools.product((1, -1), repeat=10)]
    expected = np.mean([mean >= abs(difference.mean()) - 1e-12 for mean in means])
    assert paired(first, second) == pytest.approx(expected)
    assert paired(second, first) == pytest.approx(expected)


def test_p_of_what_is_equal_what_differs_and_of_one_query() -> None:
    values = np.random.default_rng(3).random(100)
    assert paired(values, values) == 1
    found = paired(values, values - 0.1)
    assert found is not None
    assert found < 0.001
    assert paired(values[:1], values[:1]) is None
