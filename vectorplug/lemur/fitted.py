"""What a fit is, and vectors by it: features of tokens, targets by MaxSim, two matrix products.

With g(x) = projection^T relu(directions x - thresholds), a query's vector is g(x) summed over its tokens x. That of a
document is its targets (MaxSim with each sampled token, less the mean over documents) times g of the sampled tokens:
the projection holds the inverse of the features' second moment, so that this is the ridge regression solved.

Neither changes an inner product, but what is lost by fewer bits, by cosine and by graphs: queries are multiplied by the
balance and documents divided, so that both have one spread, and both are rotated, so that all numbers do.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors

__all__ = [
    "DOCUMENTS_AT_ONCE",
    "Drift",
    "Fit",
    "Floats",
    "checked",
    "features_of",
    "product",
    "rotation",
    "targets_of",
    "token_queries",
]

Floats = npt.NDArray[np.float32]

# Documents and queries at a time: some megabytes of targets, or of features.
DOCUMENTS_AT_ONCE = 256
QUERIES_AT_ONCE = 1024
# Tokens by which drift tells documents apart.
TOKENS_OF_DRIFT = 512


@dataclass(frozen=True)
class Drift:
    """How well documents are described: the shares of the variance between them that their vectors leave unexplained.

    residual  of the documents asked about, 0 (all explained) to about 1 (nothing)
    expected  of documents that were sampled at the fit and kept out of it
    """

    residual: float
    expected: float

    @property
    def ratio(self) -> float:
        """Residual over expected: about 1 for documents like those of the fit."""
        return self.residual / self.expected if self.expected else float("inf" if self.residual else 1)


@dataclass(frozen=True, eq=False)
class Fit:
    """The arrays of a fit; equal where all of them are.

    directions    float16 [features, dim], thresholds float32 [features]: features of a token
    projection    float16 [features, size]: features to numbers, those first that tell most of the documents
    balance       float32 [size]: the root of the documents' spread in each of them
    sample        float16 [samples, dim]: tokens that stand for those of queries
    mean_targets  float32 [samples]: the mean of their MaxSim with the documents of the fit
    residual      of documents that were kept out of the fit, see `Drift`
    """

    directions: npt.NDArray[np.float16]
    thresholds: Floats
    projection: npt.NDArray[np.float16]
    balance: Floats
    sample: npt.NDArray[np.float16]
    mean_targets: Floats
    residual: float

    @property
    def dim(self) -> int:
        """Numbers a token."""
        return int(self.directions.shape[1])

    @property
    def features(self) -> int:
        """Features a token."""
        return len(self.directions)

    @property
    def size(self) -> int:
        """Numbers a vector."""
        return int(self.projection.shape[1])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything, in hexadecimal."""
        hashed = hashlib.sha256(np.float64(self.residual).tobytes())
        for name, array in self.arrays().items():
            hashed.update(f"{name} {array.dtype.str} {array.shape}".encode())
            hashed.update(np.ascontiguousarray(array).tobytes())
        return hashed.hexdigest()

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """By name, in a fixed order."""
        names = ("directions", "thresholds", "projection", "balance", "sample", "mean_targets")
        return {name: getattr(self, name) for name in names}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fit) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def encode_queries(self, queries: MultiVectors) -> Floats:
        """float32 [n, size]."""
        return self._mapped(queries, self._of_queries)

    def encode_documents(self, documents: MultiVectors) -> Floats:
        """float32 [n, size]."""
        vectors = np.empty((len(documents), self.size), np.float32)
        for part, targets in self._targets(documents):
            vectors[part] = self._solved(targets)
        return vectors

    def drift(self, documents: MultiVectors) -> Drift:
        """InputError for fewer than two documents."""
        if len(documents) < 2:
            raise InputError(
                f"{len(documents)} documents came, drift is measured between 2 or more: take some hundreds."
            )
        return Drift(self.unexplained(documents), self.residual)

    def unexplained(self, documents: MultiVectors) -> float:
        """The share of the variance between documents, as tokens of their own tell them apart, that is not predicted.

        Of their own: the sample of the fit would find documents of another kind all alike, and easy.
        """
        vectors = self.encode_documents(documents)
        rows = np.unique(np.linspace(0, len(documents.values) - 1, TOKENS_OF_DRIFT).astype(np.int64))
        scales = None if documents.scales is None else documents.scales[rows]
        tokens = MultiVectors(documents.values[rows], np.arange(len(rows) + 1), scales).astype("float32")
        predicted = product(vectors, self.encode_queries(tokens).T).astype(np.float64)
        targets = [targets_of(tokens, documents[part]) for part in _parts(len(documents), DOCUMENTS_AT_ONCE)]
        wanted = np.concatenate(targets).astype(np.float64)
        for scores in (predicted, wanted):
            scores -= scores.mean(axis=0)
        whole = float(np.square(wanted).sum())
        return float(np.square(wanted - predicted).sum()) / whole if whole else 0.0

    def _targets(self, documents: MultiVectors) -> Iterator[tuple[slice, Floats]]:
        for part in _parts(len(documents), DOCUMENTS_AT_ONCE):
            yield part, targets_of(self._queries, checked(documents, part)) - self.mean_targets

    @cached_property
    def _map(self) -> tuple[Floats, Floats]:
        from vectorplug.lemur import kernels

        panels = kernels.pack(self.directions.T)
        # The lanes beyond the features stay zero.
        thresholds = np.zeros(panels.shape[0] * panels.shape[2], np.float32)
        thresholds[: self.features] = self.thresholds
        return panels, thresholds

    @cached_property
    def _of_queries(self) -> Floats:
        return self._packed(self.projection.astype(np.float64) * self.balance)

    def _packed(self, projection: npt.NDArray[np.float64]) -> Floats:
        """`projection` [features, size], rotated; with rows of zeros for the lanes that sums of features end with."""
        from vectorplug.lemur import kernels

        return kernels.pack(np.pad(projection @ rotation(self.size), ((0, len(self._map[1]) - self.features), (0, 0))))

    def _mapped(self, texts: MultiVectors, projection: Floats) -> Floats:
        """float32 [n, size]: the sums over the tokens of their features, by a packed projection."""
        vectors = np.empty((len(texts), self.size), np.float32)
        if not len(texts):
            return vectors
        from vectorplug.lemur import kernels  # here, because importing numba takes a third of a second

        for part in _parts(len(texts), QUERIES_AT_ONCE):
            tokens = checked(texts, part).astype("float32")
            sums = kernels.feature_sums(tokens.values, tokens.offsets, *self._map)
            vectors[part] = kernels.product(sums, projection, self.size)
        return vectors

    @cached_property
    def _queries(self) -> MultiVectors:
        return token_queries(self.sample)

    @cached_property
    def _solver(self) -> Floats:
        """[samples, size], packed: g of the sampled tokens for documents, averaged with the targets as weights."""
        from vectorplug.lemur import kernels

        turned = self._mapped(self._queries, self._packed(self.projection.astype(np.float64) / self.balance))
        return kernels.pack(turned / np.float32(len(self.sample)))

    def _solved(self, targets: Floats) -> Floats:
        """float32 [n, size] of centred targets float32 [n, samples]."""
        from vectorplug.lemur import kernels

        return kernels.product(targets, self._solver, self.size)


