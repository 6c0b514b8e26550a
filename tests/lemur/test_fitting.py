"""What a fit is made of: a bounded, seeded sample; and samples that say little."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorplug.errors import InputError
from vectorplug.lemur import Lemur, fitting
from vectorplug.multivectors import MultiVectors


def numbered(lengths):
    """Document i holds the number i and is of the length asked for."""
    return MultiVectors.from_list([np.full((n, 1), i, np.float32) for i, n in enumerate(lengths)], dim=1)


def sampled(tokens, seed=0):
    return fitting.sampled_documents(tokens, dim=1, random=np.random.default_rng(seed))


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    most=st.tuples(st.integers(1, 20), st.integers(1, 60)),
    seed=st.integers(0, 1000),
)
def test_parts_give_the_same_sample_as_a_whole(lengths, cuts, most, seed):
    tokens = numbered(lengths)
    places = [0, *sorted(min(cut, len(lengths)) for cut in cuts), len(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "MOST_DOCUMENTS", most[0])
        patch.setattr(fitting, "MOST_TOKENS", most[1])
        whole = sampled(tokens, seed)
        parts = sampled((tokens[a:b] for a, b in itertools.pairwise(places)), seed)
    np.testing.assert_array_equal(whole.values, parts.values)
    np.testing.assert_array_equal(whole.offsets, parts.offsets)
    # By the definition: the longest beginning of a random order that has room.
    order = np.argsort(np.random.default_rng(seed).random(len(lengths)), kind="stable")
    room = np.cumsum(np.array(lengths)[order]) <= most[1]
    expected = order[: max(1, min(most[0], int(room.sum())))]
    assert [int(document[0, 0]) for document in whole] == sorted(expected.tolist())


def test_few_of_many_are_kept_without_what_they_came_in(monkeypatch):
    monkeypatch.setattr(fitting, "MOST_DOCUMENTS", 50)
    kept = sampled(numbered([3] * 10) for _ in range(300))
    assert len(kept) == 50
    assert kept.values.base is None or len(kept.values.base) <= 150


def test_every_document_may_be_drawn():
    drawn = np.zeros(40)
    for seed in range(200):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fitting, "MOST_DOCUMENTS", 10)
            for document in sampled(numbered([1] * 40), seed):
                drawn[int(document[0, 0])] += 1
    assert drawn.sum() == 2000
    assert drawn.min() > 25


def test_a_million_documents_are_read_once_and_in_parts(documents, queries, monkeypatch):
    monkeypatch.setattr(fitting, "MOST_DOCUMENTS", 40)
    reads = []

    def parts():
        for start in range(0, len(documents), 7):
            reads.append(start)
            yield documents[start : start + 7]

    lemur = Lemur(dim=16, size=8, features=16, samples=50)
    assert lemur.fit(parts(), queries) == lemur.fit(documents, queries)
    assert reads == list(range(0, len(documents), 7))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_other_dtypes(dtype, documents, queries):
    lemur = Lemur(dim=16, size=8, features=32, samples=100)
    fitted, expected = lemur.fit(documents.astype(dtype), queries.astype(dtype)), lemur.fit(documents, queries)
    assert fitted.fitted.residual == pytest.approx(expected.fitted.residual, rel=0.1)
    own = lemur.fit(documents.astype(dtype))
    assert own.fitted.residual == pytest.approx(lemur.fit(documents).fitted.residual, rel=0.1)


def test_fewer_documents_than_features_and_numbers(clustered, queries):
    few = clustered(3, [4, 1, 9])
    lemur = Lemur(dim=16, size=64, features=128, samples=500).fit(few, queries)
    vectors, asked = lemur.encode_documents(few), lemur.encode_queries(queries)
    assert np.isfinite(vectors).all()
    assert np.isfinite(asked).all()
    unseen = clustered(4, [5] * 50)
    assert np.isfinite(lemur.encode_documents(unseen)).all()
    assert lemur.drift(unseen).residual < 1


def test_one_document_of_one_token(clustered, queries):
    one = clustered(3, [1])
    with pytest.raises(InputError, match="the 1 sampled tokens are all equal, there is nothing to fit"):
        Lemur(dim=16, size=4, features=8, samples=50).fit(one)
    lemur = Lemur(dim=16, size=1, features=1, samples=50).fit(one, queries)
    assert lemur.encode_documents(one).shape == (1, 1)
    assert np.isfinite(lemur.encode_queries(queries)).all()


def test_all_tokens_equal(clustered):
    token = clustered(3, [1])[0]
    equal = MultiVectors.from_list([np.repeat(token, n, axis=0) for n in (3, 1, 7)])
    for samples in (4, 50):
        with pytest.raises(InputError, match=r"sampled tokens are all equal, there is nothing to fit: give documents"):
            Lemur(dim=16, size=4, features=8, samples=samples).fit(equal)


def test_tokens_of_one_plane(clustered):
    """Two different tokens span a line: the rest of the space stays undecided, and the numbers finite."""
    a, b = clustered(3, [1, 1])
    lemur = Lemur(dim=16, size=8, features=32, samples=50)
    fitted = lemur.fit(MultiVectors.from_list([np.concatenate([a, b]), a, b, np.concatenate([b, b])]))
    vectors = fitted.encode_documents(MultiVectors.from_list([a, b]))
    asked = fitted.encode_queries(MultiVectors.from_list([a, b]))
    assert np.isfinite(vectors).all()
    scores = asked @ vectors.T
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]


def test_numbers_that_float16_cannot_hold(documents, queries):
    huge = MultiVectors(queries.values * 1e6, queries.offsets)
    with pytest.raises(InputError, match="NaN or infinity"):
        Lemur(dim=16, size=4, features=8, samples=50).fit(documents, huge)
    tiny = MultiVectors(queries.values * 1e-6, queries.offsets)
    with pytest.raises(InputError, match="too little to fit: normalise them"):
        Lemur(dim=16, size=4, features=8, samples=50).fit(documents, tiny)


@settings(max_examples=15, deadline=None)
@given(scale=st.sampled_from([0.01, 0.5, 30.0, 1000.0]), seed=st.integers(0, 100))
def test_tokens_need_no_unit_norm(clustered, scale, seed):
    tokens = clustered(seed, [5, 8, 1, 12, 20, 3])
    scaled = MultiVectors(tokens.values * np.float32(scale), tokens.offsets)
    lemur = Lemur(dim=16, size=6, features=24, samples=40)
    once = lemur.fit(tokens)
    many = lemur.fit(scaled)
    first = once.encode_queries(tokens) @ once.encode_documents(tokens).T
    second = many.encode_queries(scaled) @ many.encode_documents(scaled).T / scale**2
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.98
