"""The compiled walk over documents, and the tile of vector instructions in the middle of it.

Both stand in one file because numba's cache watches only the file of the function that it compiled: a tile in a
module of its own could change and the old machine code would go on running.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["BLOCK", "TILES", "Tile", "compiled"]

BLOCK = 32  # query tokens that one tile compares with


class Tile(NamedTuple):
    """`lanes` float32 numbers a register; `tall` tokens while a document has so many left, `short` at its end."""

    lanes: int
    tall: int
    short: int


# As many sums as stay in registers beside what feeds them: 12 x 2 of 32 zmm; 2 x 4 of 16 ymm (3 x 4 spill: 1.4 times
# slower). "plain" needs only what LLVM offers on every CPU: 2 x 8 of the 32 registers that an ARM core has.
TILES = {"avx512": Tile(16, 12, 4), "avx2": Tile(8, 2, 1), "plain": Tile(4, 2, 1)}


@intrinsic
def _tile_maxima(
    _: Any, values: Any, token: Any, ahead: Any, packed: Any, block: Any, maxima: Any, height: Any, lanes: Any
) -> Any:
    """`values` float32 [total, dim] from row `token` on, against `packed` [blocks, dim, BLOCK] at `block`.

    Writes into `maxima` float32 [blocks * BLOCK] the larger of what stands there and of the inner products of each
    query token with `height` document tokens. The sums stay in registers while k runs over dim. Drawn for avx512:

                               packed[block, k]: 32 query tokens
                               lanes 0..15     lanes 16..31
        values[token +  0, k]  sums[ 0][0]     sums[ 0][1]       sums[t][v] += values[token + t, k] * query[v]
        values[token +  1, k]  sums[ 1][0]     sums[ 1][1]
                 ...               ...             ...
        values[token + 11, k]  sums[11][0]     sums[11][1]
                               ---- the largest of each column, once k is done ---->  maxima[block, 0..31]

    Step k also asks for `height` of the numbers from row `ahead` on, so that a tile asks for exactly one other tile:
    the hardware's own prefetcher stops at every page, which halves the speed. Asking is not reading: `ahead` may lie
    outside `values`. Nothing need be aligned; a `packed` that begins at a cache line is read faster.
    """
    if not (isinstance(height, types.IntegerLiteral) and isinstance(lanes, types.IntegerLiteral)):
        return None  # numba asks again, with the literals
    width = lanes.literal_value
    rows, columns = range(height.literal_value), range(BLOCK // width)
    number, integer = ir.FloatType(), ir.IntType(64)
    vector = ir.VectorType(number, width)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def array(position: int) -> Any:
            return context.make_array(signature.args[position])(context, builder, arguments[position])

        def at(base: Any, *factors: Any) -> Any:
            index = factors[0]
            for factor in factors[1:]:
                index = builder.mul(index, factor)
            return builder.gep(base, [index])

        def vector_at(base: Any, column: int) -> Any:
            return builder.bitcast(at(base, integer(column * width)), vector.as_pointer())

        def splat(scalar: Any) -> Any:
            first = builder.insert_element(vector(ir.Undefined), scalar, ir.IntType(32)(0))
            return builder.shuffle_vector(first, first, ir.VectorType(ir.IntType(32), width)(None))

        values, packed, maxima = array(0), array(3), array(5)
        _, token, ahead, _, block, *_ = arguments
        dim = builder.extract_value(values.shape, 1)
        query = at(packed.data, block, dim, integer(BLOCK))
        next_tile = at(values.data, ahead, dim)
        tokens = [at(values.data, builder.add(token, integer(row)), dim) for row in rows]
        sums = [[cgutils.alloca_once(builder, vector) for _ in columns] for _ in rows]  # type: ignore[no-untyped-call]
        for row in rows:
            for column in columns:
                builder.store(vector(None), sums[row][column])

        flags = ir.IntType(32)
        prefetch = builder.module.declare_intrinsic(
            "llvm.prefetch", [number.as_pointer()], ir.FunctionType(ir.VoidType(), [number.as_pointer()] + 3 * [flags])
        )
        read, keep_near, is_data = flags(0), flags(3), flags(1)

        with cgutils.for_range(builder, dim) as loop:
            k = loop.index
            builder.call(prefetch, [at(next_tile, k, integer(len(rows))), read, keep_near, is_data])
            query_k = at(query, k, integer(BLOCK))
            query_vectors = [builder.load(vector_at(query_k, column), align=4) for column in columns]
            for row in rows:
                token_k = splat(builder.load(at(tokens[row], k), align=1))
                for column in columns:
                    # "contract" lets LLVM fuse the two where the CPU can, and only there.
                    product = builder.fmul(token_k, query_vectors[column], flags=["contract"])
                    old = builder.load(sums[row][column])
                    builder.store(builder.fadd(old, product, flags=["contract"]), sums[row][column])

        for column in columns:
            largest_at = vector_at(at(maxima.data, block, integer(BLOCK)), column)
            largest = builder.load(largest_at, align=4)
            for row in rows:
                found = builder.load(sums[row][column])
                largest = builder.select(builder.fcmp_ordered(">", found, largest), found, largest)
            builder.store(largest, largest_at, align=4)
        return context.get_dummy_value()

    return types.void(values, token, ahead, packed, block, maxima, height, lanes), generate


@intrinsic
def _claim(_: Any, counter: Any) -> Any:
    """What stands in `counter` int64 [1], which one indivisible step raises by one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, ir.IntType(64)(1), "monotonic")

    return types.int64(counter), generate


