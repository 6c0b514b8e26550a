"""int4: the rotation, the levels, and where each number's code lies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorplug import quantizing
from vectorplug.quantizing import LEVELS, floats_of_int4, rotated, to_int4

even_dims = st.integers(1, 70).map(lambda half: 2 * half)


def gaussian(seed, tokens, dim):
    return np.random.default_rng(seed).standard_normal((tokens, dim)).astype(np.float32)


def relative_error(floats):
    off = floats_of_int4(*to_int4(floats)).astype(np.float64) - floats
    return (off**2).sum(axis=1) / (floats.astype(np.float64) ** 2).sum(axis=1)


def test_levels_are_those_of_lloyd_and_max():
    assert np.array_equal(LEVELS, -LEVELS[::-1])
    assert (np.diff(LEVELS) > 0).all()
    # Each level is the mean of the normal numbers that are nearest to it, but for its rounding to a whole number.
    numbers = np.random.default_rng(0).standard_normal(2_000_000) * quantizing.A_DEVIATION
    codes = np.searchsorted((LEVELS[1:].astype(float) + LEVELS[:-1]) / 2, numbers)
    means = np.bincount(codes, numbers) / np.bincount(codes)
    assert np.abs(means - LEVELS).max() < 0.6


def rotation(dim):
    """[dim, dim]: each of the unit vectors, rotated."""
    return rotated(np.eye(dim, dtype=np.float32))


@pytest.mark.parametrize("dim", [2, 4, 6, 96, 128, 384, 1022, 1024])
def test_the_rotation_is_one(dim):
    turn = rotation(dim)
    assert np.allclose(turn @ turn.T, np.eye(dim), atol=1e-5)
    assert np.allclose(quantizing._turned_back(quantizing._turned(turn)), turn, rtol=0, atol=1e-12)
    # Nothing stays where it was: a lone number is spread over all.
    assert np.abs(turn).max() <= np.sqrt(2 / dim) + 1e-6


def test_the_rotation_of_what_is_stored_already_stays_the_same():
    """Files of int4 are read with it: a change needs another name in their format (multivectors.INT4_FORMAT)."""
    found = rotation(128)[[1, 5, 64, 127], [3, 77, 120, 127]]
    assert np.allclose(found, [0.12364706, -0.00613346, 0.0, -0.00613346], rtol=0, atol=1e-6)
    signs = "".join("+" if first > 0 else "-" for first in rotation(16)[:, 0])
    assert signs == "-+++-+--+-+-+---"


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dim=even_dims)
def test_inner_products_survive_the_rotation(seed, dim):
    left, right = gaussian(seed, 3, dim), gaussian(seed + 1, 4, dim)
    assert np.allclose(rotated(left) @ rotated(right).T, left @ right.T, rtol=0, atol=1e-5 * dim)


def test_byte_j_holds_the_numbers_j_and_half_the_dim_further_on():
    floats = gaussian(0, 5, 10)
    packed, scales = to_int4(floats)
    assert packed.shape == (5, 5)
    for token in range(5):
        numbers = np.zeros(10)
        for j in range(5):
            numbers[j] = LEVELS[packed[token, j] % 16] * np.float64(scales[token])
            numbers[j + 5] = LEVELS[packed[token, j] // 16] * np.float64(scales[token])
        assert np.allclose(floats_of_int4(packed, scales)[token], numbers @ rotation(10).T, atol=1e-5)
        # Each number became the level next to it, or one as near but for the last change of the scale.
        turned = floats[token] @ rotation(10)
        assert np.abs(turned - numbers).max() <= 0.5 * np.diff(LEVELS).max() * scales[token] * 1.3


@pytest.mark.parametrize("dim", [64, 128, 384])
def test_the_error_is_that_of_the_levels_whatever_the_token_looks_like(dim):
    rng = np.random.default_rng(0)
    outliers = gaussian(0, 300, dim) * np.where(rng.random(dim) < 0.03, 20, 1).astype(np.float32)
    peaks = np.eye(dim, dtype=np.float32)[rng.integers(dim, size=300)] + gaussian(1, 300, dim) * 0.01
    assert relative_error(gaussian(2, 300, dim)).mean() < 0.0098
    assert relative_error(outliers).mean() < 0.0105
    assert relative_error(peaks).mean() < 0.02
    assert relative_error(gaussian(3, 300, dim) * np.float32(1e-30)).mean() < 0.0098


def test_another_scale_is_no_nearer():
    floats = gaussian(0, 200, 64)
    packed, scales = to_int4(floats)

    def error(factor):
        return ((floats_of_int4(packed, scales * np.float32(factor)) - floats) ** 2).sum(axis=1)

    assert (error(1) <= error(1.01)).all()
    assert (error(1) <= error(0.99)).all()


def test_no_token_of_zeros_and_of_huge_numbers():
    assert to_int4(np.empty((0, 6), np.float32))[0].shape == (0, 3)
    assert floats_of_int4(np.empty((0, 3), np.uint8), np.empty(0, np.float32)).shape == (0, 6)
    floats = np.zeros((3, 8), np.float32)
    floats[1], floats[2] = np.finfo(np.float32).max, -1e-42
    again = floats_of_int4(*to_int4(floats))
    assert not again[0].any()
    assert np.isfinite(again).all()
    assert np.allclose(again[1], floats[1], rtol=0.3)


@pytest.mark.parametrize("tokens", [1, 511, 512, 513, 1030])
def test_blocks_of_tokens_leave_no_seam(tokens):
    floats = gaussian(0, 1030, 32)
    packed, scales = to_int4(floats[:tokens])
    whole = to_int4(floats)
    assert np.array_equal(packed, whole[0][:tokens])
    assert np.array_equal(scales, whole[1][:tokens])
    assert np.array_equal(floats_of_int4(packed, scales), floats_of_int4(*whole)[:tokens])


def test_a_token_has_the_same_codes_in_any_batch():
    floats = gaussian(0, 40, 48)
    whole = to_int4(floats)
    for token in range(40):
        alone = to_int4(floats[token : token + 1])
        assert np.array_equal(alone[0][0], whole[0][token])
        assert alone[1][0] == whole[1][token]
