"""Matrix products as numba kernels, in which a row of the result depends on its own row of the left side alone.

BLAS sums a row in an order that follows from where it stands among the others, so that a text would have other bits in
another batch. Here every product is summed in the order of the depth, and tokens in the order of the text.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import ml_dtypes
import numpy as np
import numpy.typing as npt

from vectorplug.compiling import digest_of, kept
from vectorplug.lemur.tiles import COLUMNS, LINE, SIDE, give_back, narrow, product_16, product_row, shape, sum_features
from vectorplug.maxsim.choosing import kernel_for
from vectorplug.muvera.simd import LANES, ROWS, product_tile
from vectorplug.threads import thread_limit

__all__ = ["Map", "mapped", "pack", "pack_map", "product"]

# Long enough (some milliseconds) to hide what a task costs.
WORK_A_TASK = 1 << 27
TOKENS_A_TASK = 2048
DIGEST = digest_of(
    "vectorplug.emit",
    "vectorplug.lemur.kernels",
    "vectorplug.lemur.tiles",
    "vectorplug.maxsim.amx",
    "vectorplug.muvera.simd",
)
PAIR = 2  # bfloat16 numbers side by side
# So many rows go one by one: a tile takes as long for one row as for all.
FEW_ROWS = 4

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Function = TypeVar("Function", bound=Callable[..., Any])


class Map(NamedTuple):
    """What `pack_map` makes: directions for AMX or for register tiles, thresholds float32 [whole blocks], panels."""

    directions: npt.NDArray[Any]
    thresholds: Floats
    projection: Floats
    on_amx: bool


def compiled(function: Function) -> Function:
    """numba.njit without the GIL, kept on disk; a product and a sum may fuse, sums keep their order."""
    return kept(function, digest=DIGEST, fastmath={"contract"})


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


def pack_map(directions: Floats, thresholds: Floats, projection: Floats) -> Map:
    """`directions` [features, dim], `thresholds` [features] and `projection` [features + dim, size] for `mapped`."""
    features, dim = directions.shape
    size = projection.shape[1]
    width = features + -features % COLUMNS
    edges = np.zeros(width, np.float32)
    edges[:features] = thresholds
    # Lanes without a feature sum up to zero, and so do their rows.
    rows = np.zeros((width + dim, size + -size % COLUMNS), np.float32)
    rows[:features, :size], rows[width:, :size] = projection[:features], projection[features:]
    on_amx = kernel_for("bfloat16", dim).path == "amx"
    columns = np.pad(directions.T, ((0, 0), (0, width - features)))
    return Map(_blocks(columns) if on_amx else pack(columns), edges, pack(rows), on_amx)


def mapped(values: Floats, offsets: npt.NDArray[np.int64], packed: Map, vectors: Floats) -> bool:
    """`vectors` float32 [texts, size] become sums over tokens of features and numbers, projected; are all finite?

    `values` float32 [total, dim], `offsets` int64 [texts + 1] from 0. Features are of tokens rounded to bfloat16;
    directions hold nothing but bfloat16 numbers.
    """
    values = np.require(values, np.float32, ["C", "A"])
    encode = _mapped_on_amx if packed.on_amx else _mapped
    matrices = packed.directions, packed.thresholds, packed.projection
    if offsets[-1] <= TOKENS_A_TASK:
        return bool(encode(values, offsets, *matrices, vectors))
    cuts = np.searchsorted(offsets, np.arange(0, int(offsets[-1]), TOKENS_A_TASK))
    cuts = np.unique(np.append(cuts, len(offsets) - 1))
    finite = np.zeros(len(cuts) - 1, np.bool_)

    def work(task: int) -> None:
        begin, end = cuts[task], cuts[task + 1]
        finite[task] = encode(values, offsets[begin : end + 1], *matrices, vectors[begin:end])

    _in_threads(work, range(len(finite)))
    return bool(finite.all())


def _in_threads(work: Callable[[int], None], tasks: range) -> None:
    threads = min(thread_limit(), len(tasks))
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
def _mapped(
    values: Array, offsets: Array, directions: Array, thresholds: Array, projection: Array, vectors: Array
) -> bool:
    """By register tiles of float32; `directions` and `projection` as `pack` makes them."""
    dim, width = values.shape[1], len(thresholds)
    texts, start = len(offsets) - 1, offsets[0]
    tokens = values[start : offsets[texts]].copy()
    finite = _rounded(tokens)
    sums = np.zeros((texts, width + dim), np.float32)
    products = np.empty((ROWS, COLUMNS), np.float32)
    for block in range(width // COLUMNS):
        for text in range(texts):
            for first in range(offsets[text] - start, offsets[text + 1] - start, ROWS):
                last = offsets[text + 1] - start - 1 - first
                for part in range(COLUMNS // LANES):
                    product_tile(
                        tokens.ctypes.data + first * dim * 4,
                        dim * 4,
                        last,
                        directions.ctypes.data + (block * (COLUMNS // LANES) + part) * dim * LANES * 4,
                        dim,
                        products.ctypes.data + part * LANES * 4,
                        COLUMNS * 4,
                    )
                sum_features(
                    products.ctypes.data,
                    min(ROWS, last + 1),
                    thresholds.ctypes.data + block * COLUMNS * 4,
                    sums.ctypes.data + (text * (width + dim) + block * COLUMNS) * 4,
                )
    _sum_tokens(values, offsets, sums[:, width:])
    _project(sums, projection, vectors)
    return finite


@compiled
def _mapped_on_amx(
    values: Array, offsets: Array, directions: Array, thresholds: Array, projection: Array, vectors: Array
) -> bool:
    """By the matrix unit; `directions` as `_blocks` makes them, `projection` as `pack` does."""
    dim, width = values.shape[1], len(thresholds)
    texts, start = len(offsets) - 1, offsets[0]
    count, steps = offsets[texts] - start, directions.shape[1]
    depth = steps * PAIR * SIDE
    # A tile reads SIDE rows whatever there are; what it makes of the others is not looked at.
    tokens = np.zeros((count + SIDE, depth), np.uint16)
    padded = np.zeros(depth, np.float32)
    finite = 1
    for row in range(count):
        target = tokens.ctypes.data + row * depth * 2
        if dim % SIDE:
            for d in range(dim):
                padded[d] = values[start + row, d]
            finite &= narrow(padded.ctypes.data, depth, target)
        else:
            finite &= narrow(values.ctypes.data + (start + row) * dim * 4, dim, target)
    sums = np.zeros((texts, width + dim), np.float32)
    products = np.empty((SIDE, COLUMNS), np.float32)
    saved = np.empty(LINE, np.uint8)
    shape(saved.ctypes.data)
    for block in range(len(directions)):
        for text in range(texts):
            for first in range(offsets[text] - start, offsets[text + 1] - start, SIDE):
                product_16(
                    tokens.ctypes.data + first * depth * 2,
                    depth * 2,
                    directions.ctypes.data + block * steps * PAIR * SIDE * COLUMNS * 2,
                    steps,
                    products.ctypes.data,
                )
                sum_features(
                    products.ctypes.data,
                    min(SIDE, offsets[text + 1] - start - first),
                    thresholds.ctypes.data + block * COLUMNS * 4,
                    sums.ctypes.data + (text * (width + dim) + block * COLUMNS) * 4,
                )
    give_back(saved.ctypes.data)
    _sum_tokens(values, offsets, sums[:, width:])
    _project(sums, projection, vectors)
    return finite == 1


@compiled
def _project(sums: Array, projection: Array, vectors: Array) -> None:
    """`vectors` [texts, size] become `sums` [texts, depth] times the packed `projection`, of whole blocks of panels."""
    texts, depth = sums.shape
    together = COLUMNS // LANES
    products = np.empty((ROWS, COLUMNS), np.float32)
    for first in range(0, texts, ROWS):
        rows = min(ROWS, texts - first)
        for panel in range(0, len(projection), together):
            if rows <= FEW_ROWS:
                for row in range(rows):
                    product_row(
                        sums.ctypes.data + (first + row) * depth * 4,
                        projection.ctypes.data + panel * depth * LANES * 4,
                        depth,
                        products.ctypes.data + row * COLUMNS * 4,
                    )
            else:
                for part in range(together):
                    product_tile(
                        sums.ctypes.data + first * depth * 4,
                        depth * 4,
                        rows - 1,
                        projection.ctypes.data + (panel + part) * depth * LANES * 4,
                        depth,
                        products.ctypes.data + part * LANES * 4,
                        COLUMNS * 4,
                    )
            columns = min(COLUMNS, vectors.shape[1] - panel * LANES)
            for row in range(rows):
                for column in range(columns):
                    vectors[first + row, panel * LANES + column] = products[row, column]


@compiled
def _sum_tokens(values: Array, offsets: Array, sums: Array) -> None:
    """`sums` float32 [texts, dim] of zeros: the sum of a text's tokens, in their order."""
    for text in range(len(offsets) - 1):
        for row in range(offsets[text], offsets[text + 1]):
            for d in range(values.shape[1]):
                sums[text, d] += values[row, d]


@compiled
def _rounded(numbers: Array) -> bool:
    """Round `numbers` float32 [n, dim] to bfloat16, ties to even; are all finite?"""
    bits = numbers.view(np.uint32).reshape(-1)
    finite = True
    for i in range(len(bits)):
        word = np.int64(bits[i])
        finite &= (word & 0x7F800000) != 0x7F800000
        bits[i] = np.uint32((word + 0x7FFF + ((word >> 16) & 1)) & 0xFFFF0000)
    return finite


def _blocks(right: Floats) -> npt.NDArray[np.uint16]:
    """`right` [depth, columns] as bfloat16 [blocks, steps, 4, 16, 16, 2]: see tiles.product_16."""
    padded = np.pad(right, ((0, -right.shape[0] % (PAIR * SIDE)), (0, -right.shape[1] % COLUMNS)))
    shorts = padded.astype(ml_dtypes.bfloat16).view(np.uint16)
    tiles = shorts.reshape(-1, SIDE, PAIR, shorts.shape[1] // COLUMNS, COLUMNS // SIDE, SIDE)
    return np.ascontiguousarray(tiles.transpose(3, 0, 4, 1, 5, 2))