# numba types an intrinsic as it is defined, with the typing context that its callers never pass.
tile_maxima: Any = _tile_maxima
claim: Any = _claim


@cache
def compiled(tile: Tile) -> Any:
    """`score_pieces` for one tile: compiled in a second or two at first use ever, then read from numba's cache."""
    lanes, tall, short = tile

    def score_pieces(
        values: Any, starts: Any, stops: Any, packed: Any, query_offsets: Any, bounds: Any, counter: Any, scores: Any
    ) -> None:
        """Claim pieces of the documents and score them, until none is left; any number of threads do so at once.

        values float32 [total, dim]; starts, stops int64 [n]: the rows of each document; packed float32
        [blocks, dim, BLOCK]: the tokens of all queries, one after another, as columns; query_offsets int64
        [queries + 1]; bounds int64 [pieces + 1]: piece p is documents bounds[p] to bounds[p + 1]; counter int64 [1]:
        the next piece, zero at first, shared by the threads; scores float32 [queries, n], written.
        """
        blocks = len(packed)
        last = len(starts) - 1
        maxima = np.empty(blocks * BLOCK, np.float32)
        piece = claim(counter)
        while piece < len(bounds) - 1:
            for i in range(bounds[piece], bounds[piece + 1]):
                start, stop = starts[i], stops[i]
                # What lies ahead of a document's end is the document that is scored next, wherever that begins.
                jump = starts[min(i + 1, last)] - stop
                maxima[:] = -np.inf
                for block in range(blocks):
                    t = start
                    while t + tall <= stop:
                        ahead = t + 2 * tall
                        if ahead >= stop:
                            ahead += jump
                        tile_maxima(values, t, ahead, packed, block, maxima, tall, lanes)
                        t += tall
                    # The end goes by short tiles; the last steps back onto tokens that were seen, which changes no
                    # maximum and reads nothing past the end. A document that is shorter still goes token by token.
                    while t < stop and stop - start >= short:
                        t = min(t, stop - short)
                        tile_maxima(values, t, t + 2 * tall + jump, packed, block, maxima, short, lanes)
                        t += short
                    while t < stop:
                        tile_maxima(values, t, t + 2 * tall + jump, packed, block, maxima, 1, lanes)
                        t += 1
                for query in range(len(query_offsets) - 1):
                    total = np.float32(0)
                    for column in range(query_offsets[query], query_offsets[query + 1]):
                        total += maxima[column]
                    scores[query, i] = total
            piece = claim(counter)

    def argument(dtype: Any, ndim: int) -> Any:
        # A caller's array may be read-only or, in a mapped file, unaligned: one machine code takes them all.
        return types.Array(dtype, ndim, "C", readonly=True, aligned=False)

    signature = types.void(
        argument(types.float32, 2),
        argument(types.int64, 1),
        argument(types.int64, 1),
        argument(types.float32, 3),
        argument(types.int64, 1),
        argument(types.int64, 1),
        types.Array(types.int64, 1, "C"),
        types.Array(types.float32, 2, "A"),
    )
    try:
        return njit(signature, nogil=True, cache=True)(score_pieces)
    except RuntimeError:
        # No folder that a cache could be written to, as in a read-only container.
        return njit(signature, nogil=True)(score_pieces)
