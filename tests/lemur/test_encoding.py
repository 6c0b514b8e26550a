"""Lemur as a value: parameters, fingerprints, errors; and what its vectors are worth."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import vectorplug.lemur
from vectorplug.codes import FdeCodes
from vectorplug.compressor import Compressor
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.lemur import Lemur
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera


def recall(scores, exact, kept=5, within=15):
    """The share of each query's `kept` best by `exact` among its first `within` by `scores`."""
    best, found = np.argsort(-exact, axis=1)[:, :kept], np.argsort(-scores, axis=1)[:, :within]
    return np.mean([len(np.intersect1d(a, b)) / kept for a, b in zip(best, found, strict=True)])


def test_public_names_are_sorted():
    assert vectorplug.lemur.__all__ == sorted(vectorplug.lemur.__all__)


def test_import_brings_neither_numba_nor_torch():
    code = "import sys, vectorplug.lemur; print(sorted({'numba', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_value(lemur, documents, queries):
    assert Lemur(dim=128) == Lemur(dim=np.int64(128), size=512, features=384, samples=8192, seed=42)
    assert (Lemur(dim=128, size=4096).features, Lemur(dim=384).features) == (3968, 256)
    assert isinstance(lemur, Compressor)
    assert isinstance(Lemur(dim=128), Compressor)
    with pytest.raises(AttributeError):
        lemur.dim = 3
    again = Lemur(dim=16, size=24, features=64, samples=300).fit(documents, queries)
    assert again == lemur
    assert hash(again) == hash(lemur)
    assert len(repr(lemur)) < 100


def test_a_fit_is_a_new_lemur(documents, queries):
    unfitted = Lemur(dim=16, size=8, features=16, samples=50)
    unfitted.fit(documents, queries)
    assert unfitted.fitted is None


def test_fingerprint(lemur, documents, queries):
    assert Lemur(dim=128).fingerprint == "lemur1:d128:m512:f384:n8192:s42:unfitted"
    beginning, digest = lemur.fingerprint.rsplit(":", 1)
    assert beginning == "lemur1:d16:m24:f64:n300:s42"
    assert len(digest) == 16
    others = [
        Lemur(dim=16, size=24, features=64, samples=300, seed=43).fit(documents, queries),
        Lemur(dim=16, size=24, features=64, samples=300).fit(documents),
        Lemur(dim=16, size=24, features=64, samples=300).fit(documents[:200], queries),
    ]
    assert len({digest, *(other.fingerprint.rsplit(":", 1)[1] for other in others)}) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dim": 0}, "dim is 0, expected an integer of at least 1."),
        ({"size": 2.5}, "size is 2.5, expected an integer of at least 1."),
        ({"size": True}, "size is True, expected an integer of at least 1."),
        ({"samples": 0}, "samples is 0, expected an integer of at least 1."),
        ({"seed": -1}, "seed is -1, expected an integer of 0 to 2147483647."),
        ({"features": 0}, "features is 0, expected an integer of at least 1."),
        (
            {"size": 193, "features": 64},
            "size is 193, expected at most the 64 features and 128 numbers of a token that it is made of.",
        ),
    ],
)
def test_wrong_parameters(options, message):
    with pytest.raises(ConfigurationError) as error:
        Lemur(**{"dim": 128, **options})
    assert str(error.value) == message


def test_a_fit_belongs_to_its_parameters(lemur):
    with pytest.raises(ConfigurationError, match=r"the fit has dim 16, 64 features and size 24; .* size 12: fit it"):
        replace(lemur, size=12)


@pytest.mark.parametrize("call", ["encode_documents", "encode_queries", "drift"])
def test_without_a_fit(call, documents):
    with pytest.raises(ConfigurationError, match=r"Lemur\(dim=16.*\) is not fitted: take the one that fit\("):
        getattr(Lemur(dim=16), call)(documents)


@pytest.mark.parametrize("call", ["encode_documents", "encode_queries", "drift", "fit"])
def test_another_dim(call, lemur, clustered):
    with pytest.raises(InputError, match=r"have 12 numbers .*this Lemur was made for dim=16"):
        getattr(lemur, call)(clustered(0, [3], dim=12))


