"""The query laid out for a tile: blocks of 32 tokens, each read from its first byte to its last."""

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

from vectorplug.maxsim.kernels import BLOCK, Kernel

__all__ = ["LARGEST_DIM", "Packed", "pack"]

CACHE_LINE = 64
LARGEST_BFLOAT16 = np.uint32(0x7F7F0000).view(np.float32)
# bfloat16: with two pieces a query number is off by 2^-17 at most. From this dim on the rounding of a float32 sum,
# dim * 2^-24, may be as large.
TWO_PIECES_FROM = 128
# int8: a query number is this many steps at most. It is 127 x 256 + 127, so two int8 hold it: 256 * first + second.
LARGEST = 32_639
# Sums of products with int8 stay below 2^31, those of LARGEST_DIM roundings included.
LARGEST_SUM = (2**31 - 1) // 128
LARGEST_DIM = 1 << 16


class Packed(NamedTuple):
    """`blocks` uint8 [blocks, bytes], beginning at a cache line; `steps` and `pieces` as the tiles count them.

    A query token is what stands in the blocks times its number in `scales`, float32 [tokens].
    """

    blocks: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    steps: int
    pieces: int


def pack(queries: npt.NDArray[np.float32], kernel: Kernel) -> Packed:
    """`queries` float32 [tokens, dim], finite, as the blocks of `kernel`; tokens and numbers that lack are zeros.

    float32   [steps, BLOCK]: the tokens as columns
    int16     [steps, BLOCK, 2]: two numbers of each token side by side
    bfloat16  [pieces, steps, 2, 16, 16, 2]: see `_tiles`
    int8      [2 pieces, steps, 2, 16, 16, 4]
    """
    tokens, dim = queries.shape
    blocks, steps = -(-tokens // BLOCK), -(-dim // kernel.step)
    room = np.zeros((blocks * BLOCK, steps * kernel.step), np.float32)
    room[:tokens, :dim] = queries
    scales = np.ones(tokens, np.float32)
    if kernel.numbers == "float32":
        columns = room.reshape(blocks, BLOCK, steps).transpose(0, 2, 1)
        return Packed(_at_a_cache_line(columns), scales, steps, 1)
    if kernel.numbers == "bfloat16":
        parts = bfloat16_pieces(room, 2 if dim >= TWO_PIECES_FROM else 3)
        return Packed(_at_a_cache_line(_tiles(parts, steps)), scales, steps, len(parts))
    whole, scales = rounded(room)
    if kernel.numbers == "int16":
        pairs = whole.astype(np.int16).reshape(blocks, BLOCK, steps, 2).transpose(0, 2, 1, 3)
        return Packed(_at_a_cache_line(pairs), scales, steps, 1)
    first = (whole + 128) >> 8
    parts = np.stack([first, whole - 256 * first]).astype(np.int8)
    return Packed(_at_a_cache_line(_tiles(parts, steps)), scales, steps, 2)


def rounded(queries: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """int32 [tokens, dim] of 16 bits, and float32 [tokens]: token t is about `whole[t] * scales[t]`.

    An inner product with int8 numbers stays below 2^31. That costs resolution only where dim is beyond 500 and the
    numbers of a token are nearly equal.
    """
    sizes = np.abs(queries.astype(np.float64))
    dim = queries.shape[1]
    scales = np.maximum(sizes.max(axis=1) / LARGEST, sizes.sum(axis=1) / (LARGEST_SUM - dim))
    # Rounded to float32 first and never down, so that the bounds hold; below its normal numbers it is too coarse.
    scales = np.nextafter(scales.astype(np.float32), np.float32(np.inf))
    scales = np.maximum(scales, np.finfo(np.float32).tiny)
    return np.rint(queries / scales.astype(np.float64)[:, None]).astype(np.int32), scales


def bfloat16_pieces(queries: npt.NDArray[np.float32], limit: int) -> npt.NDArray[np.uint16]:
    """uint16 [pieces, ...]: at most `limit` bfloat16 numbers whose sum is each of `queries`, the smallest first.

    Three of them hold the 24 bits of any float32, two hold it within 2^-17. Pieces that are all zero are left out: one
    is enough for a query that was bfloat16, two for one that was float16.
    """
    pieces: list[npt.NDArray[np.uint16]] = []
    rest = queries
    while not pieces or (rest.any() and len(pieces) < limit):
        # Of the largest numbers that are not infinite: rounded up, those next to infinity would be.
        piece = np.clip(rest, -LARGEST_BFLOAT16, LARGEST_BFLOAT16).astype(ml_dtypes.bfloat16)
        pieces.append(piece.view(np.uint16))
        rest = rest - piece.astype(np.float32)
    return np.stack(pieces[::-1])


def _tiles(pieces: npt.NDArray[Any], steps: int) -> npt.NDArray[Any]:
    """[pieces, tokens, dim] as the matrix unit wants the right-hand side: [blocks, pieces, steps, 2, 16, 16, together].

    In each half of 16 tokens row r holds, token by token, the numbers `together * r` and those next to it, four bytes
    in all: AMX multiplies them with the same four bytes of a document token.
    """
    count, tokens, _ = pieces.shape
    together = 4 // pieces.dtype.itemsize
    parts = pieces.reshape(count, tokens // BLOCK, 2, 16, steps, 16, together)
    return parts.transpose(1, 0, 4, 2, 5, 3, 6)


def _at_a_cache_line(blocks: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """uint8 [blocks, bytes] of `blocks` [blocks, ...]."""
    size = blocks.nbytes // len(blocks)
    room = np.empty(blocks.nbytes + CACHE_LINE, np.uint8)
    skip = -room.ctypes.data % CACHE_LINE
    packed = room[skip : skip + blocks.nbytes]
    packed.view(blocks.dtype).reshape(blocks.shape)[...] = blocks
    return packed.reshape(len(blocks), size)
