"""The scan of codes as numba kernels: tile by tile, whole lines where they lie, what is left of a row padded."""

from functools import cache
from typing import Any, Literal

import numpy as np
from llvmlite.binding import get_host_cpu_features
from numba import types

from vectorplug.codes.tiles import HEIGHTS, LINE, QUERY_LINE, tile
from vectorplug.compiling import digest_of, kept

__all__ = ["compiled", "fill_tables", "newest"]

DIGEST = digest_of("vectorplug.codes.kernels", "vectorplug.codes.tiles", "vectorplug.emit")


@cache
def newest(kind: str) -> str:
    """The name of the best tile of a kind, "int8" or "bit", that this CPU runs."""
    if kind == "int8":
        return kind
    has = get_host_cpu_features()
    return "bit/" + next((path for path in ("avx512f", "avx2") if has.get(path)), "plain")


@cache
def compiled(name: str) -> Any:
    """`scan` with one tile: compiled in a few seconds at first use ever, then read from numba's cache."""
    height, query_line = HEIGHTS[name], 4 * QUERY_LINE[name.split("/")[0]]

    def scan(values: Any, scales: Any, query: Any, scores: Any) -> None:
        """`scores` float32 [n] become the scaled products of the rows of `values` with one query.

        values uint8 [n, row bytes], the bytes of a row side by side; scales float32 [n]; query as the tile wants it,
        float32 [lines x QUERY_LINE], where the lines are as many as a row begins.
        """
        n, row_bytes = values.shape
        whole = row_bytes // LINE
        rest = row_bytes - whole * LINE
        strip = np.zeros((height, LINE), np.uint8)
        sums = np.empty(height, np.float32)
        for first in range(0, n, height):
            rows = min(height, n - first)
            sums[:] = 0
            start = values.ctypes.data + first * values.strides[0]
            tile(name, start, values.strides[0], rows - 1, query.ctypes.data, whole, sums.ctypes.data)
            if rest:
                for row in range(rows):
                    for byte in range(rest):
                        strip[row, byte] = values[first + row, whole * LINE + byte]
                behind = query.ctypes.data + whole * query_line
                tile(name, strip.ctypes.data, LINE, rows - 1, behind, 1, sums.ctypes.data)
            for row in range(rows):
                scores[first + row] = sums[row] * scales[first + row]

    signature = types.void(
        _read(types.uint8, 2, "A"),
        _read(types.float32, 1, "A"),
        _read(types.float32, 1, "C"),
        types.Array(types.float32, 1, "C"),
    )
    return kept(scan, signature, digest=DIGEST)


@cache
def fill_tables() -> Any:
    """A kernel that sets tables float32 [size / 4, 16] for the numbers of a query, float32 [size], a multiple of 8.

    Table t is for the t-th four bits of a row as np.packbits makes it, the low ones of a byte first: what a number adds
    to the score where its bit is set, or its negative where it is not.
    """

    def fill(numbers: Any, tables: Any) -> None:
        for i in range(len(tables)):
            lowest = i // 2 * 8 + (3 if i % 2 else 7)
            for code in range(16):
                total = np.float32(0)
                for bit in range(4):
                    number = numbers[lowest - bit]
                    total += number if code >> bit & 1 else -number
                tables[i, code] = total

    signature = types.void(_read(types.float32, 1, "C"), types.Array(types.float32, 2, "C"))
    return kept(fill, signature, digest=DIGEST)


def _read(dtype: Any, ndim: int, layout: Literal["A", "C"]) -> Any:
    # A caller's array may be read-only or, in a mapped file, unaligned: one machine code takes them all.
    return types.Array(dtype, ndim, layout, readonly=True, aligned=False)
