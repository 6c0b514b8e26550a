"""The tokens that rank the candidates: pooled, cut or in smaller numbers, and how they score."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vectorplug.evaluation.token_variants import pooled
from vectorplug.evaluation.tuning.storage import Storage
from vectorplug.evaluation.workload import Workload
from vectorplug.maxsim import maxsim
from vectorplug.multivectors import MultiVectors
from vectorplug.search.fingerprint import TokenDtype

__all__ = ["DOCUMENTS_AT_ONCE", "POOL_FACTORS", "KeptTokens", "Scored", "base_of", "scored_tokens", "settings_of"]

POOL_FACTORS = (2, 3, 4, 6)
DOCUMENTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class KeptTokens:
    """What is kept of a document's tokens: one of `pool_factor`, of its first `document_length`, as `dtype`.

    They are scored with at most `query_length` tokens of a query.
    """

    dtype: TokenDtype
    pool_factor: int | None = None
    document_length: int | None = None
    query_length: int | None = None

    @property
    def label(self) -> str:
        """Such as "tokens / 2 x float16"."""
        pool = f" / {self.pool_factor}" if self.pool_factor else ""
        cut = f", of {self.document_length}" if self.document_length else ""
        asked = f", queries of {self.query_length}" if self.query_length else ""
        return f"tokens{pool} x {self.dtype}{cut}{asked}"


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """MaxSim of such tokens, float32 [queries, n], and how many of them a document has (mean).

    `scores` is None for whole tokens in float32 or float16: they are exact MaxSim itself. `share` is that of the
    queries' tokens which are read.
    """

    kept: KeptTokens
    tokens: float
    scores: npt.NDArray[np.float32] | None
    share: float = 1.0


def base_of(workload: Workload, storage: Storage) -> Scored:
    """Whole tokens in the smallest floats that the database has. The workload's own are float16."""
    assert workload.documents.tokens is not None
    dtype: TokenDtype = "float16" if "float16" in storage.tokens else "float32"
    return Scored(KeptTokens(dtype), float(workload.documents.tokens.lengths.mean()), None)


def settings_of(storage: Storage, lengths: Sequence[int]) -> list[KeptTokens]:
    """All but the base: what `scored_tokens` is asked for."""
    floats: TokenDtype = "float16" if "float16" in storage.tokens else "float32"
    dtypes: list[TokenDtype] = [floats, *(["int8"] if "int8" in storage.tokens else [])]  # type: ignore[list-item]
    whole = [KeptTokens(dtype) for dtype in dtypes if dtype == "int8"]
    fewer = [KeptTokens(dtype, pool_factor=factor) for factor in POOL_FACTORS for dtype in dtypes]
    shorter = [KeptTokens(dtype, document_length=length) for length in lengths for dtype in dtypes]
    return [*whole, *fewer, *shorter]


def scored_tokens(workload: Workload, settings: Sequence[KeptTokens], progress: Callable[[int], None]) -> list[Scored]:
    """Each of `settings` on every document; `progress` is told how many are done. Memory: a matrix for each."""
    tokens, queries = workload.documents.tokens, workload.queries.tokens
    assert tokens is not None
    assert queries is not None
    scores = [np.empty((len(queries), len(tokens)), np.float32) for _ in settings]
    counts = np.zeros(len(settings), np.int64)
    for begin in range(0, len(tokens), DOCUMENTS_AT_ONCE):
        part = slice(begin, min(begin + DOCUMENTS_AT_ONCE, len(tokens)))
        made = _made(tokens[part], settings)
        for i, variant in enumerate(made):
            scores[i][:, part] = maxsim(queries, variant)
            counts[i] += len(variant.values)
        progress(part.stop - part.start)
    rows = np.flatnonzero(workload.left_out >= 0)
    for matrix in scores:
        matrix[rows, workload.left_out[rows]] = -np.inf
    means = (counts / len(tokens)).tolist()
    return [Scored(*each) for each in zip(settings, means, scores, strict=True)]


def _made(tokens: MultiVectors, settings: Sequence[KeptTokens]) -> list[MultiVectors]:
    """Clustered once for all factors."""
    factors = sorted({each.pool_factor for each in settings if each.pool_factor})
    made = dict(zip(factors, pooled(tokens, factors) if factors else [], strict=True))
    found = []
    for each in settings:
        variant = tokens
        if each.pool_factor:
            variant = made[each.pool_factor]
        elif each.document_length:
            variant = MultiVectors.from_list([document[: each.document_length] for document in tokens])
        found.append(variant.astype(each.dtype))
    return found
