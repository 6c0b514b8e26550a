"""Register tiles in LLVM's language: 16 tokens times 64 columns on AMX, and sums of features. Addresses are int64."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from vectorplug.emit import (
    ADDRESS,
    FLOAT,
    INT8,
    INT16,
    INT32,
    POINTER,
    VOID,
    add,
    call,
    cgutils,
    larger,
    load,
    splat,
    store,
    times,
)
from vectorplug.maxsim import amx

__all__ = ["COLUMNS", "LINE", "SIDE", "give_back", "narrow", "product_16", "product_row", "shape", "sum_features"]

# numba takes the number of arguments from the function itself, which uses none of them.
# ruff: noqa: ARG001

SIDE = 16  # rows of a tile register, each of LINE bytes: 16 float32 or 32 bfloat16
LINE = 64
COLUMNS = 64  # of a product: four tile registers
FLOATS = ir.VectorType(FLOAT, SIDE)
PARTS = COLUMNS // SIDE


def tile(function: Any) -> Any:
    """numba's intrinsic: the function returns a signature and what generates the code of a call."""
    return intrinsic(function)


@tile
def shape(typing: Any, saved: Any) -> Any:
    """Shape this thread's tile registers, and keep in 64 bytes at `saved` what they were."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        amx.configure(builder, *arguments)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@tile
def give_back(typing: Any, saved: Any) -> Any:
    """Give the tile registers the shape that they had."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        amx.restore(builder, *arguments)
        return context.get_dummy_value()

    return types.void(types.int64), generate


@tile
def product_16(typing: Any, rows: Any, row_bytes: Any, block: Any, steps: Any, products: Any) -> Any:
    """SIDE rows times one block of COLUMNS columns, on AMX.

    rows      bfloat16 [SIDE, 32 steps], row_bytes apart
    block     bfloat16 [steps, 4, 16, 16, 2]: for each 16 columns, two numbers of each column side by side
    products  float32 [SIDE, COLUMNS]
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        rows, row_bytes, block, steps, products = arguments
        for part in range(PARTS):
            call(builder, "llvm.x86.tilezero", VOID, INT8(part))
        with cgutils.for_range(builder, steps) as step:
            _load_tile(builder, PARTS, add(builder, rows, times(builder, step.index, LINE)), row_bytes)
            columns = add(builder, block, times(builder, step.index, PARTS * SIDE * LINE))
            for part in range(PARTS):
                right = PARTS + 1 + part % 3
                _load_tile(builder, right, add(builder, columns, part * SIDE * LINE), ADDRESS(LINE))
                call(builder, "llvm.x86.tdpbf16ps", VOID, INT8(part), INT8(PARTS), INT8(right))
        for part in range(PARTS):
            target = builder.inttoptr(add(builder, products, LINE * part), POINTER)
            call(builder, "llvm.x86.tilestored64", VOID, INT8(part), target, ADDRESS(PARTS * LINE))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@tile
def sum_features(typing: Any, products: Any, count: Any, thresholds: Any, sums: Any) -> Any:
    """Add to `sums` relu(product - threshold) of the first `count` rows, in their order.

    products float32 [count, COLUMNS]; thresholds, sums float32 [COLUMNS]
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        products, count, thresholds, sums = arguments
        places = [LINE * part for part in range(PARTS)]
        edges = [load(builder, add(builder, thresholds, place), FLOATS) for place in places]
        totals = [
            cgutils.alloca_once_value(builder, load(builder, add(builder, sums, place), FLOATS)) for place in places
        ]
        with cgutils.for_range(builder, count) as loop:
            row = add(builder, products, times(builder, loop.index, PARTS * LINE))
            for place, edge, total in zip(places, edges, totals, strict=True):
                height = builder.fsub(load(builder, add(builder, row, place), FLOATS), edge)
                feature = larger(builder, height, FLOATS(None))
                builder.store(builder.fadd(builder.load(total), feature), total)
        for place, total in zip(places, totals, strict=True):
            store(builder, builder.load(total), add(builder, sums, place))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@tile
def product_row(typing: Any, row: Any, panels: Any, depth: Any, products: Any) -> Any:
    """One row times COLUMNS columns, each summed in the order of the depth as muvera's product_tile does.

    row float32 [depth]; panels float32 [4, depth, 16]; products float32 [COLUMNS]
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        row, panels, depth, products = arguments
        totals = [cgutils.alloca_once_value(builder, FLOATS(None)) for _ in range(PARTS)]
        panel_bytes = times(builder, depth, LINE)
        with cgutils.for_range(builder, depth) as loop:
            number = splat(builder, load(builder, add(builder, row, times(builder, loop.index, 4)), FLOAT), SIDE)
            place = add(builder, panels, times(builder, loop.index, LINE))
            for total in totals:
                sum_ = call(
                    builder, "llvm.fmuladd.v16f32", FLOATS, number, load(builder, place, FLOATS), builder.load(total)
                )
                builder.store(sum_, total)
                place = add(builder, place, panel_bytes)
        for part, total in enumerate(totals):
            store(builder, builder.load(total), add(builder, products, LINE * part))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@tile
def narrow(typing: Any, source: Any, count: Any, target: Any) -> Any:
    """float32 [count] at `source` rounded to bfloat16 at `target`; `count` is a multiple of SIDE.

    Returns 1 where all are finite, else 0.
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        source, count, target = arguments
        words, shorts = ir.VectorType(INT32, SIDE), ir.VectorType(INT16, SIDE)

        def every(number: int) -> Any:
            return words([number] * SIDE)

        infinite = cgutils.alloca_once_value(builder, every(0))
        with cgutils.for_range_slice(builder, ADDRESS(0), count, ADDRESS(SIDE)) as (k, _):
            bits = load(builder, add(builder, source, times(builder, k, 4)), words)
            found = builder.icmp_unsigned("==", builder.and_(bits, every(0x7F800000)), every(0x7F800000))
            builder.store(builder.or_(builder.load(infinite), builder.zext(found, words)), infinite)
            even = builder.and_(builder.lshr(bits, every(16)), every(1))
            top = builder.lshr(builder.add(bits, builder.add(even, every(0x7FFF))), every(16))
            store(builder, builder.trunc(top, shorts), add(builder, target, times(builder, k, 2)))
        any_ = call(builder, f"llvm.vector.reduce.or.v{SIDE}i32", INT32, builder.load(infinite))
        return builder.zext(builder.icmp_unsigned("==", any_, INT32(0)), ADDRESS)

    return types.int64(*[types.int64] * 3), generate


def _load_tile(builder: Any, register: int, address: Any, stride: Any) -> None:
    pointer = builder.inttoptr(address, POINTER)
    call(builder, "llvm.x86.tileloadd64", VOID, INT8(register), pointer, stride)
