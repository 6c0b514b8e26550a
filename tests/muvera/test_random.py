"""The random sources against numbers printed by math/rand/v2 (go1.26.8) and by libstdc++ (g++ 12)."""

import numpy as np
import pytest

from vectorplug.muvera import libstdcxx_random
from vectorplug.muvera.go_random import GoPcg


def test_go_pcg():
    generator = GoPcg(1, 2)
    assert generator.uint64(3).tolist() == [0xC4F5A58656EEF510, 0x9DCEC3AD077DEC6C, 0xC8D04605312F8088]
    assert generator.float64(2).tolist() == [0.4297927436037299, 0.797802349388613]
    assert generator.signs(6).tolist() == [-1, 1, -1, 1, -1, 1]


def test_normal_distribution():
    numbers = libstdcxx_random.standard_normal(42, 20_001)
    expected = [1.2219213247299194, -0.5169641375541687, 0.8696359395980835, 0.7213326692581177, 1.5885562896728516]
    np.testing.assert_allclose(numbers[:5], expected, rtol=2e-7)
    # An odd count, and the last of thousands of tries.
    assert numbers[20_000] == pytest.approx(1.677988052368164, rel=2e-7)
    assert numbers.sum(dtype=np.float64) == pytest.approx(-165.19124465361529, abs=1e-3)


def test_normal_distribution_is_a_prefix_of_a_longer_one():
    long = libstdcxx_random.standard_normal(7, 500)
    for count in (0, 1, 2, 499):
        np.testing.assert_array_equal(libstdcxx_random.standard_normal(7, count), long[:count])


def test_count_sketch_draws_again_where_lemire_rejects():
    # 7 % of the draws for this odd range are rejected; 1,000 rows end right only if each moved the stream by one.
    columns, signs = libstdcxx_random.count_sketch(1, 1000, 2_000_000_011)
    assert columns[:5].tolist() == [834044001, 1865114732, 604665138, 472177955, 372520424]
    assert signs[:6].tolist() == [-1, 1, 1, 1, 1, -1]
    assert (columns[-1], signs[-1]) == (1348997695, -1)
    assert (columns.sum(), signs.sum()) == (981477981157, -24)


def test_seed_is_taken_modulo_32_bits():
    raw = libstdcxx_random.mt19937(3).random_raw(4)
    np.testing.assert_array_equal(libstdcxx_random.mt19937(2**32 + 3).random_raw(4), raw)
    np.testing.assert_array_equal(np.random.RandomState(3).randint(2**32, size=4, dtype=np.uint64), raw)
