"""MaxSim on the CPU: the query packed, the documents shared out among threads."""

from typing import cast

import numpy as np
import numpy.typing as npt

from vectorplug.maxsim.choosing import kernel_for
from vectorplug.maxsim.kernels import BLOCK, StoredDtype
from vectorplug.maxsim.packing import pack
from vectorplug.maxsim.walk import compiled
from vectorplug.multivectors import MultiVectors
from vectorplug.threads import run_in_threads, thread_limit

__all__ = ["score"]

# Multiply-adds of float32: what one claim of work holds at least, and what pays for waking one more thread.
WORTH_A_CLAIM = 1 << 22
WORTH_A_THREAD = 1 << 24

NO_SCALES = np.empty(0, np.float32)


def score(
    queries: npt.NDArray[np.float32],
    query_offsets: npt.NDArray[np.int64],
    documents: MultiVectors,
    starts: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
    out: npt.NDArray[np.float32],
) -> None:
    """`out` float32 [queries, n] becomes the MaxSim of `queries` float32 [query tokens, dim] with n documents.

    Query i is `queries[query_offsets[i]:query_offsets[i + 1]]`, document i is `documents.values[starts[i]:stops[i]]`,
    in any order, repeats allowed; offsets are int64 and C-contiguous. The values are read in place; they may be
    read-only, memory-mapped and unaligned. Everything is finite and has at least one token.
    Raises ConfigurationError for a VECTORPLUG_MAXSIM that names no path, or one that this CPU cannot run.
    """
    kernel = kernel_for(cast(StoredDtype, documents.dtype.name), documents.dim, -(-len(queries) // BLOCK))
    score_pieces = compiled(kernel)
    if out.size == 0:
        return
    packed = pack(queries, kernel)
    values = np.asarray(documents.values)
    if values.dtype.itemsize == 2:
        values = values.view(np.uint16)
    scales = NO_SCALES if documents.scales is None else np.asarray(documents.scales)
    ends = np.cumsum(stops - starts)
    total = int(ends[-1])
    work = total * len(packed.blocks) * BLOCK * documents.dim // kernel.rate
    pieces = min(work // WORTH_A_CLAIM + 1, len(starts))
    bounds = np.zeros(pieces + 1, np.int64)
    bounds[1:] = np.searchsorted(ends, total * np.arange(1, pieces + 1) // pieces, side="right")
    counter = np.zeros(1, np.int64)

    def claim_and_score() -> None:
        score_pieces(values, scales, starts, stops, *packed, query_offsets, bounds, counter, out)

    run_in_threads(claim_and_score, min(work // WORTH_A_THREAD + 1, pieces, thread_limit()))
