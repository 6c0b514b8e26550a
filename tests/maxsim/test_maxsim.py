import importlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vectorplug.errors import InputError
from vectorplug.maxsim import maxsim, reference
from vectorplug.maxsim.choosing import supported_paths
from vectorplug.multivectors import MultiVectors
from vectorplug.quantizing import LEVELS, rotated

DTYPES = ["float32", "float16", "bfloat16", "int8"]
PATHS = supported_paths()
pytestmark = pytest.mark.usefixtures("kernels_of_any_size")

lengths = st.lists(st.integers(1, 60), max_size=6)
seeds = st.integers(0, 2**32 - 1)


def random_documents(seed, lengths, dim, *, dtype="float32", shift=0.0):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((length, dim), dtype=np.float32) + np.float32(shift) for length in lengths]
    return MultiVectors.from_list(arrays, dim=dim).astype(dtype)


def random_query(seed, tokens, dim, *, shift=0.0):
    return np.random.default_rng([seed, 1]).standard_normal((tokens, dim), dtype=np.float32) + np.float32(shift)


def assert_matches_reference(scores, query, documents, path):
    """The bound that the docstring of maxsim gives for an inner product, and the rounding of the sum over tokens."""
    sizes = MultiVectors.from_list([np.abs(d.astype(np.float32)) for d in documents], dim=documents.dim)
    query_sizes = np.abs(query)
    terms = query.shape[0] + query.shape[1] + 2
    bound = terms * np.finfo(np.float32).eps * reference.maxsim(query_sizes, sizes)
    if documents.dtype == np.int8 and path != "plain":
        rounding = np.maximum(query_sizes.max(axis=1) / 65_000, query_sizes.sum(axis=1) / 33e6).sum()
        bound += rounding * np.array([size.sum(axis=1).max() for size in sizes], np.float32)
    expected = reference.maxsim(query, documents)
    assert scores.dtype == np.float32
    assert scores.shape == expected.shape
    assert (np.abs(scores - expected) <= bound).all()


