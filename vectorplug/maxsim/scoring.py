"""The public `maxsim`: checks what came in, and names the documents that the kernel goes over."""

import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError
from vectorplug.multivectors import MultiVectors, positions_of
from vectorplug.quantizing import rotated

__all__ = ["maxsim"]


def maxsim(
    query: npt.ArrayLike | MultiVectors, documents: MultiVectors, *, candidates: npt.ArrayLike | None = None
) -> npt.NDArray[np.float32]:
    """float32 [n] for a `query` [query tokens, dim], float32 [queries, n] for a MultiVectors of queries.

    The score of a document is exact MaxSim of its tokens as stored: the sum over query tokens of the largest inner
    product with one of the document's tokens, as float32 arithmetic gives it. With `candidates` (ints [k], any order,
    repeats allowed) only those documents are scored, in that order: n is k. Documents are read where they are, whatever
    their dtype, memory-mapped ones too. Safe to call from several threads; it uses as many as threads.py allows.

    An inner product of query token q and document token d of dim numbers is off by at most
    (dim + 2) * 2^-23 * sum |q_k d_k|, the rounding of float32 sums, of whatever dtype the documents are, but for int8
    and int4 on CPUs with AVX2 or more: there q is rounded to 16 bits, and
    max(max |q_k| / 65,000, sum |q_k| / 33 million) * sum |d_k| comes on top. (Of such documents with numbers beyond
    1e29 scores may then be infinite.) For int4 q and d are the rotated ones: see quantizing.py. AMX takes bfloat16
    numbers below 1e-38, and products of that size, for zero. VECTORPLUG_MAXSIM=plain leaves out both. Where more than
    32 query tokens come at once, of all queries together, other instructions may multiply them than for one query, and
    scores differ in their last bits.

    NaN or infinity in documents, which only a mapped file can hold: a token whose product with q is NaN counts for q as
    if it were not there, and where all are, the score is minus infinity. On AMX a product with infinity may be NaN.

    Raises InputError for a query that is not 2-D, has no token, holds NaN or infinity or differs in dim, and for a
    candidate that is no document, or documents whose scales are not one a token; ConfigurationError for a
    VECTORPLUG_MAXSIM, the newest instructions to use, other than amx, vnni, avx512, avx2 or plain, or one that this
    CPU cannot run. Source: Khattab & Zaharia, ColBERT, 2020.
    """
    from vectorplug.maxsim.cpu import score  # here, because importing numba takes a third of a second

    tokens, offsets = _query_tokens(query)
    _check_query(tokens, offsets, documents)
    _check_scales(documents)
    ids = None if candidates is None else positions_of(candidates, len(documents))
    starts, stops = documents.offsets[:-1], documents.offsets[1:]
    if ids is not None:
        starts, stops = starts[ids], stops[ids]
    scores = np.empty((len(offsets) - 1, len(starts)), np.float32)
    if documents.dtype.name == "int4" and scores.size:  # no document may have no dim
        tokens = rotated(tokens)
    score(tokens, offsets, documents, starts, stops, scores)
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


def _check_scales(documents: MultiVectors) -> None:
    # A file that something else wrote may hold others: nothing past the end of an array may be read.
    scales = documents.scales
    if (documents.dtype.name in ("int8", "int4")) != (scales is not None) or (
        scales is not None and scales.shape != (len(documents.values),)
    ):
        came = "no scales" if scales is None else f"scales of shape {scales.shape}"
        raise InputError(
            f"the documents are {len(documents.values)} {documents.dtype} tokens with {came}; "
            'int8 and int4 need one float32 scale a token, other dtypes none. documents.astype("int8") makes them.'
        )
