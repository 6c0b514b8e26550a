"""Seeded documents and queries, and a vectorizer that needs no network: every word has its own token vector."""

import functools
import zlib
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Self

import numpy as np

from vectorplug.compressor import Compressor
from vectorplug.encoded import Encoded, Output
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera

DIM = 16
FDE = Muvera(dim=DIM, repetitions=4, ksim=3, dproj=8)
WORDS = ["sea", "ship", "wave", "wind", "salt", "shore", "bread", "flour", "oven", "yeast", "wing", "lift", "drag"]


def encode(token_lists: Sequence[np.ndarray], fde: Compressor, role: str) -> Encoded:
    tokens = MultiVectors.from_list(token_lists)
    means = np.stack([part.mean(axis=0) for part in tokens])
    dense = means / np.linalg.norm(means, axis=1, keepdims=True)
    return Encoded(tokens, fde.encode_queries(tokens) if role == "query" else fde.encode_documents(tokens), dense)


def random_texts(count: int, seed: int, role: str = "document", *, fde: Muvera = FDE, longest: int = 40) -> Encoded:
    """`count` texts of 1 to `longest` unit token vectors."""
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal((n, fde.dim), dtype=np.float32) for n in rng.integers(1, longest + 1, count)]
    return encode([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts], fde, role)


def sentences(count: int) -> list[str]:
    """Different texts of ten words."""
    rng = np.random.default_rng(7)
    return [f"{' '.join(rng.choice(WORDS, 10))} {i}" for i in range(count)]


class WordVectorizer:
    """Words to seeded unit vectors, as `vectorplug.Vectorizer` would give them: for processes without torch."""

    model = "words"
    fingerprint = "words:1"
    fde: Compressor = FDE

    @property
    def dims(self) -> Mapping[Output, int]:
        return {"tokens": DIM, "fde": self.fde.size, "dense": DIM}

    def with_fde(self, fde: Compressor) -> Self:
        other = copy(self)
        other.fde = fde
        return other

    def encode_document(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        return self._encode(texts, "document", outputs, show_progress_bar)

    def encode_query(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        return self._encode(texts, "query", outputs, show_progress_bar)

    def _encode(self, texts: Sequence[str], role: str, outputs: Sequence[Output], shown: bool | None) -> Encoded:
        assert shown is False
        made = FDE if "fde" not in outputs else self.fde
        encoded = encode([self._tokens(text) for text in texts], made, role)
        return Encoded(**{name: getattr(encoded, name) for name in outputs})

    def _tokens(self, text: str) -> np.ndarray:
        return np.stack([_word_vector(word) for word in text.split()])


@functools.cache
def _word_vector(word: str) -> np.ndarray:
    vector = np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIM, np.float32)
    return vector / np.linalg.norm(vector)