@contextmanager
def forced(path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VECTORPLUG_MAXSIM", path)
        yield


def test_reference_on_numbers_worked_by_hand():
    documents = MultiVectors.from_list([[[1.0, 0.0], [0.0, 2.0]], [[-1.0, -1.0]]])
    # Document 0: max(1, 4) + max(-3, 0); document 1: -3 and +3.
    assert reference.maxsim([[1.0, 2.0], [-3.0, 0.0]], documents).tolist() == [4.0, 0.0]
    assert reference.maxsim([[1.0, 2.0]], documents).tolist() == [4.0, -3.0]


@pytest.mark.parametrize("path", PATHS)
@settings(deadline=None)
@given(seed=seeds, lengths=lengths, dim=st.integers(1, 200), tokens=st.integers(1, 70), dtype=st.sampled_from(DTYPES))
@example(seed=0, lengths=[], dim=128, tokens=32, dtype="float32")
@example(seed=0, lengths=[1], dim=1, tokens=1, dtype="float32")
@example(seed=0, lengths=list(range(1, 61)), dim=33, tokens=33, dtype="float32")
@example(seed=0, lengths=list(range(1, 61)), dim=1024, tokens=2, dtype="float16")
@example(seed=0, lengths=list(range(1, 61)), dim=128, tokens=33, dtype="float16")
@example(seed=0, lengths=list(range(1, 61)), dim=96, tokens=64, dtype="float16")
@example(seed=0, lengths=list(range(1, 61)), dim=128, tokens=33, dtype="bfloat16")
@example(seed=0, lengths=list(range(1, 61)), dim=96, tokens=64, dtype="bfloat16")
@example(seed=0, lengths=list(range(1, 61)), dim=1024, tokens=65, dtype="int8")
@example(seed=0, lengths=list(range(1, 61)), dim=1023, tokens=1, dtype="int8")
def test_every_path_equals_the_reference(path, seed, lengths, dim, tokens, dtype):
    documents = random_documents(seed, lengths, dim, dtype=dtype)
    query = random_query(seed, tokens, dim)
    with forced(path):
        assert_matches_reference(maxsim(query, documents), query, documents, path)


@pytest.mark.parametrize("path", PATHS)
@settings(deadline=None, max_examples=40)
@given(seed=seeds, lengths=lengths, dim=st.integers(1, 40), tokens=st.integers(1, 70), dtype=st.sampled_from(DTYPES))
@example(seed=0, lengths=[1, 12, 13, 60], dim=128, tokens=32, dtype="float32")
@example(seed=0, lengths=[1, 15, 16, 33], dim=128, tokens=31, dtype="bfloat16")
@example(seed=0, lengths=[1, 15, 16, 33], dim=128, tokens=31, dtype="int8")
def test_negative_maxima_stay_negative(path, seed, lengths, dim, tokens, dtype):
    query = random_query(seed, tokens, dim, shift=9.0)
    documents = random_documents(seed, lengths, dim, shift=-9.0, dtype=dtype)
    with forced(path):
        scores = maxsim(query, documents)
    assert (scores < 0).all()
    assert_matches_reference(scores, query, documents, path)


@pytest.mark.parametrize("path", PATHS)
@settings(deadline=None, max_examples=40)
@given(
    seed=seeds,
    lengths=lengths,
    query_lengths=st.lists(st.integers(1, 70), max_size=5),
    dim=st.integers(1, 50),
    dtype=st.sampled_from(DTYPES),
)
def test_a_multivectors_of_queries_gives_one_row_each(path, seed, lengths, query_lengths, dim, dtype):
    documents = random_documents(seed, lengths, dim, dtype=dtype)
    queries = random_documents(seed + 1, query_lengths, dim)
    with forced(path):
        scores = maxsim(queries, documents)
    assert scores.shape == (len(queries), len(documents))
    for row, query in zip(scores, queries, strict=True):
        assert_matches_reference(row, query, documents, path)


@pytest.mark.parametrize("path", PATHS)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), seed=seeds, lengths=lengths.filter(len), dtype=st.sampled_from(DTYPES))
def test_candidates_are_scored_in_their_order_repeats_included(path, data, seed, lengths, dtype):
    documents = random_documents(seed, lengths, 19, dtype=dtype)
    ids = data.draw(st.lists(st.integers(0, len(documents) - 1), max_size=12))
    query = random_query(seed, 35, 19)
    with forced(path):
        one, several = maxsim(query, documents, candidates=ids), maxsim(documents, documents, candidates=ids)
        assert np.array_equal(several, maxsim(documents, documents)[:, ids])
    assert_matches_reference(one, query, documents.take(ids), path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [*DTYPES, "int4"])
@pytest.mark.parametrize("candidates", [None, np.arange(999, -1, -2)])
def test_tokens_are_not_copied(path, dtype, candidates):
    documents = random_documents(0, [50] * 1000, 32, dtype=dtype)
    query = random_query(0, 4, 32)
    with forced(path):
        maxsim(query, documents)
        tracemalloc.start()
        try:
            maxsim(query, documents, candidates=candidates)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert documents.nbytes >= 1_000_000
    assert peak < 200_000


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [*DTYPES, "int4"])
def test_memory_mapped_documents(tmp_path: Path, path, dtype):
    documents = random_documents(0, [3, 14, 15, 92, 6], 54, dtype=dtype)
    documents.save(tmp_path / "store")
    opened = MultiVectors.open(tmp_path / "store")
    query = random_query(0, 8, 54)
    assert not opened.values.flags.writeable
    with forced(path):
        assert np.array_equal(maxsim(query, opened), maxsim(query, documents))
        assert np.array_equal(
            maxsim(opened, opened, candidates=[4, 0]), maxsim(documents, documents, candidates=[4, 0])
        )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [15, 64])
def test_documents_at_an_odd_address(path, dtype, dim):
    documents = random_documents(0, [3, 14, 15, 40], dim, dtype=dtype)
    unaligned = MultiVectors.from_bytes(memoryview(b"." + documents.to_bytes())[1:])
    assert unaligned.values.ctypes.data % 2 == 1
    with forced(path):
        assert np.array_equal(maxsim(unaligned, unaligned), maxsim(documents, documents))


