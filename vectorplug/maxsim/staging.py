"""Document tokens turned into the numbers of a tile that multiplies other ones than are stored."""

from typing import Any

from llvmlite import ir

from vectorplug.emit import ADDRESS, FLOAT, INT8, INT16, INT32, add, cgutils, load, splat, store, times
from vectorplug.maxsim import nibbles
from vectorplug.maxsim.kernels import SCALED, Kernel

__all__ = ["generate"]

TYPES = {"float32": FLOAT, "float16": INT16, "bfloat16": INT16, "int8": INT8, "int4": INT8}
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "int4": 1, "int16": 2}


def generate(builder: Any, kernel: Kernel, source: Any, dim: Any, scale: Any, target: Any) -> None:
    """Write the code that turns one token at `source` [dim] into the kernel's numbers at `target` [dim].

    Both are addresses, and need not be aligned: vectors first, then the rest one by one. float32 numbers of int8 and
    int4 tokens are multiplied by `scale` at once; int16 and int8 ones go on without. The bytes of an int4 token hold
    two numbers each, j and j + dim / 2 (quantizing.py). float16 becomes bfloat16 in two pieces: see `_store_pieces`.
    """
    halves = kernel.stored == "int4"
    count = builder.sdiv(dim, ADDRESS(2)) if halves else dim
    begin: Any = ADDRESS(0)
    for step in _steps(kernel):
        end = builder.mul(builder.sdiv(count, ADDRESS(step)), ADDRESS(step))
        with cgutils.for_range_slice(builder, begin, end, ADDRESS(step)) as (k, _):
            at = add(builder, source, times(builder, k, BYTES[kernel.stored]))
            stored = load(builder, at, ir.VectorType(TYPES[kernel.stored], step))
            parts = nibbles.levels(builder, kernel.path, stored) if halves else [stored]
            for part, first in zip(parts, (ADDRESS(0), count), strict=False):
                numbers = _numbers(builder, kernel, part)
                if kernel.stored in SCALED and kernel.numbers == "float32":
                    numbers = builder.fmul(numbers, splat(builder, scale, step))
                place = add(builder, target, times(builder, builder.add(first, k), BYTES[kernel.numbers]))
                if kernel.pieces == 1:
                    store(builder, numbers, place)
                else:
                    _store_pieces(builder, kernel, numbers, dim, place)
        begin = end


def _store_pieces(builder: Any, kernel: Kernel, numbers: Any, dim: Any, place: Any) -> None:
    """Write float32 `numbers` as bfloat16 pieces that add up to them, at `place` and as far on in each further piece.

    A token is [pieces, dim up to whole steps]. bfloat16 is the upper half of a float32: the first piece has a number's
    first 8 bits, the next one 8 more, so two hold the 11 bits of any float16. A number that is NaN or infinite has a
    piece that is NaN.
    """
    lanes = numbers.type.count
    words, shorts = ir.VectorType(INT32, lanes), ir.VectorType(INT16, lanes)
    steps = builder.sdiv(builder.add(dim, ADDRESS(kernel.step - 1)), ADDRESS(kernel.step))
    for piece in range(kernel.pieces):
        bits = builder.bitcast(numbers, words)
        upper = builder.trunc(builder.lshr(bits, words([16] * lanes)), shorts)
        store(builder, upper, add(builder, place, times(builder, steps, piece * kernel.step_bytes)))
        whole = builder.bitcast(builder.and_(bits, words([0xFFFF0000] * lanes)), numbers.type)
        numbers = builder.fsub(numbers, whole)


def _steps(kernel: Kernel) -> tuple[int, ...]:
    """Values that are read at once: first as many as make a register full, at last one."""
    if kernel.stored == "int4":
        return (*nibbles.WIDTHS[kernel.path], 1)
    return 4 * kernel.lanes // BYTES[kernel.numbers], 1


def _numbers(builder: Any, kernel: Kernel, stored: Any) -> Any:
    lanes = stored.type.count
    floats, shorts = ir.VectorType(FLOAT, lanes), ir.VectorType(INT16, lanes)
    match kernel.stored, kernel.numbers:
        case ("int4", "int8"):
            return stored  # levels, which are int8
        case (same, other) if same == other:
            return stored
        case "bfloat16", _:
            words = ir.VectorType(INT32, lanes)
            return builder.bitcast(builder.shl(builder.zext(stored, words), words([16] * lanes)), floats)
        case "int8" | "int4", "int16":
            return builder.sext(stored, shorts)
        case "int8" | "int4", _:
            return builder.sitofp(stored, floats)
    if kernel.path == "plain":
        return _floats_of_halves(builder, stored)
    return builder.fpext(builder.bitcast(stored, ir.VectorType(ir.HalfType(), lanes)), floats)


def _floats_of_halves(builder: Any, bits: Any) -> Any:
    """float16 by integers: where the CPU lacks the instruction LLVM calls a function that is not there."""
    lanes = bits.type.count
    words, floats = ir.VectorType(INT32, lanes), ir.VectorType(FLOAT, lanes)

    def every(number: int) -> Any:
        return words([number] * lanes)

    wide = builder.zext(bits, words)
    no_number = builder.icmp_unsigned(">=", builder.and_(wide, every(0x7FFF)), every(0x7C00))
    sign = builder.shl(builder.and_(wide, every(0x8000)), every(16))
    size = builder.shl(builder.and_(wide, every(0x7FFF)), every(13))
    # The exponents differ by 127 - 15; the product is right for numbers without a leading one, too.
    size = builder.fmul(builder.bitcast(size, floats), floats([2.0**112] * lanes))
    size = builder.bitcast(size, words)
    size = builder.select(no_number, builder.or_(size, every(0x7F800000)), size)
    return builder.bitcast(builder.or_(size, sign), floats)
