"""Document tokens turned into the numbers of a tile that multiplies other ones than are stored."""

from typing import Any

from llvmlite import ir

from vectorplug.maxsim.emit import ADDRESS, FLOAT, INT8, INT16, INT32, add, cgutils, load, splat, store, times
from vectorplug.maxsim.kernels import Kernel

__all__ = ["generate"]

TYPES = {"float32": FLOAT, "float16": INT16, "bfloat16": INT16, "int8": INT8, "int16": INT16}
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "int16": 2}


def generate(builder: Any, kernel: Kernel, source: Any, dim: Any, scale: Any, target: Any) -> None:
    """Write the code that turns one token at `source` [dim] into the kernel's numbers at `target` [dim].

    Both are addresses, and need not be aligned: vectors first, then the rest one by one. float32 numbers of int8
    tokens are multiplied by `scale` at once; int16 and int8 ones go on without.
    """
    lanes = 4 * kernel.lanes // BYTES[kernel.numbers]
    whole = builder.mul(builder.sdiv(dim, ADDRESS(lanes)), ADDRESS(lanes))
    for begin, end, step in ((ADDRESS(0), whole, lanes), (whole, dim, 1)):
        stored_type = ir.VectorType(TYPES[kernel.stored], step)
        with cgutils.for_range_slice(builder, begin, end, ADDRESS(step)) as (k, _):
            stored = load(builder, add(builder, source, times(builder, k, BYTES[kernel.stored])), stored_type)
            numbers = _numbers(builder, kernel, stored)
            if kernel.stored == "int8" and kernel.numbers == "float32":
                numbers = builder.fmul(numbers, splat(builder, scale, step))
            store(builder, numbers, add(builder, target, times(builder, k, BYTES[kernel.numbers])))


def _numbers(builder: Any, kernel: Kernel, stored: Any) -> Any:
    lanes = stored.type.count
    floats, shorts = ir.VectorType(FLOAT, lanes), ir.VectorType(INT16, lanes)
    match kernel.stored, kernel.numbers:
        case (same, other) if same == other:
            return stored
        case "bfloat16", _:
            words = ir.VectorType(INT32, lanes)
            return builder.bitcast(builder.shl(builder.zext(stored, words), words([16] * lanes)), floats)
        case "int8", "int16":
            return builder.sext(stored, shorts)
        case "int8", _:
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
    sign = builder.shl(builder.and_(wide, every(0x8000)), every(16))
    size = builder.shl(builder.and_(wide, every(0x7FFF)), every(13))
    # The exponents differ by 127 - 15; the product is right for numbers without a leading one, too.
    size = builder.fmul(builder.bitcast(size, floats), floats([2.0**112] * lanes))
    return builder.bitcast(builder.or_(builder.bitcast(size, words), sign), floats)
