"""The tile of vector registers: document tokens x 32 query tokens, all of whose sums stay in registers."""

from typing import Any, NamedTuple

from llvmlite import ir
from llvmlite.binding import initialize_native_asmparser

from vectorplug import emit
from vectorplug.emit import FLOAT, INT16, INT32, add, cgutils, larger, load, splat, store, times
from vectorplug.maxsim.kernels import BLOCK, Kernel

__all__ = ["Place", "generate"]

STEP = 4  # bytes of a token in one step: a float32, or a pair of int16
# The int32 sum of the products of two int16 and two more, in each lane.
PAIR_PRODUCTS = {8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}


class Place(NamedTuple):
    """What a tile works on: int64, most of them addresses of bytes, none of which need be aligned.

    tokens   the first document token of the tile; the next is row_bytes further on
    scales   float32, one a document token; read for int8 and int4 only
    ahead    what will be read soon: each step asks for its share of one tile
    query    one block of packed query tokens (packing.py)
    steps    steps a token
    pieces   query numbers are sums of so many (AMX)
    maxima   float32 [BLOCK]: becomes the larger of what stands there and of this tile's inner products
    """

    tokens: Any
    row_bytes: Any
    scales: Any
    ahead: Any
    query: Any
    steps: Any
    pieces: Any
    maxima: Any


def generate(builder: Any, kernel: Kernel, height: int, place: Place) -> None:
    """Write the code of a tile `height` tokens high. Drawn for avx512, where a register holds 16 sums:

                  query[k]: 32 query tokens
                  lanes 0..15     lanes 16..31
      token  0    sums[ 0][0]     sums[ 0][1]       sums[t][v] += token[t][k] * query[k][v]      float32
      token  1    sums[ 1][0]     sums[ 1][1]       or, for int16, of two numbers at once:
          ...         ...             ...           sums[t][v] += token[t][2k] * query[2k][v]
      token 11    sums[11][0]     sums[11][1]                     + token[t][2k + 1] * query[2k + 1][v]
                  ---- the largest of each column, once k is done ---->  maxima[0..31]

    int16 sums are exact; times the document token's scale they are what is compared. With VNNI one instruction adds the
    products of two numbers, without it two do: as many as for float32, but less is staged. While k runs over the steps,
    each asks for its share of the tile at `ahead`, so that a tile asks for exactly one other: the hardware's own
    prefetcher stops at every page, which halves the speed. A query at a cache line is read faster.
    """
    whole = kernel.numbers == "int16"
    rows, columns = range(height), range(BLOCK // kernel.lanes)
    floats = ir.VectorType(FLOAT, kernel.lanes)
    sums_type = ir.VectorType(INT32, kernel.lanes) if whole else floats
    width = 4 * kernel.lanes
    tokens = [add(builder, place.tokens, times(builder, place.row_bytes, row)) for row in rows]
    sums = [[cgutils.alloca_once_value(builder, sums_type(None)) for _ in columns] for _ in rows]
    asked = kernel.share(height)

    with cgutils.for_range(builder, place.steps) as loop:
        emit.prefetch(builder, add(builder, place.ahead, times(builder, loop.index, asked)))
        at = add(builder, place.query, times(builder, loop.index, BLOCK * STEP))
        query = [load(builder, add(builder, at, width * column), sums_type) for column in columns]
        here = times(builder, loop.index, STEP)
        for row in rows:
            token = load(builder, add(builder, tokens[row], here), INT32 if whole else FLOAT)
            token = splat(builder, token, kernel.lanes)
            for column in columns:
                total = builder.load(sums[row][column])
                builder.store(_multiply_add(builder, kernel, total, token, query[column]), sums[row][column])

    for column in columns:
        largest_at = add(builder, place.maxima, width * column)
        largest = load(builder, largest_at, floats)
        for row in rows:
            found = builder.load(sums[row][column])
            if whole:
                scale = splat(builder, load(builder, add(builder, place.scales, 4 * row), FLOAT), kernel.lanes)
                found = builder.fmul(builder.sitofp(found, floats), scale)
            largest = larger(builder, found, largest)
        store(builder, largest, largest_at)


def _multiply_add(builder: Any, kernel: Kernel, total: Any, token: Any, query: Any) -> Any:
    if total.type.element == FLOAT:
        # "contract" lets LLVM fuse the two where the CPU can, and only there.
        product = builder.fmul(token, query, flags=["contract"])
        return builder.fadd(total, product, flags=["contract"])
    if kernel.path == "vnni":
        # By its name in assembly: LLVM's own function for it comes out as two instructions, at half the speed.
        initialize_native_asmparser()
        kind = ir.FunctionType(total.type, [total.type] * 3)
        return builder.asm(kind, "vpdpwssd $3, $2, $0", "=v,0,v,v", [total, query, token], side_effect=False)
    pairs = ir.VectorType(INT16, 2 * kernel.lanes)
    token, query = builder.bitcast(token, pairs), builder.bitcast(query, pairs)
    return builder.add(total, emit.call(builder, PAIR_PRODUCTS[kernel.lanes], total.type, token, query))
