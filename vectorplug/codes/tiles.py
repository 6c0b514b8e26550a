"""Register tiles in LLVM's language: some documents times one query, read line by line of 64 bytes.

Each adds to `sums` what the numbers of `lines` lines sum up to, before the scale:

rows     bytes [last + 1, at least 64 x lines], row_bytes apart; rows past `last` repeat it
query    of the tile's own layout, so many lines of it
sums     float32 [HEIGHTS[tile]]

All arguments are int64, four of them addresses: the caller in kernels.py answers for bounds.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from vectorplug.emit import ADDRESS, FLOAT, INT8, INT32, add, call, cgutils, load, prefetch, times

__all__ = ["HEIGHTS", "LINE", "QUERY_LINE", "tile"]

LINE = 64  # bytes
LANES = 16
GROUPS = 2  # of 16 documents, which share the tables of a line while they are in the first cache
DOCUMENTS = 4  # whose codes of 8 bits share the loads of the query
WORDS = 16  # of 32 bits, in a line
NIBBLES = 8  # in a word

# float32 of a query that a line meets: its numbers, or a table of 16 for every four bits.
QUERY_LINE = {"int8": LINE, "bit": WORDS * NIBBLES * 16}

FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT32, LANES)
HALF_FLOATS, HALF_INTS = ir.VectorType(FLOAT, LANES // 2), ir.VectorType(INT32, LANES // 2)


def _int8(builder: Any, rows: Any, row_bytes: Any, last: Any, query: Any, lines: Any, sums: Any) -> None:
    """`query` float32 [lines, 64]. One running sum a document: four of them hide what an addition waits."""
    addresses = list(_addresses(builder, rows, row_bytes, last, range(DOCUMENTS)))
    ahead = times(builder, row_bytes, DOCUMENTS)
    totals = [cgutils.alloca_once_value(builder, FLOATS(None)) for _ in addresses]
    with cgutils.for_range(builder, lines) as line:
        place = times(builder, line.index, LINE)
        numbers = builder.add(query, times(builder, place, 4))
        codes = [builder.add(address, place) for address in addresses]
        for code in codes:
            prefetch(builder, builder.add(code, ahead))
        for part in range(0, LINE, LANES):
            asked = load(builder, add(builder, numbers, 4 * part), FLOATS)
            for code, total in zip(codes, totals, strict=True):
                stored = load(builder, add(builder, code, part), ir.VectorType(INT8, LANES))
                decoded = builder.sitofp(builder.sext(stored, INTS), FLOATS)
                more = call(builder, "llvm.fmuladd.v16f32", FLOATS, decoded, asked, builder.load(total))
                builder.store(more, total)
    left, right = ([builder.load(total) for total in pair] for pair in (totals[:2], totals[2:]))
    added = _neighbours(builder, _neighbours(builder, *left), _neighbours(builder, *right))
    while added.type.count > DOCUMENTS:
        added = _neighbours(builder, added)
    target = builder.inttoptr(sums, added.type.as_pointer())
    builder.store(builder.fadd(builder.load(target, align=4), added), target, align=4)


def _bit(look_up: Callable[[Any, Any, Any], Any]) -> Callable[..., None]:
    """16 documents at once, one a lane: every four bits of each choose a sum from a table that the lanes share."""

    def generate(builder: Any, rows: Any, row_bytes: Any, last: Any, query: Any, lines: Any, sums: Any) -> None:
        """`query` float32 [lines, 16 words, 8, 16]: for each four bits, low ones first, what each of 16 codes adds."""
        ahead = times(builder, row_bytes, GROUPS * LANES)
        some = add(builder, builder.sdiv(last, ADDRESS(LANES)), 1)
        groups = builder.select(builder.icmp_signed("<", some, ADDRESS(GROUPS)), some, ADDRESS(GROUPS))
        with cgutils.for_range(builder, lines) as line, cgutils.for_range(builder, groups) as group:
            place = builder.add(rows, times(builder, line.index, LINE))
            tables = builder.add(query, times(builder, line.index, 4 * QUERY_LINE["bit"]))
            first = times(builder, group.index, LANES)
            wanted = [add(builder, first, row) for row in range(LANES)]
            addresses = list(_addresses(builder, place, row_bytes, last, wanted))
            for address in addresses:
                prefetch(builder, builder.add(address, ahead))
            turned = _transposed(builder, [load(builder, address, INTS) for address in addresses])
            target = builder.inttoptr(builder.add(sums, times(builder, first, 4)), FLOATS.as_pointer())
            totals = [builder.load(target, align=4), *[FLOATS(None)] * 3]
            for step, (word, nibble) in enumerate(product(turned, range(NIBBLES))):
                codes = builder.lshr(word, INTS([4 * nibble] * LANES))
                more = look_up(builder, add(builder, tables, 4 * 16 * step), codes)
                totals[step % 4] = builder.fadd(totals[step % 4], more)
            left, right = (builder.fadd(*pair) for pair in (totals[:2], totals[2:]))
            builder.store(builder.fadd(left, right), target, align=4)

    return generate


# What `table` float32 [16] holds at the lowest four bits of each lane of `codes`.


def _by_permutation(builder: Any, table: Any, codes: Any) -> Any:
    return call(builder, "llvm.x86.avx512.permvar.sf.512", FLOATS, load(builder, table, FLOATS), codes)


def _by_two_permutations(builder: Any, table: Any, codes: Any) -> Any:
    """Eight numbers fit into a register: the fourth bit says which half of the table it is."""
    halves = [load(builder, add(builder, table, offset), HALF_FLOATS) for offset in (0, 32)]
    found: list[Any] = []
    for lanes in (range(LANES // 2), range(LANES // 2, LANES)):
        some = _chosen(builder, codes, codes, lanes)
        below, above = (call(builder, "llvm.x86.avx2.permps", HALF_FLOATS, half, some) for half in halves)
        is_above = builder.icmp_signed("<", builder.shl(some, HALF_INTS([28] * (LANES // 2))), HALF_INTS(None))
        found.append(builder.select(is_above, above, below))
    first, second = found
    return _chosen(builder, first, second, range(LANES))


def _one_by_one(builder: Any, table: Any, codes: Any) -> Any:
    start = builder.inttoptr(table, FLOAT.as_pointer())
    low = builder.and_(codes, INTS([15] * LANES))
    found = FLOATS(ir.Undefined)
    for lane in range(LANES):
        number = builder.load(builder.gep(start, [builder.extract_element(low, INT32(lane))]))
        found = builder.insert_element(found, number, INT32(lane))
    return found


TILES: dict[str, Callable[..., None]] = {
    "int8": _int8,
    "bit/avx512f": _bit(_by_permutation),
    "bit/avx2": _bit(_by_two_permutations),
    "bit/plain": _bit(_one_by_one),
}
# Documents that a tile goes over at once.
HEIGHTS = {name: DOCUMENTS if name == "int8" else GROUPS * LANES for name in TILES}


@intrinsic
def _tile(_: Any, name: Any, rows: Any, row_bytes: Any, last: Any, query: Any, lines: Any, sums: Any) -> Any:
    if not isinstance(name, types.Literal):
        return None  # numba asks again, with the literal
    chosen = TILES[name.literal_value]

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        chosen(builder, *arguments[1:])
        return context.get_dummy_value()

    return types.void(name, rows, row_bytes, last, query, lines, sums), generate


# numba types an intrinsic as it is defined, with the typing context that its callers never pass.
tile: Any = _tile


def _addresses(builder: Any, rows: Any, row_bytes: Any, last: Any, wanted: Any) -> Iterator[Any]:
    for row in wanted:
        index = ADDRESS(row) if isinstance(row, int) else row
        index = builder.select(builder.icmp_signed("<", index, last), index, last)
        yield builder.add(rows, builder.mul(index, row_bytes))


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Lane i of column j is lane j of row i: four rounds, in each of which two rows change halves, quarters, ..."""
    for distance in (1, 2, 4, 8):
        stays = [lane & distance == 0 for lane in range(LANES)]
        lower = [lane if keep else LANES + lane - distance for lane, keep in enumerate(stays)]
        upper = [lane + distance if keep else LANES + lane for lane, keep in enumerate(stays)]
        changed = list(rows)
        for i in range(LANES):
            if stays[i]:
                pair = rows[i], rows[i + distance]
                changed[i], changed[i + distance] = (_chosen(builder, *pair, lanes) for lanes in (lower, upper))
        rows = changed
    return rows


def _neighbours(builder: Any, left: Any, right: Any = None) -> Any:
    """Lanes 0 + 1, 2 + 3, ... of `left` and, behind them, of `right`: half as many as there are."""
    lanes = left.type.count * (1 if right is None else 2)
    even, odd = (_chosen(builder, left, left if right is None else right, range(i, lanes, 2)) for i in (0, 1))
    return builder.fadd(even, odd)


def _chosen(builder: Any, left: Any, right: Any, lanes: Any) -> Any:
    """The numbered lanes of `left` and, behind them, of `right`."""
    lanes = list(lanes)
    return builder.shuffle_vector(left, right, ir.VectorType(INT32, len(lanes))(lanes))
