"""Words of LLVM's language that the tiles share: addresses, loads, vectors. Addresses are int64 throughout."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils as untyped_cgutils

__all__ = [
    "ADDRESS",
    "FLOAT",
    "INT8",
    "INT16",
    "INT32",
    "POINTER",
    "VOID",
    "add",
    "call",
    "cgutils",
    "larger",
    "load",
    "prefetch",
    "splat",
    "store",
    "times",
]

cgutils: Any = untyped_cgutils

ADDRESS, INT8, INT16, INT32 = ir.IntType(64), ir.IntType(8), ir.IntType(16), ir.IntType(32)
FLOAT, VOID, POINTER = ir.FloatType(), ir.VoidType(), INT8.as_pointer()


def add(builder: Any, address: Any, offset: Any) -> Any:
    """`address` plus an offset in bytes, a Python int or a value."""
    return builder.add(address, ADDRESS(offset) if isinstance(offset, int) else offset)


def times(builder: Any, value: Any, factor: int) -> Any:
    """An int64 value times a Python int."""
    return builder.mul(value, ADDRESS(factor))


def load(builder: Any, address: Any, kind: Any) -> Any:
    """A number or a vector, which need not be aligned."""
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)


def store(builder: Any, value: Any, address: Any) -> None:
    """Write a number or a vector, which need not be aligned."""
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


def splat(builder: Any, number: Any, lanes: int) -> Any:
    """The vector that holds `number` in every lane."""
    vector = ir.VectorType(number.type, lanes)
    first = builder.insert_element(vector(ir.Undefined), number, INT32(0))
    return builder.shuffle_vector(first, first, ir.VectorType(INT32, lanes)(None))


def larger(builder: Any, left: Any, right: Any) -> Any:
    """The larger of each lane; of two that do not compare, `right`."""
    return builder.select(builder.fcmp_ordered(">", left, right), left, right)


def call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """One of LLVM's intrinsics, by its full name: llvmlite's own declare_intrinsic knows no vector types."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def prefetch(builder: Any, address: Any) -> None:
    """Ask for the cache line at `address`, which may lie anywhere: asking is not reading."""
    line = builder.inttoptr(address, POINTER)
    read, keep_near, is_data = INT32(0), INT32(3), INT32(1)
    call(builder, "llvm.prefetch.p0", VOID, line, read, keep_near, is_data)
