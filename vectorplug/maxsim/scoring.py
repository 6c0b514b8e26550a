"""The public `maxsim`: checks what came in, and feeds the kernel float32 tokens without copying what it need not."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError
from vectorplug.multivectors import MultiVectors, positions_of

__all__ = ["maxsim"]

# Numbers that are float32 for a moment while documents of another dtype are scored: 16 MB, or one document.
CONVERTED_AT_ONCE = 1 << 22


def maxsim(
    query: npt.ArrayLike | MultiVectors, documents: MultiVectors, *, candidates: npt.ArrayLike | None = None
) -> npt.NDArray[np.float32]:
    """float32 [n] for a `query` [query tokens, dim], float32 [queries, n] for a MultiVectors of queries.

    The score of a document is exact: the sum over query tokens of the largest inner product with one of the
    document's tokens, in float32 whatever the dtypes. With `candidates` (ints [k], any order, repeats allowed) only
    those documents are scored, in that order: n is k. float32 documents, memory-mapped ones too, are read where they
    are; other dtypes are converted 16 MB at a time. Threads: NUMBA_NUM_THREADS at most; safe to call from several.

    Raises InputError for a query that is not 2-D, has no token, holds NaN or infinity or differs in dim, and for a
    candidate that is no document; ConfigurationError for a VECTORPLUG_MAXSIM other than avx512, avx2 or plain, or
    one that this CPU cannot run. Source: Khattab & Zaharia, ColBERT, 2020.
    """
    from vectorplug.maxsim.cpu import score  # here, because importing numba takes a third of a second

    tokens, offsets = _query_tokens(query)
    _check_query(tokens, offsets, documents)
    ids = None if candidates is None else positions_of(candidates, len(documents))
    scores = np.empty((len(offsets) - 1, len(documents) if ids is None else len(ids)), np.float32)
    for part, values, starts, stops in _float32_parts(documents, ids):
        score(tokens, offsets, values, starts, stops, scores[:, part])
    return scores if isinstance(query, MultiVectors) else scores[0]


def _query_tokens(query: npt.ArrayLike | MultiVectors) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """float32 [query tokens, dim] and int64 [queries + 1]."""
    if isinstance(query, MultiVectors):
        return query.astype("float32").values, query.offsets
    tokens = np.asarray(query)
    if tokens.ndim != 2:
        raise InputError(
            f"the query has shape {tokens.shape}, expected [query tokens, dim]. "
            "One token is query[None, :]; several queries are MultiVectors.from_list(queries)."
        )
    if len(tokens) == 0:
        raise InputError("the query has no token, expected at least one: MaxSim of none is undefined.")
    if not np.can_cast(tokens.dtype, np.float32, "same_kind"):
        raise InputError(f"the query is {tokens.dtype}, expected real numbers, such as float32.")
    with np.errstate(over="ignore"):
        return tokens.astype(np.float32, copy=False), np.array([0, len(tokens)])


def _check_query(tokens: npt.NDArray[np.float32], offsets: npt.NDArray[np.int64], documents: MultiVectors) -> None:
    # MultiVectors.from_list([]) cannot know its dim: it says 0.
    if len(tokens) and tokens.shape[1] != documents.dim and (len(documents) or documents.dim):
        raise InputError(
            f"the query has {tokens.shape[1]} numbers a token, the documents have {documents.dim}: "
            "encode both with one model, to one dim."
        )
    finite = np.isfinite(tokens).all(axis=1)
    if not finite.all():
        token = int(finite.argmin())
        query = int(np.searchsorted(offsets, token, side="right")) - 1
        raise InputError(
            f"token {token - int(offsets[query])} of query {query} holds NaN or infinity as float32; "
            "every number must be finite.",
            index=query,
        )


def _float32_parts(
    documents: MultiVectors, ids: npt.NDArray[np.int64] | None
) -> Iterator[tuple[slice, npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """The chosen documents in order, in parts: which of them, float32 `values`, and int64 `starts` and `stops` there.

    float32 documents are one part, and `values` is theirs, uncopied.
    """
    starts, stops = documents.offsets[:-1], documents.offsets[1:]
    if ids is not None:
        starts, stops = starts[ids], stops[ids]
    if documents.dtype == np.float32:
        yield slice(None), np.asarray(documents.values), starts, stops
        return
    tokens_at_once = CONVERTED_AT_ONCE // max(documents.dim, 1)
    ends = np.cumsum(stops - starts)
    begin = 0
    while begin < len(ends):
        before = ends[begin] - (stops[begin] - starts[begin])
        end = max(begin + 1, int(np.searchsorted(ends, before + tokens_at_once, side="right")))
        chosen = documents[begin:end] if ids is None else documents.take(ids[begin:end])
        part = chosen.astype("float32")
        yield slice(begin, end), part.values, part.offsets[:-1], part.offsets[1:]
        begin = end
