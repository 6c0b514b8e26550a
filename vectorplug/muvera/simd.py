"""Register tiles in LLVM vector code: rows of tokens times a panel of 16 columns, and sums of chosen rows.

Compiled from plain loops the running sums would go through memory at every step; here they stay in registers. LLVM
lowers `<16 x float>` to whatever the CPU has, so one text serves AVX-512, AVX2 and NEON. All arguments are int64, most
of them addresses: the callers in kernels.py answer for bounds.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils
from numba.extending import intrinsic

__all__ = ["LANES", "ROWS", "SUM_WIDTH", "product_tile", "sign_tile", "sum_tile"]

# numba takes the number of arguments from the function itself, which uses none of them.
# ruff: noqa: ARG001

cgutils: Any = untyped_cgutils

LANES = 16
# As many sums as the vector registers hold: 32 of 16 floats, or 16 of 8.
ROWS = 12 if llvmlite.binding.get_host_cpu_features().get("avx512f", False) else 6

# Columns that sum_tile adds at once.
SUM_WIDTH = 2 * LANES

FLOAT = ir.FloatType()
WORD = ir.IntType(16)
VECTOR = ir.VectorType(FLOAT, LANES)


def tile(function: Callable[..., Any]) -> Any:
    """numba's intrinsic: the function returns a signature and what generates the code of a call."""
    return intrinsic(function)


@tile
def sign_tile(
    typing: Any, rows: Any, row_bytes: Any, last: Any, panel: Any, depth: Any, bounds: Any, signs: Any, doubts: Any
) -> Any:
    """Sign bits of ROWS rows times one panel.

    rows     float32 [last + 1, depth], row_bytes apart; rows past `last` repeat it, here and in what is written
    panel    float32 [depth, LANES]
    bounds   float32 [last + 1]: a product no larger than this may have the wrong sign
    signs    uint16 [last + 1]: bit j is (row . column j > 0)
    doubts   uint16 [last + 1]: bit j is not (|row . column j| > bound)
    """

    def store(builder: Any, sums: list[Any], indices: list[Any], arguments: list[Any]) -> None:
        bounds, signs, doubts = arguments
        zero = ir.Constant(VECTOR, None)
        absolute = _vector_function(builder, "llvm.fabs", 1)
        for total, index in zip(sums, indices, strict=True):
            bound = _splat(builder, builder.load(_element(builder, bounds, FLOAT, index)))
            positive = builder.fcmp_ordered(">", total, zero)
            doubtful = builder.fcmp_unordered("<=", builder.call(absolute, [total]), bound)
            for bits, address in ((positive, signs), (doubtful, doubts)):
                builder.store(builder.bitcast(bits, WORD), _element(builder, address, WORD, index))

    return _tile(8, store)


@tile
def product_tile(
    typing: Any, rows: Any, row_bytes: Any, last: Any, panel: Any, depth: Any, products: Any, product_bytes: Any
) -> Any:
    """ROWS rows times one panel.

    products   float32 [last + 1, LANES], product_bytes apart; the others as for sign_tile
    """

    def store(builder: Any, sums: list[Any], indices: list[Any], arguments: list[Any]) -> None:
        products, product_bytes = arguments
        for total, index in zip(sums, indices, strict=True):
            address = builder.add(products, builder.mul(index, product_bytes))
            builder.store(total, _vector_at(builder, address), align=4)

    return _tile(7, store)


@tile
def sum_tile(typing: Any, rows: Any, row_bytes: Any, chosen: Any, count: Any, sums: Any) -> Any:
    """SUM_WIDTH columns of some rows, added in their order.

    rows     float32, at the first of the columns, row_bytes apart
    chosen   int64 [count]: indices of rows
    sums     float32 [SUM_WIDTH]
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        rows, row_bytes, chosen, count, sums = arguments
        places = [ir.Constant(rows.type, 4 * LANES * i) for i in range(SUM_WIDTH // LANES)]
        totals = [cgutils.alloca_once_value(builder, ir.Constant(VECTOR, None)) for _ in places]
        with cgutils.for_range(builder, count) as loop:
            index = builder.load(_element(builder, chosen, rows.type, loop.index))
            row = builder.add(rows, builder.mul(index, row_bytes))
            for total, place in zip(totals, places, strict=True):
                numbers = builder.load(_vector_at(builder, builder.add(row, place)), align=4)
                builder.store(builder.fadd(builder.load(total), numbers), total)
        for total, place in zip(totals, places, strict=True):
            builder.store(builder.load(total), _vector_at(builder, builder.add(sums, place)), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


def _tile(arity: int, store: Callable[[Any, list[Any], list[Any], list[Any]], None]) -> Any:
    """Signature and code generator: sum over the depth in registers, then hand the sums to `store`."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        rows, row_bytes, last, panel, depth, *others = arguments
        multiply_add = _vector_function(builder, "llvm.fmuladd", 3)
        indices = [ir.Constant(last.type, i) for i in range(ROWS)]
        indices = [builder.select(builder.icmp_signed("<", i, last), i, last) for i in indices]
        addresses = [builder.add(rows, builder.mul(i, row_bytes)) for i in indices]
        sums = [cgutils.alloca_once_value(builder, ir.Constant(VECTOR, None)) for _ in indices]
        with cgutils.for_range(builder, depth) as loop:
            line = builder.add(panel, builder.mul(loop.index, ir.Constant(panel.type, 4 * LANES)))
            column = builder.load(_vector_at(builder, line), align=4)
            for total, address in zip(sums, addresses, strict=True):
                number = _splat(builder, builder.load(_element(builder, address, FLOAT, loop.index)))
                builder.store(builder.call(multiply_add, [number, column, builder.load(total)]), total)
        store(builder, [builder.load(total) for total in sums], indices, others)
        return context.get_dummy_value()

    return types.void(*[types.int64] * arity), generate


def _vector_at(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, VECTOR.as_pointer())


def _vector_function(builder: Any, name: str, arity: int) -> Any:
    # declare_intrinsic of llvmlite knows no vector types.
    return cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(VECTOR, [VECTOR] * arity), f"{name}.v{LANES}f32"
    )


def _element(builder: Any, address: Any, kind: Any, index: Any) -> Any:
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


def _splat(builder: Any, number: Any) -> Any:
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), lanes)
