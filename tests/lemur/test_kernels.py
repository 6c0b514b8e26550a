"""The map of tokens to a vector, by every path that this CPU has, against plain NumPy."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorplug.lemur import kernels
from vectorplug.maxsim.choosing import supported_paths

SETTING = "VECTORPLUG_MAXSIM"
# All but "amx" go by the same tiles of float32.
paths = pytest.mark.parametrize("path", [path for path in supported_paths() if path in ("amx", "plain")])


def mapped(path, values, offsets, directions, thresholds, projection):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SETTING, path)
        packed = kernels.pack_map(directions, thresholds, projection)
    assert packed.on_amx == (path == "amx")
    vectors = np.full((len(offsets) - 1, projection.shape[1]), np.nan, np.float32)
    return vectors, kernels.mapped(values, offsets, packed, vectors)


def bfloat16(numbers):
    return numbers.astype(ml_dtypes.bfloat16).astype(np.float32)


@paths
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    dim=st.sampled_from([1, 5, 16, 31, 48, 129]),
    features=st.sampled_from([1, 63, 64, 65, 130]),
    size=st.sampled_from([1, 15, 64, 70]),
    seed=st.integers(0, 1000),
)
def test_every_path_is_plain_arithmetic(path, lengths, dim, features, size, seed):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.standard_normal((offsets[-1], dim), np.float32)
    directions = bfloat16(rng.standard_normal((features, dim), np.float32))
    thresholds = rng.standard_normal(features, np.float32)
    projection = rng.standard_normal((features + dim, size), np.float32)
    vectors, finite = mapped(path, values, offsets, directions, thresholds, projection)
    assert finite
    wide = np.maximum(bfloat16(values).astype(float) @ directions.T - thresholds, 0)
    sums = np.array([np.r_[wide[a:b].sum(0), values[a:b].sum(0)] for a, b in itertools.pairwise(offsets)])
    sizes = np.abs(sums) @ np.abs(projection) + np.sqrt(dim * features)
    np.testing.assert_allclose(vectors / sizes, sums @ projection / sizes, atol=3e-6)


@paths
def test_tokens_are_rounded_to_the_nearest_and_ties_to_even(path):
    bits = np.random.default_rng(0).integers(0x3F000000, 0x41000000, 4096, np.uint32)
    bits[:64] = (bits[:64] & 0xFFFF0000) | 0x8000
    values = bits.view(np.float32).reshape(-1, 32)
    one_each = np.arange(len(values) + 1)
    projection = np.concatenate([np.eye(32), np.zeros((32, 32))]).astype(np.float32)
    vectors, _ = mapped(path, values, one_each, np.eye(32, dtype=np.float32), np.zeros(32, np.float32), projection)
    np.testing.assert_array_equal(vectors, bfloat16(values))


@paths
@pytest.mark.parametrize("dim", [16, 21])
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_any_number_that_is_not_finite_is_seen(path, dim, broken):
    rng = np.random.default_rng(0)
    map_ = np.ones((3, dim), np.float32), np.zeros(3, np.float32), np.ones((3 + dim, 2), np.float32)
    values = rng.standard_normal((20, dim), np.float32)
    assert mapped(path, values, np.array([0, 9, 20]), *map_)[1]
    for place in [(0, 0), (0, dim - 1), (19, 0), (19, dim - 1), (8, 7)]:
        wrong = values.copy()
        wrong[place] = broken
        assert not mapped(path, wrong, np.array([0, 9, 20]), *map_)[1]


@paths
def test_the_same_bits_by_many_tasks(path, monkeypatch):
    rng = np.random.default_rng(0)
    map_ = bfloat16(rng.standard_normal((70, 24))), np.zeros(70, np.float32), rng.standard_normal((94, 40), np.float32)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 9, 60))])
    values = rng.standard_normal((offsets[-1], 24), np.float32)
    whole, _ = mapped(path, values, offsets, *map_)
    monkeypatch.setattr(kernels, "TOKENS_A_TASK", 7)
    np.testing.assert_array_equal(mapped(path, values, offsets, *map_)[0], whole)
    values[-1, -1] = np.nan
    assert not mapped(path, values, offsets, *map_)[1]
