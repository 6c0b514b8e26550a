"""Codes scored where they lie: the queries laid out for the kernels, the documents shared out among threads."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.codes.kernels import compiled, fill_tables, newest
from vectorplug.codes.tiles import HEIGHTS, LINE
from vectorplug.threads import run_in_threads, thread_limit

__all__ = ["decoded_from", "scan"]

# Of codes: about a tenth of a millisecond, and still in the second cache for the next query.
BYTES_A_PIECE = 1 << 20
# From so many queries on it is faster to decode and to let BLAS multiply. Never so where one instruction looks up four
# bits of sixteen documents: no product of float32 adds up as many numbers in a step.
DECODED_FROM = {"int8": 128, "bit/avx2": 128, "bit/plain": 8}

Floats = npt.NDArray[np.float32]


def decoded_from(kind: str) -> float:
    """The number of queries from which on a product of decoded documents is faster than `scan`; may be infinite."""
    return DECODED_FROM.get(newest(kind), np.inf)


def scan(kind: str, values: npt.NDArray[Any], scales: Floats, queries: Floats, scores: Floats) -> None:
    """`scores` float32 [q, n], C-contiguous, become the products of `queries` float32 [q, size] with n documents.

    `kind`, `values` and `scales` as FdeCodes has them: they are read in place, and may be read-only, memory-mapped and
    unaligned. Only where the numbers of a document are apart are they copied, piece by piece. Each score has the same
    bits on any number of threads.
    """
    name = newest(kind)
    kernel = compiled(name)
    rows, scales = np.asarray(values).view(np.uint8), np.asarray(scales)
    packed = [pack(kind, query) for query in queries]
    step = -(-BYTES_A_PIECE // max(1, rows.shape[1]) // HEIGHTS[name]) * HEIGHTS[name]
    side_by_side = rows.strides[1] == 1
    # Each thread takes the next start from the one iterator: whoever is free claims the next piece.
    starts = iter(range(0, len(rows), step))

    def claim_and_score() -> None:
        for start in starts:
            piece = slice(start, start + step)
            part = rows[piece] if side_by_side else np.ascontiguousarray(rows[piece])
            for query, into in zip(packed, scores, strict=True):
                kernel(part, scales[piece], query, into[piece])

    run_in_threads(claim_and_score, min(thread_limit(), -(-len(rows) // step)))


def pack(kind: str, query: Floats) -> Floats:
    """`query` float32 [size] in the layout of the kind's tile, whole lines padded with zeros, flat."""
    numbers_a_line = LINE if kind == "int8" else LINE * 8
    padded = np.zeros(-(-len(query) // numbers_a_line) * numbers_a_line, np.float32)
    padded[: len(query)] = query
    if kind == "int8":
        return padded
    tables = np.empty((len(padded) // 4, 16), np.float32)
    fill_tables()(padded, tables)
    return tables.reshape(-1)
