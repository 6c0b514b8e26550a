"""MaxSim of float32 tokens on the CPU: which tile, which threads, and the query packed for the tile."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numba
import numpy as np
import numpy.typing as npt
from llvmlite.binding import get_host_cpu_features

from vectorplug.errors import ConfigurationError
from vectorplug.maxsim.kernel import BLOCK, TILES, compiled

__all__ = ["score", "supported_paths"]

SETTING = "VECTORPLUG_MAXSIM"
CACHE_LINE = 64
# Multiply-adds: what one claim of work holds at least, and what pays for waking one more thread.
WORTH_A_CLAIM = 1 << 22
WORTH_A_THREAD = 1 << 24


def score(
    queries: npt.NDArray[np.float32],
    query_offsets: npt.NDArray[np.int64],
    values: npt.NDArray[np.float32],
    starts: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
    out: npt.NDArray[np.float32],
) -> None:
    """`out` float32 [queries, n] becomes the MaxSim of `queries` float32 [query tokens, dim] with n documents.

    Query i is `queries[query_offsets[i]:query_offsets[i + 1]]`, document i is `values[starts[i]:stops[i]]`, in any
    order, repeats allowed; offsets are int64 and C-contiguous. `values` float32 [total, dim] is C-contiguous and read
    in place; it may be read-only, memory-mapped and unaligned. Everything is finite and has at least one token.
    Raises ConfigurationError for a VECTORPLUG_MAXSIM that names no tile, or one that this CPU cannot run.
    """
    kernel = compiled(TILES[_path()])
    if out.size == 0:
        return
    packed = _packed(queries)
    ends = np.cumsum(stops - starts)
    total = int(ends[-1])
    work = total * packed.size
    pieces = min(work // WORTH_A_CLAIM + 1, len(starts))
    bounds = np.zeros(pieces + 1, np.int64)
    bounds[1:] = np.searchsorted(ends, total * np.arange(1, pieces + 1) // pieces, side="right")
    counter = np.zeros(1, np.int64)

    def claim_and_score() -> None:
        kernel(values, starts, stops, packed, query_offsets, bounds, counter, out)

    _run_in_threads(claim_and_score, min(work // WORTH_A_THREAD + 1, pieces, _thread_limit()))


@cache
def supported_paths() -> tuple[str, ...]:
    """The tiles that this CPU can run, best first."""
    has = get_host_cpu_features()
    needs = {"avx512": ["avx512f"], "avx2": ["avx2", "fma"], "plain": []}
    return tuple(path for path, features in needs.items() if all(has.get(feature) for feature in features))


def _path() -> str:
    supported = supported_paths()
    path = os.environ.get(SETTING, supported[0])
    if path not in TILES:
        raise ConfigurationError(f"{SETTING} is {path!r}, expected one of {', '.join(TILES)}. Or leave it unset.")
    if path not in supported:
        raise ConfigurationError(f"{SETTING} is {path!r}, this CPU runs {', '.join(supported)}. Or leave it unset.")
    return path


def _packed(queries: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [blocks, dim, BLOCK] at a cache line: the tokens [tokens, dim] as columns, then columns of zeros."""
    tokens, dim = queries.shape
    blocks = -(-tokens // BLOCK)
    room = np.zeros(blocks * dim * BLOCK * 4 + CACHE_LINE, np.uint8)
    skip = -room.ctypes.data % CACHE_LINE
    packed = room[skip : skip + blocks * dim * BLOCK * 4].view(np.float32).reshape(blocks, dim, BLOCK)
    for block in range(blocks):
        part = queries[block * BLOCK : (block + 1) * BLOCK]
        packed[block, :, : len(part)] = part.T
    return packed


def _thread_limit() -> int:
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


# Not numba's own threads: its default layer aborts the process when two Python threads enter it at once. Here the
# caller works, too, and whoever is free claims the next piece: a busy pool or a busy core holds nobody up.
@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_thread_limit(), thread_name_prefix="vectorplug-maxsim")


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    # A child has the pool but none of its threads: it makes its own.
    os.register_at_fork(after_in_child=_helpers.cache_clear)


def _run_in_threads(work: Callable[[], None], threads: int) -> None:
    """Run `work` in this thread and in up to `threads - 1` more; `work` shares itself out and ends when all is done."""
    helpers = [_helpers().submit(work) for _ in range(threads - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():
            helper.result()
