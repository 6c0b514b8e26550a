"""The single vectors that may find the candidates, and which documents each of them finds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vectorplug.codes import FdeCodes
from vectorplug.compressor import Compressor
from vectorplug.evaluation.rankings import Rankings
from vectorplug.evaluation.tuning.storage import Storage
from vectorplug.evaluation.workload import Workload
from vectorplug.multivectors import MultiVectors
from vectorplug.search.config import FdeConfig, LemurConfig
from vectorplug.search.fingerprint import FdeDtype
from vectorplug.search.modes import Mode

__all__ = ["CHUNK_BYTES", "Family", "Finder", "Found", "chunks_of", "dense_found", "found_by"]

# Of the vectors of documents that are scored at once.
CHUNK_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class Finder:
    """A vector of `size` numbers a document, kept in `dtype`: an FDE made as `fde` says, or (None) the dense vector.

    Its documents are cut at `document_length` tokens, and of a query `query_length` are read; None is all of them.
    """

    fde: FdeConfig | None
    size: int
    dtype: FdeDtype = "float32"
    document_length: int | None = None
    query_length: int | None = None

    @property
    def mode(self) -> Mode:
        """In which its candidates are ranked by exact MaxSim."""
        return "dense+rerank" if self.fde is None else "fde+rerank"

    @property
    def label(self) -> str:
        """Such as "R20 k5 dp16 unit, 10,240 x float16", or "lemur, 512 x int8"."""
        made = "dense" if self.fde is None else _label(self.fde)
        cut = "" if self.document_length is None else f", of {self.document_length} tokens"
        asked = "" if self.query_length is None else f", queries of {self.query_length}"
        return f"{made}, {self.size:,} x {self.dtype}{cut}{asked}"


class Family(Protocol):
    """One way to make an FDE, with all its parameters: `MuveraFamily` and `LemurFamily`."""

    def shortlist(self, progress: Callable[[], None]) -> Sequence[FdeConfig]:
        """The settings that are worth measuring on everything, small ones before large ones.

        `progress` is called `steps` times.
        """

    def compressor(self, fde: Any) -> Compressor:
        """What encodes, of one of the shortlist."""

    @property
    def steps(self) -> int:
        """How often `shortlist` reports progress."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The documents that a finder puts first: `positions` int32 [queries, depth], -1 beyond the last.

    Where its codes find and the whole vectors choose among `oversampling` times as many, `whole` float32, of the same
    shape, are their scores.
    """

    finder: Finder
    positions: npt.NDArray[np.int32]
    whole: npt.NDArray[np.float32] | None = None
    oversampling: float = 1.0

    def candidates(self, count: int) -> npt.NDArray[np.int32]:
        """int32 [queries, at most count]: whom a search would rank again."""
        if self.whole is None:
            return self.positions[:, :count]
        wide = slice(0, int(count * self.oversampling))
        best = np.argsort(-self.whole[:, wide], axis=1, kind="stable")[:, :count]
        return np.take_along_axis(self.positions[:, wide], best, axis=1)


def found_by(
    fde: FdeConfig,
    workload: Workload,
    storage: Storage,
    dtypes: Sequence[FdeDtype],
    depth: int,
    *,
    document_length: int | None = None,
    query_length: int | None = None,
    compressor: Compressor | None = None,
) -> Iterator[tuple[Found, npt.NDArray[np.float32]]]:
    """Of the FDE in each of `dtypes`, float32 always first: what it finds, and its scores float32 [queries, n].

    The vectors are those of `compressor`, without one of the setting's own. `query_length` says how many tokens of the
    workload's queries were read. Memory: a matrix of scores for each dtype,
    and CHUNK_BYTES.
    """
    assert workload.documents.tokens is not None
    assert workload.queries.tokens is not None
    tokens = workload.documents.tokens
    compressor = compressor or fde.compressor(tokens.dim)
    queries = compressor.encode_queries(workload.queries.tokens)
    wanted: list[FdeDtype] = ["float32", *(dtype for dtype in dtypes if dtype != "float32")]
    scores = {dtype: np.empty((len(queries), len(tokens)), np.float32) for dtype in wanted}
    for part in chunks_of(len(tokens), compressor.size):
        vectors = compressor.encode_documents(_cut(tokens[part], document_length))
        for dtype in wanted:
            scores[dtype][:, part] = _scored(queries, vectors, dtype)
    whole = scores["float32"]
    for dtype in wanted:
        finder = Finder(fde, compressor.size, dtype, document_length, query_length)
        chooses = storage.keeps_whole and dtype in ("int8", "bit")
        found = workload.rank(scores[dtype], int(depth * storage.oversampling) if chooses else depth)
        yield _found(finder, found, whole if chooses else None, storage.oversampling), scores[dtype]


def dense_found(workload: Workload, depth: int) -> tuple[Found, npt.NDArray[np.float32]]:
    """The same of the dense vectors, in float32."""
    documents, queries = workload.documents.dense, workload.queries.dense
    assert documents is not None
    assert queries is not None
    scores = np.asarray(queries @ documents.T, np.float32)
    finder = Finder(None, documents.shape[1])
    return _found(finder, workload.rank(scores, depth), None, 1.0), scores


def chunks_of(documents: int, size: int) -> Iterator[slice]:
    """Runs of documents whose vectors of `size` float32 numbers are CHUNK_BYTES."""
    step = max(1, CHUNK_BYTES // (4 * size))
    return (slice(begin, min(begin + step, documents)) for begin in range(0, documents, step))


def _cut(tokens: MultiVectors, length: int | None) -> MultiVectors:
    if length is None:
        return tokens
    return MultiVectors.from_list([document[:length] for document in tokens])


def _scored(
    queries: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32], dtype: FdeDtype
) -> npt.NDArray[np.float32]:
    if dtype == "int8" or dtype == "bit":
        return FdeCodes.of(vectors, dtype).scores(queries)
    kept = vectors.astype(np.float16).astype(np.float32) if dtype == "float16" else vectors
    return queries @ kept.T


def _found(finder: Finder, ranked: Rankings, whole: npt.NDArray[np.float32] | None, oversampling: float) -> Found:
    if whole is None:
        return Found(finder, ranked.positions)
    scores = np.take_along_axis(whole, np.maximum(ranked.positions, 0), axis=1)
    scores[ranked.positions < 0] = -np.inf
    return Found(finder, ranked.positions, scores, oversampling)


def _label(fde: FdeConfig) -> str:
    if isinstance(fde, LemurConfig):
        return "lemur"
    block = "identity" if fde.dproj == "identity" else f"dp{fde.dproj or 16}"
    said = [f"R{fde.repetitions} k{fde.ksim} {block}"]
    said += [name for name, on in (("fill", fde.fill), ("unit", fde.unit_norm)) if on]
    return " ".join(said) + (f" to {fde.final_dim:,}" if fde.final_dim else "")
