"""From texts and a vectorizer to a fitted Lemur, without a hand-made query."""

from dataclasses import replace

import numpy as np
import pytest

from vectorplug.encoded import Encoded
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.lemur import Lemur
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors
from vectorplug.search import fitting
from vectorplug.search.fitting import drift_on_texts, fit_on_texts, fit_reported
from vectorplug.search.whole_tokens import encode_whole
from vectorplug.vectorizer import Vectorizer

WORDS = [f"word{i}" for i in range(60)]


class Words:
    """Each word a seeded unit vector, queries with a marker in front; counts what it is asked."""

    model = "words"
    fingerprint = "words:1"
    fde = None
    dims = {"tokens": 16}  # noqa: RUF012

    def __init__(self):
        self.documents, self.queries = [], []

    def encode_document(self, texts, *, outputs, show_progress_bar=None):  # noqa: ARG002
        self.documents += texts
        return self._encode(texts, outputs)

    def encode_query(self, texts, *, outputs, show_progress_bar=None):  # noqa: ARG002
        self.queries += texts
        return self._encode([f"marker {text}" for text in texts], outputs)

    def _encode(self, texts, outputs):
        assert tuple(outputs) == ("tokens",)
        return Encoded(tokens=MultiVectors.from_list([np.stack([self._word(w) for w in t.split()]) for t in texts]))

    def _word(self, word):
        vector = np.random.default_rng(list(word.encode())).standard_normal(16)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(5, 40))) for _ in range(300)]


def test_fits(texts):
    words = Words()
    lemur = fit_on_texts(Lemur(dim=16, size=32, features=128, samples=400), words, texts)
    assert len(words.documents) == 300
    assert len(words.queries) == 50
    assert all(any(document.startswith(query) for document in texts) for query in words.queries)
    documents = words.encode_document(texts, outputs=("tokens",)).tokens
    asked = words.encode_query([text[:40] for text in texts[:50]], outputs=("tokens",)).tokens
    scores, exact = lemur.encode_queries(asked) @ lemur.encode_documents(documents).T, maxsim(asked, documents)
    assert np.mean([np.corrcoef(s, e)[0, 1] for s, e in zip(scores, exact, strict=True)]) > 0.8
    assert fit_on_texts(Lemur(dim=16, size=32, features=128, samples=400), Words(), texts) == lemur


def test_a_sample_is_encoded_and_blank_texts_are_not(texts, monkeypatch):
    monkeypatch.setattr(fitting, "MOST_TEXTS", 30)
    words = Words()
    fit_on_texts(Lemur(dim=16, size=4, features=8, samples=80), words, ["", *texts, "  "])
    assert len(words.documents) == 30
    assert len(set(words.documents)) == 30
    assert set(words.documents) < set(texts)


def test_wrong_use(texts):
    with pytest.raises(ConfigurationError, match="words gives 16 numbers a token, the Lemur was made for dim=128"):
        fit_on_texts(Lemur(dim=128), Words(), texts)
    with pytest.raises(InputError, match="no text has a word"):
        fit_on_texts(Lemur(dim=16), Words(), ["", " "])


def test_where_documents_are_pooled_or_cut_the_fit_sees_whole_tokens(texts, tiny_colbert):
    small = Lemur(dim=16, size=4, features=16, samples=40)
    whole = Vectorizer(str(tiny_colbert), fde=None, device="cpu", dtype="float32")
    cutting = Vectorizer(str(tiny_colbert), fde=None, device="cpu", dtype="float32", pool_factor=2, dimensions=8)
    for role in ("document", "query"):
        expected, found = (encode_whole(each, texts[:5], role, 16).tokens for each in (whole, cutting))
        assert found.lengths.tolist() == expected.lengths.tolist()
        np.testing.assert_allclose(found.values, expected.values, atol=1e-6)
    fits = [fit_on_texts(small, each, iter(texts[:40]), show_progress_bar=False) for each in (whole, cutting)]
    # What the FDE is folded from, too: nothing but rounding tells the two apart.
    vectors = [whole.with_fde(fit).encode_document(texts[:9], outputs=("fde",)).fde for fit in fits]
    np.testing.assert_allclose(*vectors, atol=0.02 * np.abs(vectors[0]).max())
    cut = cutting.with_fde(fits[0]).encode_document(texts[:9], outputs=("fde",)).fde
    np.testing.assert_array_equal(cut, vectors[0])
    drifts = [drift_on_texts(fits[0], each, texts[40:60]).ratio for each in (whole, cutting)]
    assert drifts[0] == pytest.approx(drifts[1], rel=0.01)


def test_a_fit_of_another_model_is_refused(texts, tiny_colbert):
    vectorizer = Vectorizer(str(tiny_colbert), fde=None, device="cpu", dtype="float32")
    fit = fit_on_texts(Lemur(dim=16, size=4, features=16, samples=40), vectorizer, texts[:40], show_progress_bar=False)
    assert vectorizer.with_fde(fit).fde == fit
    other = fit_on_texts(Lemur(dim=16, size=4, features=8, samples=80), Words(), texts)
    with pytest.raises(ConfigurationError, match=r"was fitted to tokens of words:1, .* is .*: fit one to this model's"):
        vectorizer.with_fde(other)
    # Of tokens that came without a vectorizer nobody knows whose they are.
    assert vectorizer.with_fde(replace(other, encoder=None)).fde.encoder is None


def test_how_a_fit_went(texts):
    lemur, report = fit_reported(Lemur(dim=16, size=4, features=8, samples=80), Words(), ["", *texts])
    assert (report.texts, report.sampled, report.fingerprint) == (300, 300, lemur.fingerprint)
    assert report.seconds > 0
