"""Every number that a dtype has, the largest sums, and the query's numbers in pieces."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vectorplug.maxsim import maxsim, packing, reference
from vectorplug.maxsim.choosing import supported_paths
from vectorplug.multivectors import MultiVectors

PATHS = supported_paths()
pytestmark = pytest.mark.usefixtures("kernels_of_any_size")
TINY = np.finfo(np.float32).tiny


def floats(width=32, largest=None):
    return st.floats(-largest if largest else None, largest, width=width, allow_nan=False, allow_infinity=False)


def tokens(elements):
    return arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 40)), elements=elements)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("dim", [1, 64])
def test_every_number_of_16_bits_counts_as_what_it_is(monkeypatch, path, dtype, dim):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
    numbers = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    with np.errstate(invalid="ignore"):
        numbers = numbers[np.isfinite(numbers)]
    expected = numbers.astype(np.float32)
    if path == "amx" and dtype is ml_dtypes.bfloat16:
        expected[np.abs(expected) < TINY] = 0
    values = np.zeros((len(numbers), dim), dtype)
    values[:, -1] = numbers
    query = np.ones((1, dim), np.float32)
    for length in (1, 16):
        # All tokens of a document are one number, so that each is a maximum.
        documents = MultiVectors(np.repeat(values, length, axis=0), length * np.arange(len(numbers) + 1))
        assert np.array_equal(maxsim(query, documents), expected)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("dim", [1, 128])
def test_every_pair_of_pieces_is_multiplied(monkeypatch, path, dtype, dim):
    """Numbers of 11 bits, in two pieces each: their products have 22, so float32 holds them as they are."""
    monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
    stored, asked = (1 + np.random.default_rng(0).integers(1, 1024, (2, 300)) / 1024).astype(np.float32)
    documents = MultiVectors(stored[:, None] * np.eye(1, dim, dtype=np.float32), np.arange(301)).astype(dtype)
    for number in asked[:50]:
        assert np.array_equal(maxsim(np.full((1, dim), number), documents), stored * number)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@settings(deadline=None)
@given(data=st.data(), dim=st.integers(1, 140), size=st.sampled_from([2.0**-40, 1.0, 2.0**14]))
def test_tokens_whose_numbers_differ_much_in_size(path, dtype, data, dim, size):
    """The bound that the docstring of maxsim gives, also where products cancel."""
    elements = st.floats(-size, size, width=32)
    token, asked = (data.draw(arrays.arrays(np.float32, (1, dim), elements=elements)) for _ in range(2))
    documents = MultiVectors(token, [0, 1]).astype(dtype)
    stored = documents[0].astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VECTORPLUG_MAXSIM", path)
        score = float(maxsim(asked, documents)[0])
    bound = (dim + 2) * 2.0**-23 * float((np.abs(asked) @ np.abs(stored).T)[0, 0])
    if path == "amx" and dtype != "float32":  # of three pieces and of their products, each may count as zero
        bound += float(TINY) * 3 * (np.abs(asked).sum() + np.abs(stored).sum() + 2 * dim)
    bound += dim * float(np.finfo(np.float32).smallest_subnormal)
    assert abs(score - float((asked.astype(np.float64) @ stored.T)[0, 0])) <= bound


@pytest.mark.parametrize("path", PATHS)
def test_every_int8_and_its_scale(monkeypatch, path):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
    numbers = np.arange(-128, 128, dtype=np.int8)[:, None]
    scales = (np.arange(256) + 1).astype(np.float32) / 8
    documents = MultiVectors(numbers, np.arange(257), scales)
    assert np.allclose(maxsim([[1.0]], documents), numbers[:, 0] * scales, rtol=1e-6, atol=0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dim", [512, 516, 517, 1024, 1 << 16])
@pytest.mark.parametrize(("asked", "stored"), [(1.0, 127), (-1.0, 127), (1.0, -128), (-1.0, -128)])
def test_the_largest_sums_of_int8_do_not_overflow(monkeypatch, path, dim, asked, stored):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
    documents = MultiVectors(np.full((17, dim), stored, np.int8), [0, 1, 17], np.ones(17, np.float32))
    assert np.allclose(maxsim(np.full((3, dim), asked), documents), 3 * asked * stored * dim, rtol=1e-3, atol=0)


@given(tokens(floats()))
@example(np.float32([[3.4028235e38, -3.4028235e38, 0.0, 1.0]]))
def test_three_bfloat16_pieces_hold_every_query_number(query):
    pieces = packing.bfloat16_pieces(query, 3).view(ml_dtypes.bfloat16).astype(np.float64)
    # Beyond the smallest bfloat16 there is nothing to hold it with.
    assert np.allclose(pieces.sum(axis=0), query, rtol=0, atol=float(TINY))
    assert len(pieces) <= 3


@given(tokens(floats(largest=2.0**100)))
def test_two_bfloat16_pieces_are_off_by_17_bits(query):
    pieces = packing.bfloat16_pieces(query, 2).view(ml_dtypes.bfloat16).astype(np.float64)
    assert (np.abs(pieces.sum(axis=0) - query) <= 2.0**-17 * np.abs(query) + TINY).all()


def test_pieces_that_would_be_zero_are_left_out():
    query = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    for dtype, count in ((ml_dtypes.bfloat16, 1), (np.float16, 2), (np.float32, 3)):
        assert len(packing.bfloat16_pieces(query.astype(dtype).astype(np.float32), 3)) == count


@given(tokens(floats(largest=2.0**100)))
@example(np.zeros((1, 3), np.float32))
@example(np.ones((1, 1 << 16), np.float32))
@example(np.float32([[1e-44, 1e-40]]))
def test_queries_rounded_to_16_bits(query):
    whole, scales = packing.rounded(query)
    sizes = np.abs(query.astype(np.float64))
    step = np.maximum(sizes.max(axis=1) / 65_000, sizes.sum(axis=1) / 33e6)
    off = np.abs(whole * scales.astype(np.float64)[:, None] - query).max(axis=1)
    assert (off <= np.maximum(step, TINY)).all()
    assert np.abs(whole).max() <= 127 * 256 + 127
    assert (128 * np.abs(whole.astype(np.int64)).sum(axis=1) < 2**31).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_queries_of_all_sizes(monkeypatch, path, dtype):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
    rng = np.random.default_rng(0)
    documents = MultiVectors.from_list([rng.standard_normal((20, 48)) for _ in range(3)]).astype(dtype)
    for size in (1e-30, 1e-10, 1.0, 1e10, 1e30):
        query = (rng.standard_normal((5, 48)) * size).astype(np.float32)
        assert np.allclose(maxsim(query, documents), reference.maxsim(query, documents), rtol=3e-6, atol=0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("dim", "off"), [(1, 0.0), (127, 0.0), (128, 2.0**-17)])
def test_no_bit_of_the_query_is_lost_where_it_would_be_seen(monkeypatch, path, dtype, dim, off):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
    documents = MultiVectors.from_list([np.eye(1, dim, dtype=np.float32)]).astype(dtype)
    numbers = np.random.default_rng(0).uniform(1, 2, 200).astype(np.float32)
    for number in numbers:
        assert abs(maxsim(np.full((1, dim), number), documents)[0] - number) <= off * number