@lru_cache(maxsize=4)
def rotation(size: int) -> npt.NDArray[np.float64]:
    """float64 [size, size], orthogonal, the same for all fits: of a random source that NumPy keeps as it is."""
    return np.linalg.qr(np.random.RandomState(size).standard_normal((size, size))).Q


def token_queries(tokens: npt.NDArray[Any]) -> MultiVectors:
    """Each token a query of its own, in float32."""
    return MultiVectors(tokens.astype(np.float32), np.arange(len(tokens) + 1))


def targets_of(queries: MultiVectors, documents: MultiVectors) -> Floats:
    """float32 [documents, queries]: MaxSim with the documents' tokens rounded to bfloat16."""
    return np.ascontiguousarray(maxsim(queries, documents.astype("bfloat16")).T)


def features_of(tokens: Floats, directions: Floats, thresholds: Floats) -> Floats:
    """float32 [tokens, features] of `directions` float32 [features, dim]: relu(directions token - thresholds)."""
    features = product(tokens, directions.T)
    features -= thresholds
    return np.maximum(features, 0, out=features)


def product(left: Floats, right: Floats) -> Floats:
    """`left` @ `right`, a row of it with the same bits whatever the other rows are, and however many."""
    from vectorplug.lemur import kernels

    return kernels.product(left, kernels.pack(right), right.shape[1])


def checked(tokens: MultiVectors, part: slice) -> MultiVectors:
    """The documents of `part`; InputError for NaN or infinity, which a memory-mapped file may hold."""
    chosen = tokens[part]
    try:
        return MultiVectors(chosen.values, chosen.offsets, chosen.scales)
    except InputError:
        # Once more over all of them, for an error that counts from the first document.
        return MultiVectors(tokens.values, tokens.offsets, tokens.scales)[part]


def _parts(count: int, at_once: int) -> Iterator[slice]:
    return (slice(start, min(start + at_once, count)) for start in range(0, count, at_once))
