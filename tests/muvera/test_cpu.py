"""The kernels against the plain reference, and what they promise beyond it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from muvera import closeness
from muvera.random_tokens import gaussian_tokens, repeated_tokens

from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera, cpu
from vectorplug.muvera.simd import LANES, ROWS, SUM_WIDTH

dialects = st.sampled_from(["fastembed", "google", "weaviate"])

# Both repetitions hold the mean of all tokens, and the last sketch adds up the one and takes away the other.
CANCELLING = Muvera(dim=2, repetitions=2, ksim=0, dproj=None, fill=False, final_dim=1, unit_norm=True)


def assert_equals_reference(muvera, tokens):
    documents, queries = muvera.encode_documents(tokens), muvera.encode_queries(tokens)
    closeness.assert_equals_reference(muvera, tokens, documents, queries, relative=1e-4, absolute=2e-5)


@st.composite
def muveras(draw):
    dim = draw(st.sampled_from([1, 2, 3, 7, 15, 16, 17, 33, 64, 70]))
    ksim = draw(st.integers(0, 7))
    repetitions = draw(st.integers(1, 5))
    dproj = draw(st.none() | st.integers(1, dim))
    full = repetitions * 2**ksim * (dproj or dim)
    return Muvera(
        dim=dim,
        repetitions=repetitions,
        ksim=ksim,
        dproj=dproj,
        dialect=draw(dialects),
        fill=draw(st.booleans()),
        final_dim=draw(st.none() | st.integers(1, full)),
        unit_norm=draw(st.booleans()),
    )


@settings(max_examples=120, deadline=None)
@given(
    muvera=muveras(),
    lengths=st.lists(st.integers(1, 40), max_size=4),
    make=st.sampled_from([gaussian_tokens, repeated_tokens]),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from(["float32", "float16", "bfloat16", "int8"]),
)
@example(muvera=Muvera(dim=128), lengths=[1, 128, 2], make=gaussian_tokens, seed=0, dtype="float32")
@example(muvera=CANCELLING, lengths=[3], make=gaussian_tokens, seed=0, dtype="float16")
def test_equals_reference(muvera, lengths, make, seed, dtype):
    assert_equals_reference(muvera, make(seed, lengths, muvera.dim).astype(dtype))


@pytest.mark.parametrize("ksim", [8, 9, 10])
@pytest.mark.parametrize("dialect", ["fastembed", "google", "weaviate"])
def test_large_ksim_equals_reference(dialect, ksim):
    muvera = Muvera(dim=24, repetitions=2, ksim=ksim, dproj=5, dialect=dialect)
    assert_equals_reference(muvera, gaussian_tokens(ksim, [1, 50, 300], 24))


@pytest.mark.parametrize("length", [1, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 1])
@pytest.mark.parametrize("dim", [LANES - 1, SUM_WIDTH - 1, SUM_WIDTH, SUM_WIDTH + 1, 3 * SUM_WIDTH, 1024])
def test_edges_of_the_tiles(length, dim):
    muvera = Muvera(dim=dim, repetitions=7, ksim=3, dproj=min(dim, LANES + 1))
    assert_equals_reference(muvera, gaussian_tokens(length, [length, length], dim))


def test_no_document():
    muvera = Muvera(dim=8, dproj=4)
    for none in (MultiVectors.from_list([]), MultiVectors.from_list([], dim=8)):
        assert muvera.encode_documents(none).shape == (0, muvera.size)
        assert muvera.encode_queries(none, dtype="float16").dtype == np.float16


def test_unfilled_blocks_are_zero_and_filled_ones_are_the_nearest_token():
    tokens = gaussian_tokens(0, [1], 16)
    options = {"dim": 16, "repetitions": 3, "ksim": 4, "dproj": None}
    empty = Muvera(fill=False, **options).encode_documents(tokens).reshape(3, 16, 16)
    assert ((empty != 0).any(axis=2).sum(axis=1) == 1).all()
    filled = Muvera(fill=True, **options).encode_documents(tokens).reshape(3, 16, 16)
    np.testing.assert_array_equal(filled, np.broadcast_to(tokens[0][0], (3, 16, 16)))


def tokens_on_a_plane(muvera):
    """Tokens whose float32 product with some plane has a sign of chance: projected onto it in float64."""
    planes = muvera.matrices.planes.reshape(-1, muvera.dim)
    tokens = np.random.default_rng(0).standard_normal((len(planes), muvera.dim))
    products = (tokens * planes).sum(axis=1, keepdims=True)
    tokens -= products * planes / (planes**2).sum(axis=1, keepdims=True)
    return MultiVectors.from_list([tokens.astype(np.float32)])


@pytest.mark.parametrize("scale", [1e-43, 1e-20, 1, 1e15, 3e37])
def test_sign_bits_are_those_of_float64(scale):
    muvera = Muvera(dim=96, repetitions=20, ksim=5, dproj=None, fill=False)
    tokens = tokens_on_a_plane(muvera)
    planes = muvera.matrices.planes.reshape(-1, muvera.dim)
    products = tokens.values.astype(np.float64) @ planes.T
    wrong = (tokens.values @ planes.astype(np.float32).T > 0) != (products > 0)
    assert wrong.any(), "these tokens should be hard for float32"

    values = tokens.values * np.float32(scale)
    codes = (values.astype(np.float64) @ planes.T > 0).reshape(-1, 20, 5) @ (1 << np.arange(5))
    each = MultiVectors(values, np.arange(len(values) + 1))
    blocks = muvera.encode_queries(each).reshape(len(values), 20, 32, 96)
    np.testing.assert_array_equal((blocks != 0).any(axis=3).argmax(axis=2), codes)


@pytest.mark.parametrize("final_dim", [None, 50])
@pytest.mark.parametrize("dialect", ["fastembed", "google", "weaviate"])
def test_unit_norm_is_that_of_the_last_vector_and_changes_nothing_else(dialect, final_dim):
    options = {"dim": 24, "repetitions": 5, "ksim": 3, "dproj": 7, "dialect": dialect, "final_dim": final_dim}
    plain, unit = Muvera(**options), Muvera(**options, unit_norm=True)
    # Norms of which some are no float32, and few numbers of which fit float16 unless they are divided by them.
    tokens = gaussian_tokens(3, [9, 1, 40], 24)
    tokens = MultiVectors.from_list([tokens[0] * np.float32(1e-25), tokens[1], tokens[2] * np.float32(1e25)])
    encoded, divided = unit.encode_documents(tokens), plain.encode_documents(tokens).astype(np.float64)
    divided /= np.linalg.norm(divided, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(encoded.astype(np.float64), axis=1), 1, rtol=1e-7)
    np.testing.assert_allclose(encoded, divided, rtol=1e-6)
    half = unit.encode_documents(tokens, dtype="float16")
    np.testing.assert_array_equal(half, encoded.astype(np.float16))
    np.testing.assert_array_equal(unit.encode_queries(tokens), plain.encode_queries(tokens))


def test_a_vector_of_zeros_stays_so():
    tokens = MultiVectors.from_list([np.zeros((3, 16), np.float32), np.ones((2, 16), np.float32)])
    for fill in (True, False):
        encoded = Muvera(dim=16, repetitions=3, ksim=2, dproj=4, fill=fill, unit_norm=True).encode_documents(tokens)
        assert not encoded[0].any()
        assert np.linalg.norm(encoded[1]) == pytest.approx(1)


@pytest.mark.parametrize("unit_norm", [False, True])
def test_a_document_has_the_same_bits_in_any_batch(unit_norm):
    muvera = Muvera(dim=40, repetitions=6, ksim=4, dproj=9, unit_norm=unit_norm)
    tokens = gaussian_tokens(5, [3, 90, 1, 17, 64], 40)
    together = muvera.encode_documents(tokens)
    for i in range(len(tokens)):
        np.testing.assert_array_equal(muvera.encode_documents(tokens[i : i + 1])[0], together[i])
    np.testing.assert_array_equal(muvera.encode_documents(tokens[::-1]), together[::-1])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_threads_change_nothing(monkeypatch, dtype):
    muvera = Muvera(dim=32, repetitions=4, ksim=4, dproj=8, unit_norm=True)
    tokens = gaussian_tokens(6, [40] * 700, 32)
    assert len(cpu._tasks(tokens.offsets, muvera.size)) > 3
    monkeypatch.setattr(cpu, "thread_limit", lambda: 1)
    alone = muvera.encode_documents(tokens, dtype=dtype)
    monkeypatch.setattr(cpu, "thread_limit", lambda: 3)
    np.testing.assert_array_equal(muvera.encode_documents(tokens, dtype=dtype), alone)


@pytest.mark.parametrize("size", [1, 10_240, 10_000_000])
@pytest.mark.parametrize("lengths", [[1], [20_000], [1, 20_000, 1], [1] * 30_000, [8192] * 3])
def test_tasks_cover_every_document_once(lengths, size):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tasks = cpu._tasks(offsets, size)
    assert [i for task in tasks for i in range(task.start, task.stop)] == list(range(len(lengths)))


def test_concurrent_calls_equal_sequential_ones():
    calls = [
        (Muvera(dim=32, repetitions=3 + i % 4, ksim=i % 6, dproj=8, dialect=dialect), gaussian_tokens(i, [9] * 300, 32))
        for i, dialect in enumerate(["fastembed", "google", "weaviate"] * 4)
    ]
    sequential = [muvera.encode_documents(tokens) for muvera, tokens in calls]
    with ThreadPoolExecutor(4) as pool:
        concurrent = list(pool.map(lambda call: call[0].encode_documents(call[1]), calls * 3))
    for encoded, expected in zip(concurrent, sequential * 3, strict=True):
        np.testing.assert_array_equal(encoded, expected)


def test_read_only_and_unaligned_tokens():
    muvera = Muvera(dim=12, repetitions=2, ksim=3, dproj=4)
    tokens = gaussian_tokens(1, [5, 3], 12)
    expected = muvera.encode_documents(tokens)
    shifted = np.frombuffer(b"x" + tokens.values.tobytes(), np.uint8)[1:].view(np.float32).reshape(8, 12)
    assert not shifted.flags.writeable
    np.testing.assert_array_equal(muvera.encode_documents(MultiVectors(shifted, tokens.offsets)), expected)