# int4: the reference reads numbers that were turned back, so that it says less than int8 of the same levels does.


def same_as_int8(documents):
    """The levels of int4 codes as int8 numbers, which are those of the rotated tokens."""
    codes = np.hstack([documents.values & 15, documents.values >> 4])
    return MultiVectors(LEVELS[codes], documents.offsets, documents.scales)


@pytest.mark.parametrize("path", PATHS)
@settings(deadline=None)
@given(seed=seeds, lengths=lengths, half=st.integers(1, 100), tokens=st.integers(1, 70))
@example(seed=0, lengths=[], half=64, tokens=32)
@example(seed=0, lengths=[1], half=1, tokens=1)
@example(seed=0, lengths=list(range(1, 61)), half=64, tokens=33)
@example(seed=0, lengths=list(range(1, 61)), half=24, tokens=2)
@example(seed=0, lengths=list(range(1, 61)), half=512, tokens=65)
def test_int4_equals_its_levels_and_the_reference(path, seed, lengths, half, tokens):
    documents = random_documents(seed, lengths, 2 * half, dtype="int4")
    query = random_query(seed, tokens, 2 * half)
    levels, turned = same_as_int8(documents), rotated(query)
    with forced(path):
        scores = maxsim(query, documents)
        assert np.array_equal(scores, maxsim(turned, levels))
    assert_matches_reference(scores, turned, levels, path)
    sizes = np.linalg.norm(query, axis=1).sum() * max((np.linalg.norm(d, axis=1).max() for d in documents), default=0)
    assert np.allclose(scores, reference.maxsim(query, documents), rtol=0, atol=1e-4 * sizes)


@pytest.mark.parametrize("path", PATHS)
def test_int4_candidates_and_several_queries(path):
    documents = random_documents(0, [3, 40, 1, 17, 33], 40, dtype="int4")
    with forced(path):
        scores = maxsim(documents, documents)
        assert np.array_equal(maxsim(documents, documents, candidates=[4, 0, 4]), scores[:, [4, 0, 4]])
        assert np.allclose(scores[1], maxsim(documents[1], documents), rtol=1e-5)
    assert np.allclose(scores[3], reference.maxsim(documents[3], documents), rtol=1e-4, atol=1e-2)


def test_int4_keeps_the_best_of_tokens_that_differ():
    """Reranked by int4, the exact best ten of a hundred are found nearly all."""
    rng = np.random.default_rng(0)
    topics = rng.standard_normal((100, 1, 128)).repeat(30, axis=1)
    documents = MultiVectors.from_list(topics + rng.standard_normal((100, 30, 128)))
    small = documents.astype("int4")
    assert small.nbytes == len(documents.values) * 68
    found = []
    for query in rng.standard_normal((20, 16, 128)):
        best, again = (np.argsort(-maxsim(query, each), kind="stable")[:10] for each in (documents, small))
        found.append(len(np.intersect1d(best, again)))
    assert np.mean(found) > 8.5


def test_no_document_and_no_query():
    query, queries = np.ones((2, 4)), MultiVectors.from_list([np.ones((2, 4)), np.ones((5, 4))])
    nothing = MultiVectors.from_list([])
    for none in (nothing, MultiVectors.from_list([], dim=4), queries[:0], nothing.astype("int4")):
        assert maxsim(query, none).shape == (0,)
        assert maxsim(query, none, candidates=[]).shape == (0,)
        assert maxsim(queries, none).shape == (2, 0)
        assert maxsim(none, queries).shape == (0, 2)
        assert maxsim(none, none).shape == (0, 0)
    assert maxsim(query, queries, candidates=[]).shape == (0,)
    assert maxsim(queries, queries, candidates=np.array([], np.int64)).shape == (2, 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, "bfloat16"])
