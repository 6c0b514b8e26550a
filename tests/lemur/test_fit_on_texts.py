"""From texts and a vectorizer to a fitted Lemur, without a hand-made query."""

import numpy as np
import pytest

from vectorplug.encoded import Encoded
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.lemur import Lemur
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors
from vectorplug.search import fitting
from vectorplug.search.fitting import fit_on_texts

WORDS = [f"word{i}" for i in range(60)]


class Words:
    """Each word a seeded unit vector, queries with a marker in front; counts what it is asked."""

    model = "words"
    fingerprint = "words:1"
    fde = None
    dims = {"tokens": 16}  # noqa: RUF012

    def __init__(self):
        self.documents, self.queries = [], []

    def encode_document(self, texts, *, outputs, show_progress_bar=None):
        assert show_progress_bar is None
        self.documents += texts
        return self._encode(texts, outputs)

    def encode_query(self, texts, *, outputs, show_progress_bar=None):
        assert show_progress_bar is None
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
    with pytest.raises(InputError, match="none of the 2 texts has a word"):
        fit_on_texts(Lemur(dim=16), Words(), ["", " "])
