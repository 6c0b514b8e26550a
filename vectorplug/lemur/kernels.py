"""Matrix products as numba kernels, in which a row of the result depends on its own row of the left side alone.

BLAS sums a row in an order that follows from where it stands among the others, so that a text would have other bits in
another batch. Here every product is summed in the order of the depth, and tokens in the order of the text.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from vectorplug.muvera.simd import LANES, ROWS, product_tile

__all__ = ["feature_sums", "pack", "product"]

# Long enough (some milliseconds) to hide what a task costs.
WORK_A_TASK = 1 << 27

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """numba.njit without the GIL, kept on disk; a product and a sum may fuse, sums keep their order."""
    return cast(Function, numba.njit(nogil=True, cache=True, fastmath={"contract"})(function))


def pack(right: npt.NDArray[Any]) -> Floats:
    """`right` [depth, columns] as float32 [panels, depth, LANES], the last panel padded with zeros."""
    padded = np.pad(right.astype(np.float32), ((0, 0), (0, -right.shape[1] % LANES)))
    return np.ascontiguousarray(padded.reshape(len(right), -1, LANES).transpose(1, 0, 2))


def product(left: Floats, panels: Floats, columns: int) -> Floats:
    """float32 [rows, columns] of `left` float32 [rows, depth] and `panels`, a packed [depth, columns]."""
    left = np.require(left, np.float32, ["C", "A"])
    result = np.empty((len(left), len(panels) * LANES), np.float32)
    rows_a_task = max(ROWS, WORK_A_TASK // max(1, panels.size))

    def work(start: int) -> None:
        rows = slice(start, start + rows_a_task)
        _product(left[rows], panels, result[rows])

    _in_threads(work, range(0, len(left), rows_a_task))
    return result if result.shape[1] == columns else np.ascontiguousarray(result[:, :columns])


def feature_sums(values: Floats, offsets: npt.NDArray[np.int64], panels: Floats, thresholds: Floats) -> Floats:
    """float32 [texts, panels x LANES]: the sum over a text's tokens of relu(token . direction - threshold).

    `values` float32 [total, dim], `offsets` int64 [texts + 1], `panels` packed [dim, directions], `thresholds` float32
    [panels x LANES].
    """
    values = np.require(values, np.float32, ["C", "A"])
    sums = np.zeros((len(offsets) - 1, len(thresholds)), np.float32)
    tokens_a_task = max(1, WORK_A_TASK // max(1, panels.size))
    cuts = np.searchsorted(offsets, np.arange(0, int(offsets[-1]), tokens_a_task))
    cuts = np.unique(np.append(cuts, len(offsets) - 1))

    def work(task: int) -> None:
        texts = slice(cuts[task], cuts[task + 1])
        _feature_sums(values, offsets[cuts[task] : cuts[task + 1] + 1], panels, thresholds, sums[texts])

    _in_threads(work, range(len(cuts) - 1))
    return sums


def _in_threads(work: Callable[[int], None], tasks: range) -> None:
    threads = min(int(numba.config.NUMBA_NUM_THREADS), len(tasks))  # type: ignore[attr-defined]
    if threads <= 1:
        for task in tasks:
            work(task)
        return
    # Made for the call: a pool kept for later would not survive a fork.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, tasks))


@compiled
def _product(left: Array, panels: Array, result: Array) -> None:
    rows, depth = left.shape
    width = result.shape[1]
    for panel in range(len(panels)):
        for first in range(0, rows, ROWS):
            product_tile(
                left.ctypes.data + first * depth * 4,
                depth * 4,
                rows - 1 - first,
                panels.ctypes.data + panel * depth * LANES * 4,
                depth,
                result.ctypes.data + (first * width + panel * LANES) * 4,
                width * 4,
            )


@compiled
def _feature_sums(values: Array, offsets: Array, panels: Array, thresholds: Array, sums: Array) -> None:
    dim = values.shape[1]
    tile = np.empty((ROWS, LANES), np.float32)
    for panel in range(len(panels)):
        edge = panel * LANES
        for text in range(len(offsets) - 1):
            for first in range(offsets[text], offsets[text + 1], ROWS):
                last = offsets[text + 1] - 1 - first
                product_tile(
                    values.ctypes.data + first * dim * 4,
                    dim * 4,
                    last,
                    panels.ctypes.data + panel * dim * LANES * 4,
                    dim,
                    tile.ctypes.data,
                    LANES * 4,
                )
                for row in range(min(ROWS, last + 1)):
                    for lane in range(LANES):
                        sums[text, edge + lane] += max(tile[row, lane] - thresholds[edge + lane], np.float32(0))
