"""The tile of AMX: 32 document tokens x 32 query tokens by the CPU's matrix unit."""

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir

from vectorplug.emit import (
    ADDRESS,
    FLOAT,
    INT8,
    INT32,
    POINTER,
    VOID,
    add,
    call,
    cgutils,
    larger,
    load,
    prefetch,
    splat,
    store,
    times,
)
from vectorplug.maxsim.kernels import BLOCK, Kernel
from vectorplug.maxsim.registers import Place

__all__ = ["configure", "generate", "restore"]

SIDE = 16  # rows of a tile register, each of LINE bytes: 16 float32 or int32, 32 bfloat16, 64 int8
LINE = 64
CHAINS = 4  # maxima that run side by side, each waiting for its own last only
FLOATS = ir.VectorType(FLOAT, SIDE)
INTS = ir.VectorType(INT32, SIDE)


def generate(builder: Any, kernel: Kernel, height: int, place: Place) -> None:
    """Write the code of a tile `height` tokens high, 32 or 16, with the eight tile registers T0 to T7:

                          T6 | T7: 16 + 16 query tokens, one step
        T4: tokens  0..15  T0   T1      T0 += T4 x T6, T1 += T4 x T7,
        T5: tokens 16..31  T2   T3      T2 += T5 x T6, T3 += T5 x T7      for every step of every piece
                          ---- to memory, [height, 32] ---- the largest of each column ---->  maxima[0..31]

    Tokens are read where they lie, LINE bytes of each in a step. int8: the sums of the two pieces are exact, and
    (256 * first + second) times the document token's scale is what is compared.

    bfloat16: numbers of the query are sums of pieces, and so are those of float16 documents. Every piece of the one is
    multiplied with every piece of the other, and the products are added up in float32, those with the query's smallest
    pieces first. Source: Henry, Tang & Heinecke, Leveraging the bfloat16 Artificial Intelligence Datatype For
    Higher-Precision Computations, 2019.
    """
    products = _room(builder)
    if kernel.numbers == "bfloat16":
        _clear(builder, height)
        with cgutils.for_range(builder, place.pieces) as loop:
            _multiply(builder, "tdpbf16ps", kernel, height, place, loop.index)
        _write(builder, height, products)
        _fold(builder, height, place, lambda at, _: load(builder, add(builder, products, at), FLOATS))
        return

    second = _room(builder)
    for piece, address in enumerate((products, second)):
        _clear(builder, height)
        _multiply(builder, "tdpbssd", kernel, height, place, ADDRESS(piece))
        _write(builder, height, address)

    def found(at: int, row: int) -> Any:
        coarse = builder.sitofp(load(builder, add(builder, products, at), INTS), FLOATS)
        fine = builder.sitofp(load(builder, add(builder, second, at), INTS), FLOATS)
        coarse = builder.fmul(coarse, FLOATS([256.0] * SIDE), flags=["contract"])
        scale = load(builder, add(builder, place.scales, 4 * row), FLOAT)
        return builder.fmul(builder.fadd(coarse, fine, flags=["contract"]), splat(builder, scale, SIDE))

    _fold(builder, height, place, found)


def configure(builder: Any, saved: Any) -> None:
    """Make this thread's tile registers SIDE x LINE bytes, and keep in 64 bytes at `saved` what they were.

    Whoever else multiplies in this thread, as torch does, finds them again as they were, and empty.
    """
    shape = bytearray(64)
    shape[0] = 1  # the only palette there is
    for register in range(8):
        shape[16 + 2 * register] = LINE
        shape[48 + register] = SIDE
    constant = cgutils.global_constant(builder, "amx_shape", ir.ArrayType(INT8, 64)([INT8(byte) for byte in shape]))
    call(builder, "llvm.x86.sttilecfg", VOID, builder.inttoptr(saved, POINTER))
    call(builder, "llvm.x86.ldtilecfg", VOID, builder.bitcast(constant, POINTER))


def restore(builder: Any, saved: Any) -> None:
    """Give the tile registers back the shape that `configure` kept."""
    call(builder, "llvm.x86.ldtilecfg", VOID, builder.inttoptr(saved, POINTER))


def _room(builder: Any) -> Any:
    """The address of 4 KB on the stack: a tile's inner products, [32, 32] numbers of four bytes."""
    room = cgutils.alloca_once(builder, ir.ArrayType(FLOATS, BLOCK * BLOCK // SIDE))
    room.align = LINE
    return builder.ptrtoint(room, ADDRESS)


def _sums(height: int) -> Iterator[tuple[int, int, int]]:
    """The registers T0 to T3 that are in use, each with its half of the document tokens and of the query tokens."""
    return ((2 * half + column, half, column) for half in range(height // SIDE) for column in range(2))


def _clear(builder: Any, height: int) -> None:
    for register, _, _ in _sums(height):
        call(builder, "llvm.x86.tilezero", VOID, INT8(register))


def _multiply(builder: Any, instruction: str, kernel: Kernel, height: int, place: Place, piece: Any) -> None:
    """Add the products with one piece of the query; the first asks for a share of what is `ahead`, too."""
    share, piece_bytes = kernel.share(height), times(builder, place.steps, LINE)
    query = add(builder, place.query, builder.mul(piece, times(builder, piece_bytes, 2 * SIDE)))
    first = builder.icmp_signed("==", piece, ADDRESS(0))
    with cgutils.for_range(builder, place.steps) as loop:
        with builder.if_then(first):
            asked = add(builder, place.ahead, times(builder, loop.index, share))
            for line in range(0, share, LINE):
                prefetch(builder, add(builder, asked, line))
        columns = add(builder, query, times(builder, loop.index, 2 * SIDE * LINE))
        tokens = add(builder, place.tokens, times(builder, loop.index, LINE))
        for column in range(2):
            _load_tile(builder, 6 + column, add(builder, columns, column * SIDE * LINE), ADDRESS(LINE))
        for _ in range(kernel.pieces):
            for half in range(height // SIDE):
                rows = add(builder, tokens, times(builder, place.row_bytes, half * SIDE))
                _load_tile(builder, 4 + half, rows, place.row_bytes)
            for register, half, column in _sums(height):
                call(builder, f"llvm.x86.{instruction}", VOID, INT8(register), INT8(4 + half), INT8(6 + column))
            tokens = add(builder, tokens, piece_bytes)


def _load_tile(builder: Any, register: int, address: Any, stride: Any) -> None:
    pointer = builder.inttoptr(address, POINTER)
    call(builder, "llvm.x86.tileloadd64", VOID, INT8(register), pointer, stride)


def _write(builder: Any, height: int, products: Any) -> None:
    for register, half, column in _sums(height):
        pointer = builder.inttoptr(add(builder, products, 2 * LINE * SIDE * half + LINE * column), POINTER)
        call(builder, "llvm.x86.tilestored64", VOID, INT8(register), pointer, ADDRESS(2 * LINE))


def _fold(builder: Any, height: int, place: Place, found: Callable[[int, int], Any]) -> None:
    """Maxima become the larger of themselves and of `found(offset in bytes, row)`, 16 products at a time."""
    for column in range(2):
        largest_at = add(builder, place.maxima, LINE * column)
        chains = [load(builder, largest_at, FLOATS)] * CHAINS
        for row in range(height):
            product = found(2 * LINE * row + LINE * column, row)
            chains[row % CHAINS] = larger(builder, product, chains[row % CHAINS])
        largest = chains[0]
        for chain in chains[1:]:
            largest = larger(builder, chain, largest)
        store(builder, largest, largest_at)
