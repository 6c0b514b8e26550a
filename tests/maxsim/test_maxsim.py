import importlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.maxsim import cpu, maxsim, reference, scoring
from vectorplug.maxsim.kernel import TILES
from vectorplug.multivectors import MultiVectors

DTYPES = ["float32", "float16", "bfloat16", "int8"]
PATHS = cpu.supported_paths()

lengths = st.lists(st.integers(1, 60), max_size=6)
seeds = st.integers(0, 2**32 - 1)


def random_documents(seed, lengths, dim, *, dtype="float32", shift=0.0):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((length, dim), dtype=np.float32) + np.float32(shift) for length in lengths]
    return MultiVectors.from_list(arrays, dim=dim).astype(dtype)


def random_query(seed, tokens, dim, *, shift=0.0):
    return np.random.default_rng([seed, 1]).standard_normal((tokens, dim), dtype=np.float32) + np.float32(shift)


def assert_matches_reference(scores, query, documents):
    """The error of any order of summation in float32 is at most terms x epsilon x the sum of the sizes."""
    sizes = MultiVectors.from_list([np.abs(d.astype(np.float32)) for d in documents], dim=documents.dim)
    terms = query.shape[0] + query.shape[1] + 2
    bound = terms * np.finfo(np.float32).eps * reference.maxsim(np.abs(query), sizes)
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
def test_every_path_equals_the_reference(path, seed, lengths, dim, tokens, dtype):
    documents = random_documents(seed, lengths, dim, dtype=dtype)
    query = random_query(seed, tokens, dim)
    with forced(path):
        assert_matches_reference(maxsim(query, documents), query, documents)


@pytest.mark.parametrize("path", PATHS)
@settings(deadline=None, max_examples=40)
@given(seed=seeds, lengths=lengths, dim=st.integers(1, 40), tokens=st.integers(1, 70))
@example(seed=0, lengths=[1, 12, 13, 60], dim=128, tokens=32)
def test_negative_maxima_stay_negative(path, seed, lengths, dim, tokens):
    query = random_query(seed, tokens, dim, shift=9.0)
    documents = random_documents(seed, lengths, dim, shift=-9.0)
    with forced(path):
        scores = maxsim(query, documents)
    assert (scores < 0).all()
    assert_matches_reference(scores, query, documents)


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
        assert_matches_reference(row, query, documents)


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
    assert_matches_reference(one, query, documents.take(ids))


@settings(deadline=None, max_examples=40)
@given(seed=seeds, lengths=lengths, at_once=st.integers(1, 120), dtype=st.sampled_from(DTYPES[1:]), pick=st.booleans())
def test_other_dtypes_are_converted_a_bounded_part_at_a_time(seed, lengths, at_once, dtype, pick):
    dim = 7
    documents = random_documents(seed, lengths, dim, dtype=dtype)
    ids = np.arange(len(documents))[::-1] if pick else None
    query = random_query(seed, 3, dim)
    converted = []
    astype = MultiVectors.astype

    def watched(self, wanted):
        converted.append(self)
        return astype(self, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultiVectors, "astype", watched)
        patch.setattr(scoring, "CONVERTED_AT_ONCE", at_once * dim)
        scores = maxsim(query, documents, candidates=ids)
    assert all(len(part) == 1 or len(part.values) <= at_once for part in converted)
    assert sum(len(part) for part in converted) == len(documents)
    assert_matches_reference(scores, query, documents if ids is None else documents.take(ids))


@pytest.mark.parametrize("candidates", [None, np.arange(999, -1, -2)])
def test_float32_tokens_are_not_copied(candidates):
    documents = random_documents(0, [50] * 1000, 32)
    query = random_query(0, 4, 32)
    maxsim(query, documents)
    tracemalloc.start()
    try:
        maxsim(query, documents, candidates=candidates)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert documents.nbytes == 6_400_000
    assert peak < 200_000


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_mapped_documents(tmp_path: Path, dtype):
    documents = random_documents(0, [3, 14, 15, 92, 6], 53, dtype=dtype)
    documents.save(tmp_path / "store")
    opened = MultiVectors.open(tmp_path / "store")
    query = random_query(0, 8, 53)
    assert not opened.values.flags.writeable
    assert np.array_equal(maxsim(query, opened), maxsim(query, documents))
    assert np.array_equal(maxsim(opened, opened, candidates=[4, 0]), maxsim(documents, documents, candidates=[4, 0]))


@pytest.mark.parametrize("path", PATHS)
def test_documents_at_an_odd_address(path):
    documents = random_documents(0, [3, 14, 15], 16)
    unaligned = MultiVectors.from_bytes(memoryview(b"." + documents.to_bytes())[1:])
    assert not unaligned.values.flags.aligned
    with forced(path):
        assert np.array_equal(maxsim(unaligned, unaligned), maxsim(documents, documents))


def test_no_document_and_no_query():
    query, queries = np.ones((2, 4)), MultiVectors.from_list([np.ones((2, 4)), np.ones((5, 4))])
    for none in (MultiVectors.from_list([]), MultiVectors.from_list([], dim=4), queries[:0]):
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


def used_tile(monkeypatch):
    used = []
    monkeypatch.setattr(cpu, "compiled", lambda tile: used.append(tile) or (lambda *_: None))
    maxsim(np.ones((2, 4)), random_documents(0, [3, 2], 4))
    return used


@pytest.mark.parametrize("path", PATHS)
def test_the_setting_chooses_the_path(monkeypatch, path):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
    assert used_tile(monkeypatch) == [TILES[path]]


def test_without_the_setting_the_best_path_is_taken(monkeypatch):
    monkeypatch.delenv("VECTORPLUG_MAXSIM", raising=False)
    assert used_tile(monkeypatch) == [TILES[PATHS[0]]]


def test_a_setting_that_names_no_path(monkeypatch):
    monkeypatch.setenv("VECTORPLUG_MAXSIM", "sse9")
    with pytest.raises(ConfigurationError, match="VECTORPLUG_MAXSIM is 'sse9', expected one of avx512, avx2, plain"):
        maxsim(np.ones((2, 4)), random_documents(0, [3, 2], 4))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512f": True, "avx2": True, "fma": True}, ("avx512", "avx2", "plain")),
        ({"avx512f": False, "avx2": True, "fma": True}, ("avx2", "plain")),
        ({"avx2": True, "fma": False}, ("plain",)),
        ({}, ("plain",)),
    ],
)
def test_a_path_that_the_cpu_lacks_is_refused(monkeypatch, features, expected):
    monkeypatch.setattr(cpu, "get_host_cpu_features", lambda: features)
    monkeypatch.setattr(cpu, "supported_paths", cpu.supported_paths.__wrapped__)
    assert cpu.supported_paths() == expected
    for path in set(TILES) - set(expected):
        monkeypatch.setenv("VECTORPLUG_MAXSIM", path)
        with pytest.raises(ConfigurationError, match=f"is '{path}', this CPU runs {', '.join(expected)}"):
            maxsim(np.ones((2, 4)), random_documents(0, [3, 2], 4))


def test_public_names():
    # By its full name: `vectorplug.maxsim` is the function.
    assert importlib.import_module("vectorplug.maxsim").__all__ == ["maxsim"]
