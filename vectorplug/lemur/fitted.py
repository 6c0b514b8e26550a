"""What a fit is, and vectors by it: features of tokens, targets by MaxSim, two matrix products.

With g(x) = projection^T [relu(directions x - thresholds), x], a query's vector is g(x) summed over its tokens x. That
of a document is its targets (MaxSim with each sampled token, less the mean over documents) times g of the sampled
tokens: the projection holds the inverse of the features' second moment, so that this is the ridge regression solved.

Neither changes an inner product, but what is lost by fewer bits, by cosine and by graphs: queries are multiplied by the
balance and documents divided, so that both have one spread, and both are rotated, so that all numbers do.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors

if TYPE_CHECKING:
    from vectorplug.lemur.kernels import Map

__all__ = [
    "DOCUMENTS_AT_ONCE",
    "Drift",
    "Fit",
    "Floats",
    "as_bfloat16",
    "checked",
    "features_of",
    "product",
    "rotation",
    "targets_of",
    "token_queries",
    "turned",
]

Floats = npt.NDArray[np.float32]

# Documents and queries at a time: some megabytes of targets, or of tokens.
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

    directions    float16 [features, dim], of bfloat16 numbers; thresholds float32 [features]: features of a token
    projection    float32 [features + dim, size]: features, and the token's own numbers, to the numbers of a vector,
                  those first that tell most of the documents
    balance       float32 [size]: the root of the documents' spread in each of them
    sample        float16 [samples, dim]: tokens that stand for those of queries
    mean_targets  float32 [samples]: the mean of their MaxSim with the documents of the fit
    residual      of documents that were kept out of the fit, see `Drift`
    """

    directions: npt.NDArray[np.float16]
    thresholds: Floats
    projection: Floats
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
        if not len(queries):  # which may have no dim
            return np.empty((0, self.size), np.float32)
        return self._mapped(queries, self._of_queries)

    def encode_documents(self, documents: MultiVectors) -> Floats:
        """float32 [n, size]."""
        vectors = np.empty((len(documents), self.size), np.float32)
        for part in _parts(len(documents), DOCUMENTS_AT_ONCE):
            vectors[part] = self.solved(self.targets(checked(documents, part)))
        return vectors

    def targets(self, documents: MultiVectors) -> Floats:
        """float32 [n, samples]: MaxSim with each token of the sample, all that a fit looks at of a document."""
        return targets_of(self._queries, documents)

    def solved(self, targets: Floats) -> Floats:
        """float32 [n, size] of the targets of documents."""
        from vectorplug.lemur import kernels

        return kernels.product(targets - self.mean_targets, self._solver, self.size)

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

    @cached_property
    def _of_queries(self) -> "Map":
        return self._packed(self.balance.astype(np.float64))

    def _packed(self, scale: npt.NDArray[np.float64]) -> "Map":
        """The map to turned features, of which number i is multiplied by `scale` [size]."""
        from vectorplug.lemur import kernels  # here, because importing numba takes a third of a second

        return kernels.pack_map(self.directions.astype(np.float32), self.thresholds, turned(self.projection, scale))

    def _mapped(self, texts: MultiVectors, packed: "Map") -> Floats:
        """float32 [n, size]: the sums over the tokens of their features and numbers, by a packed map."""
        from vectorplug.lemur import kernels

        vectors = np.empty((len(texts), self.size), np.float32)
        for part in _parts(len(texts), QUERIES_AT_ONCE):
            tokens = texts[part].astype("float32")
            if not kernels.mapped(tokens.values, tokens.offsets, packed, vectors[part]):
                # NaN or infinity, which a memory-mapped file may hold: for an error that says where.
                tokens = texts.astype("float32")
                MultiVectors(tokens.values, tokens.offsets)
        return vectors

    @cached_property
    def _queries(self) -> MultiVectors:
        return token_queries(self.sample)

    @cached_property
    def _solver(self) -> Floats:
        """[samples, size], packed: g of the sampled tokens for documents, averaged with the targets as weights."""
        from vectorplug.lemur import kernels

        features = self._mapped(self._queries, self._packed(1 / self.balance.astype(np.float64)))
        return kernels.pack(features / np.float32(len(self.sample)))


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
    """float32 [tokens, features + dim]: relu(`directions` token - `thresholds`), and the token."""
    features = product(as_bfloat16(tokens), directions.T) - thresholds
    return np.concatenate([np.maximum(features, 0), tokens], axis=1)


def turned(projection: Floats, scale: npt.NDArray[np.float64]) -> Floats:
    """float32 [features + dim, size]: `projection` times `scale` [size], rotated."""
    return ((projection * scale) @ rotation(projection.shape[1])).astype(np.float32)


def as_bfloat16(numbers: npt.NDArray[np.floating[Any]]) -> Floats:
    """float32: the bfloat16 numbers next to `numbers`."""
    return numbers.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float32)


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
