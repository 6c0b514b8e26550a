"""The fast path against the plain reference, and what it promises beyond it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorplug.lemur import Lemur, reference
from vectorplug.lemur.fitted import product
from vectorplug.lemur.training import RIDGE

lengths = st.lists(st.integers(1, 30), max_size=6)


@settings(max_examples=40, deadline=None)
@given(
    lengths=lengths,
    seed=st.integers(0, 2**32 - 1),
    dim=st.sampled_from([2, 3, 5, 16, 33]),
    size=st.integers(1, 20),
    more=st.integers(0, 80),
    samples=st.integers(5, 60),
    dtype=st.sampled_from(["float32", "float16", "bfloat16", "int8"]),
)
def test_equals_reference(clustered, lengths, seed, dim, size, more, samples, dtype):
    lemur = Lemur(dim=dim, size=min(size, dim + 1 + more), features=1 + more, samples=samples, seed=seed % 1000)
    lemur = lemur.fit(clustered(seed, [40, 5, 1, 9, 30], dim, clusters=3))
    texts = clustered(seed + 1, lengths, dim).astype(dtype)
    queries, documents = lemur.encode_queries(texts), lemur.encode_documents(texts)
    assert queries.dtype == documents.dtype == np.float32
    expected = reference.encode_queries(lemur.fitted, texts)
    np.testing.assert_allclose(queries, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max(initial=1))
    # bfloat16 has 8 bits; and targets are near their mean, which is taken off.
    expected = reference.encode_documents(lemur.fitted, texts.astype("bfloat16"))
    scale = max(np.abs(expected).max(initial=0), np.abs(reference.encode_queries(lemur.fitted, texts)).max(initial=0))
    np.testing.assert_allclose(documents, expected, rtol=1e-3, atol=1e-3 * max(scale, 1e-3))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_scores_are_those_of_the_ridge_regression(dtype, documents, queries):
    """With as many numbers as features nothing is left out: the scores are the plain regression's."""
    lemur = Lemur(dim=16, size=48, features=32, samples=200).fit(documents, queries)
    texts = documents[:40].astype(dtype)
    scores = lemur.encode_queries(queries) @ lemur.encode_documents(texts).T
    weights = reference.ridge(lemur.fitted, texts.astype("bfloat16"), RIDGE)
    features = np.array([np.sum([reference.features(lemur.fitted, token) for token in query], 0) for query in queries])
    expected = features @ weights.T
    np.testing.assert_allclose(scores, expected, atol=0.01 * np.abs(expected).max())
    assert np.corrcoef(scores.ravel(), expected.ravel())[0, 1] > 0.9999


def test_the_same_bits_in_any_batch(lemur, documents, queries):
    whole, asked = lemur.encode_documents(documents), lemur.encode_queries(queries)
    for start, stop in [(0, 1), (1, 2), (31, 34), (5, 300), (255, 258)]:
        np.testing.assert_array_equal(lemur.encode_documents(documents[start:stop]), whole[start:stop])
    for start, stop in [(0, 1), (1, 2), (31, 34), (5, 100)]:
        np.testing.assert_array_equal(lemur.encode_queries(queries[start:stop]), asked[start:stop])
    order = np.random.default_rng(0).permutation(len(documents))
    np.testing.assert_array_equal(lemur.encode_documents(documents.take(order)), whole[order])


def test_the_same_bits_in_any_batch_of_wide_products():
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((70, 700), np.float32), rng.standard_normal((700, 130), np.float32)
    whole = product(left, right)
    np.testing.assert_allclose(whole, left.astype(float) @ right.astype(float), atol=1e-3)
    for row in range(70):
        np.testing.assert_array_equal(product(left[row : row + 1], right), whole[row : row + 1])


def test_a_long_query_among_short_ones(lemur, clustered):
    queries = clustered(5, [3, 5000, 1, 2047, 2048, 2049])
    expected = reference.encode_queries(lemur.fitted, queries)
    np.testing.assert_allclose(lemur.encode_queries(queries), expected, atol=1e-5 * np.abs(expected).max())


def test_drift(lemur, documents, clustered):
    same = lemur.drift(clustered(6, np.random.default_rng(6).integers(1, 30, 200)))
    assert 0.8 < same.ratio < 1.25
    assert same.expected == lemur.fitted.residual
    rng = np.random.default_rng(0)
    elsewhere = [rng.standard_normal((10, 16)) for _ in range(50)]
    strange = type(documents).from_list(
        [(a / np.linalg.norm(a, axis=1, keepdims=True)).astype("f4") for a in elsewhere]
    )
    assert lemur.drift(strange).ratio > 1.5
    assert 0 < same.residual < lemur.drift(strange).residual


def test_drift_is_the_share_that_the_reference_leaves(lemur, documents):
    few = documents[:20].astype("bfloat16")
    tokens = few.values.astype(float)
    assert len(tokens) < 512
    asked = reference.encode_queries(lemur.fitted, type(few)(tokens, np.arange(len(tokens) + 1)))
    predicted = reference.encode_documents(lemur.fitted, few) @ asked.T
    wanted = np.array([(tokens @ document.astype(float).T).max(axis=1) for document in few])
    left = (wanted - wanted.mean(0)) - (predicted - predicted.mean(0))
    expected = (left**2).sum() / ((wanted - wanted.mean(0)) ** 2).sum()
    assert lemur.drift(few).residual == pytest.approx(expected, rel=1e-3)


def test_drift_of_what_the_sample_does_not_know(clustered):
    """Documents that are all alike to the fit's sample, and differ among themselves."""
    lengths = np.random.default_rng(0).integers(5, 20, 200)

    def placed(seed, first):
        tokens = clustered(seed, lengths, 32)
        values = np.zeros((len(tokens.values), 64), np.float32)
        values[:, first : first + 32] = tokens.values
        return type(tokens)(values, tokens.offsets)

    lemur = Lemur(dim=64, size=32, features=128, samples=500).fit(placed(1, 0))
    assert lemur.drift(placed(2, 0)).ratio == pytest.approx(1, abs=0.3)
    assert lemur.drift(placed(2, 32)).ratio > 1.5