def test_queries_of_another_dim(lemur, documents, clustered):
    with pytest.raises(InputError, match="the queries have 12 numbers a token, this Lemur was made for dim=16"):
        lemur.fit(documents, clustered(0, [3], dim=12))


def test_no_document(lemur, queries):
    for none in (MultiVectors.from_list([]), MultiVectors.from_list([], dim=16)):
        assert lemur.encode_documents(none).shape == lemur.encode_queries(none).shape == (0, 24)
        with pytest.raises(InputError, match="0 documents came, drift is measured between 2 or more"):
            lemur.drift(none)
        with pytest.raises(InputError, match="there is no document to fit on"):
            lemur.fit(none, queries)
    with pytest.raises(InputError, match="there is no document to fit on"):
        lemur.fit([], queries)
    with pytest.raises(InputError, match="there are no queries to fit on"):
        lemur.fit(queries, MultiVectors.from_list([], dim=16))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_tokens_of_a_memory_mapped_file(broken, lemur, documents, tmp_path):
    documents.save(tmp_path / "documents")
    values = MultiVectors.open(tmp_path / "documents").values.copy()
    values[documents.offsets[290]] = broken
    mapped = MultiVectors._trusted(values, documents.offsets)
    for call in (lemur.encode_documents, lemur.encode_queries, lemur.drift, lemur.fit):
        with pytest.raises(InputError, match="of document 290\\) hold NaN or infinity") as error:
            call(mapped)
        assert error.value.index == 290


def test_scores_follow_maxsim(lemur, clustered):
    unseen = clustered(11, np.random.default_rng(3).integers(1, 30, 300))
    asked = clustered(12, np.random.default_rng(4).integers(2, 8, 60))
    exact = maxsim(asked, unseen)
    scores = lemur.encode_queries(asked) @ lemur.encode_documents(unseen).T
    assert recall(scores, exact) > 0.6
    # Not only the order: MaxSim itself, but for a constant of the query.
    slopes = [np.polyfit(s, e, 1)[0] for s, e in zip(scores, exact, strict=True)]
    assert 0.9 < np.median(slopes) < 1.3
    larger = Muvera(dim=16, repetitions=4, ksim=3, dproj=8, fill=False)
    assert recall(scores, exact) > recall(larger.encode_queries(asked) @ larger.encode_documents(unseen).T, exact)


def test_more_numbers_lose_less(documents, queries):
    exact = maxsim(queries, documents)
    found = []
    for size in (2, 6, 24):
        lemur = Lemur(dim=16, size=size, features=64, samples=300).fit(documents, queries)
        found.append(recall(lemur.encode_queries(queries) @ lemur.encode_documents(documents).T, exact))
    assert found[0] + 0.05 < found[1] < found[2] - 0.1


def test_numbers_of_documents_and_queries_have_one_spread(lemur, documents, queries):
    """What graphs, cosine and one bit a number like: no number stands out, and both sides have the same shape."""
    asked, stored = lemur.encode_queries(queries), lemur.encode_documents(documents)
    assert np.ptp(np.log(stored.std(axis=0))) < np.log(4)
    first, second = (np.linalg.eigvalsh(np.cov(vectors.T))[::-1][:10] for vectors in (asked, stored))
    assert np.ptp(np.log(first / second)) < np.log(4)


def test_cosine_finds_about_the_same(lemur, documents, queries):
    exact = maxsim(queries, documents)
    asked, stored = lemur.encode_queries(queries), lemur.encode_documents(documents)
    cosine = asked @ (stored / np.linalg.norm(stored, axis=1, keepdims=True)).T
    assert recall(cosine, exact) > recall(asked @ stored.T, exact) - 0.1


def test_documents_are_centred(lemur, documents):
    vectors = lemur.encode_documents(documents)
    assert np.abs(vectors.mean(axis=0)).max() < 0.1 * np.abs(vectors).max()


def test_codes_of_fewer_bits(lemur, documents, queries):
    exact = maxsim(queries, documents)
    asked, stored = lemur.encode_queries(queries), lemur.encode_documents(documents)
    whole, eight, one = (
        recall(scores, exact)
        for scores in (
            asked @ stored.T,
            FdeCodes.of(stored, "int8").scores(asked),
            FdeCodes.of(stored, "bit").scores(asked),
        )
    )
    assert abs(whole - eight) < 0.02
    assert one > 0.3