def test_queries_of_other_dtypes(dtype):
    documents = random_documents(0, [4, 9], 6)
    query = np.rint(random_query(0, 5, 6) * 4)
    kind = MultiVectors.from_list([query]).astype(dtype).dtype if dtype == "bfloat16" else dtype
    assert np.array_equal(maxsim(query.astype(kind), documents), maxsim(query, documents))
    assert np.array_equal(maxsim(query.tolist(), documents), maxsim(query, documents))
    assert np.array_equal(maxsim(np.asfortranarray(query), documents), maxsim(query, documents))


nan, huge = np.full((2, 4), np.nan), np.full((2, 4), 1e300)
bad_token = np.ones((5, 4), np.float32)
bad_token[3, 1] = np.inf
bad_queries = MultiVectors._trusted(bad_token, np.array([0, 2, 5]))  # as in a file that something else wrote


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (np.ones((2, 5)), "the query has 5 numbers a token, the documents have 4: encode both with one model"),
        (MultiVectors.from_list([np.ones((2, 5))]), "the query has 5 numbers a token, the documents have 4"),
        (np.ones(4), r"the query has shape \(4,\), expected \[query tokens, dim\]. One token is query\[None, :\]"),
        (np.ones((3, 2, 4)), r"the query has shape \(3, 2, 4\).*several queries are MultiVectors.from_list"),
        (np.ones((0, 4)), "the query has no token, expected at least one"),
        (nan, "token 0 of query 0 holds NaN or infinity"),
        (huge, "token 0 of query 0 holds NaN or infinity as float32"),
        (bad_token, "token 3 of query 0 holds NaN or infinity"),
        (bad_queries, "token 1 of query 1 holds NaN or infinity"),
        (np.ones((2, 4), complex), "the query is complex128, expected real numbers"),
        ([["a", "b", "c", "d"]], "the query is <U1, expected real numbers"),
    ],
)
def test_a_query_that_cannot_be_scored(query, message):
    documents = random_documents(0, [3, 2], 4)
    with pytest.raises(InputError, match=message):
        maxsim(query, documents)


def test_the_bad_query_is_named():
    with pytest.raises(InputError) as caught:
        maxsim(bad_queries, random_documents(0, [3, 2], 4))
    assert caught.value.index == 1


def test_a_dim_that_differs_from_that_of_an_empty_store():
    with pytest.raises(InputError, match="the query has 5 numbers a token, the documents have 4"):
        maxsim(np.ones((2, 5)), MultiVectors.from_list([], dim=4))


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ([0, 2], r"document 2 is asked for \(id 1\), there are 2 documents, counted from 0"),
        ([-1], "document -1 is asked for"),
        (np.array([2**64 - 1], np.uint64), "document 18446744073709551615 is asked for"),
        ([0.0], r"ids are float64 of shape \(1,\), expected the positions of documents: integers \[k\]"),
        ([True, False], "ids are bool .* np.flatnonzero"),
        ([[0]], r"ids are int64 of shape \(1, 1\)"),
    ],
)
def test_candidates_that_are_no_documents(candidates, message):
    with pytest.raises(InputError, match=message):
        maxsim(np.ones((2, 4)), random_documents(0, [3, 2], 4), candidates=candidates)


@pytest.mark.parametrize("scales", [None, np.ones(4, np.float32), np.ones((5, 1), np.float32)])
def test_int8_documents_without_a_scale_a_token(scales):
    broken = MultiVectors._trusted(np.ones((5, 4), np.int8), np.array([0, 2, 5]), scales)  # as a file may hold them
    with pytest.raises(InputError, match=r"5 int8 tokens with .*scales.*, other dtypes none"):
        maxsim(np.ones((2, 4)), broken)


def test_float_documents_with_scales():
    broken = MultiVectors._trusted(np.ones((5, 4), np.float16), np.array([0, 2, 5]), np.ones(5, np.float32))
    with pytest.raises(InputError, match=r"5 float16 tokens with scales of shape \(5,\)"):
        maxsim(np.ones((2, 4)), broken)


def test_public_names():
    # By its full name: `vectorplug.maxsim` is the function.
    assert importlib.import_module("vectorplug.maxsim").__all__ == ["maxsim"]
