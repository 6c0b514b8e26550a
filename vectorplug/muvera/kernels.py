"""The steps of an FDE as numba kernels, fused over one document after another so that its blocks stay in cache.

The block of a code that occurs has a slot, and its sum is row `slot` of `rows`. A code's key says what its block
holds: the slot while below 2^SLOT_BITS, with the Hamming distance above those bits once filled, NEVER when empty.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from vectorplug.compiling import digest_of, kept
from vectorplug.muvera.simd import LANES, ROWS, SUM_WIDTH, product_tile, sign_tile, sum_tile

__all__ = ["Packed", "encode_all"]

# There are at most 2^10 slots.
SLOT_BITS = 10
NEAR = np.uint16(1 << SLOT_BITS)
# Farther than any distance, and small enough that ten more steps do not overflow.
NEVER = np.uint16(31 << SLOT_BITS)

DIGEST = digest_of("vectorplug.muvera.kernels", "vectorplug.muvera.simd")

Array = npt.NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Without the GIL, kept on disk; a product and a sum may fuse, sums keep their order."""
    return kept(function, digest=DIGEST, fastmath={"contract"})


class Packed(NamedTuple):
    """The matrices of a dialect laid out for the tiles.

    planes         float64 [repetitions, ksim, dim]
    panels         float32 [panels, dim, LANES]: the planes again, those of one repetition never in two panels
    used           uint16 [panels]: bits of the lanes that hold a plane
    per_panel      repetitions in one panel
    bound          the largest error of a float32 product with a plane, over the norm of the token
    places         int64 [2^ksim]: where the block of a code stands
    projection     float32 [repetitions, panels, dim, LANES]; without panels for the identity
    dproj          numbers a block
    by_code        slots in the order of the codes, else in that of their first tokens: ties go to the lowest slot
    columns, signs the final sketch; empty without one
    """

    planes: npt.NDArray[np.float64]
    panels: npt.NDArray[np.float32]
    used: npt.NDArray[np.uint16]
    per_panel: int
    bound: float
    places: npt.NDArray[np.int64]
    projection: npt.NDArray[np.float32]
    dproj: int
    by_code: bool
    columns: npt.NDArray[np.int64]
    signs: npt.NDArray[np.float32]


@compiled
def encode_all(
    values: Array, offsets: Array, packed: Packed, average: bool, fill: bool, unit_norm: bool, fdes: Array
) -> None:
    """`values` float32 [total, dim], `offsets` int64 [n + 1]; writes all of `fdes` float32 [n, size]."""
    repetitions, ksim, dim = packed.planes.shape
    blocks = 1 << ksim
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    bounds = np.empty(longest, np.float32)
    signs = np.empty((len(packed.panels), longest), np.uint16)
    doubts = np.empty((len(packed.panels), longest), np.uint16)
    codes = np.zeros((repetitions, longest), np.uint16)
    order = np.empty(longest, np.int64)
    keys = np.empty(blocks, np.uint16)
    ends = np.empty(blocks, np.int64)
    fillers = np.empty(blocks, np.int64)
    rows = np.empty((blocks, dim), np.float32)
    projected = packed.projection.shape[1] > 0
    products = np.empty((blocks if projected else 0, packed.projection.shape[1] * LANES), np.float32)
    sketched = len(packed.columns) > 0
    part = blocks * packed.dproj
    unsketched = np.empty(repetitions * part if sketched else 0, np.float32)

    for i in range(len(offsets) - 1):
        tokens = values[offsets[i] : offsets[i + 1]]
        if ksim:
            _sign_bits(tokens, packed, bounds, signs, doubts)
            _recheck(tokens, packed, signs, doubts)
            _codes(signs, packed, len(tokens), codes)
        fde = unsketched if sketched else fdes[i]
        for repetition in range(repetitions):
            occupied = _group(codes[repetition, : len(tokens)], packed.by_code, keys, ends, order)
            _sum(tokens, order, ends, occupied, rows)
            used = occupied
            if fill and occupied < blocks:
                _nearest(keys)
                used = _fillers(tokens, order, keys, ends, occupied, fillers, rows)
            if projected:
                _project(rows, used, packed.projection[repetition], products)
            target = fde[repetition * part : (repetition + 1) * part].reshape(blocks, packed.dproj)
            _write(products if projected else rows, keys, ends, fillers, packed.places, average, target)
        if sketched:
            _sketch(unsketched, packed, fdes[i])
        if unit_norm:
            _to_unit_norm(fdes[i])


@compiled
def _sign_bits(tokens: Array, packed: Packed, bounds: Array, signs: Array, doubts: Array) -> None:
    """Bits of all planes in float32, and which of them are too near zero to be sure of."""
    count, dim = tokens.shape
    for t in range(count):
        norm = _norm(tokens[t])
        # Tiny products are subnormal and lose bits, sums of huge ones may overflow.
        bounds[t] = packed.bound * norm + 1e-36 if norm < 1e30 else np.inf
    for first in range(0, count, ROWS):
        for panel in range(len(packed.panels)):
            sign_tile(
                tokens.ctypes.data + first * dim * 4,
                dim * 4,
                count - 1 - first,
                packed.panels.ctypes.data + panel * dim * LANES * 4,
                dim,
                bounds.ctypes.data + first * 4,
                signs.ctypes.data + (panel * signs.shape[1] + first) * 2,
                doubts.ctypes.data + (panel * doubts.shape[1] + first) * 2,
            )


@partial(kept, digest=DIGEST, fastmath={"contract", "reassoc"})
def _norm(vector: Array) -> float:
    # In whatever order is fastest: one that the compiler chooses, once, for vectors of any length.
    total = 0.0
    for i in range(len(vector)):  # over the numbers themselves the compiler makes no vector of it
        total += np.float64(vector[i]) * np.float64(vector[i])
    return math.sqrt(total)


@compiled
def _recheck(tokens: Array, packed: Packed, signs: Array, doubts: Array) -> None:
    """Settle the doubtful bits in float64: about one in ten thousand."""
    ksim = packed.planes.shape[1]
    for panel in range(len(packed.panels)):
        for t in range(len(tokens)):
            doubtful = doubts[panel, t] & packed.used[panel]
            if doubtful == 0:
                continue
            for lane in range(LANES):
                bit = 1 << lane
                if doubtful & bit:
                    plane = packed.planes[panel * packed.per_panel + lane // ksim, lane % ksim]
                    total = 0.0
                    for d in range(len(plane)):
                        total += plane[d] * tokens[t, d]
                    signs[panel, t] = signs[panel, t] | bit if total > 0 else signs[panel, t] & ~bit


@compiled
def _codes(signs: Array, packed: Packed, count: int, codes: Array) -> None:
    repetitions, ksim, _ = packed.planes.shape
    mask = np.uint16((1 << ksim) - 1)
    for repetition in range(repetitions):
        panel = repetition // packed.per_panel
        shift = np.uint16(repetition % packed.per_panel * ksim)
        for t in range(count):
            codes[repetition, t] = signs[panel, t] >> shift & mask


@compiled
def _group(codes: Array, by_code: bool, keys: Array, ends: Array, order: Array) -> int:
    """Sort tokens by slot: those of slot s end at ends[s] of `order`, its first token first; returns the slots."""
    keys[:] = NEVER
    occupied = 0
    if by_code:
        for code in codes:
            keys[code] = 0
        for code in range(len(keys)):
            if keys[code] == 0:
                keys[code] = occupied
                occupied += 1
    else:
        for code in codes:
            if keys[code] == NEVER:
                keys[code] = occupied
                occupied += 1
    ends[:occupied] = 0
    for code in codes:
        ends[keys[code]] += 1
    start = 0
    for slot in range(occupied):
        start, ends[slot] = start + ends[slot], start
    for t in range(len(codes)):
        slot = keys[codes[t]]
        order[ends[slot]] = t
        ends[slot] += 1
    return occupied


@compiled
def _sum(tokens: Array, order: Array, ends: Array, occupied: int, rows: Array) -> None:
    dim = tokens.shape[1]
    whole = dim - dim % SUM_WIDTH
    start = 0
    for slot in range(occupied):
        for d in range(0, whole, SUM_WIDTH):
            sum_tile(
                tokens.ctypes.data + d * 4,
                dim * 4,
                order.ctypes.data + start * 8,
                ends[slot] - start,
                rows.ctypes.data + (slot * dim + d) * 4,
            )
        for d in range(whole, dim):
            total = np.float32(0)
            for i in range(start, ends[slot]):
                total += tokens[order[i], d]
            rows[slot, d] = total
        start = ends[slot]


@compiled
def _nearest(keys: Array) -> None:
    """Every code gets the least key + Hamming distance over all codes: one pass a bit, the distance being separable."""
    step = 1
    while step < len(keys):
        for base in range(0, len(keys), 2 * step):
            for code in range(base, base + step):
                low, high = keys[code], keys[code + step]
                keys[code] = min(low, np.uint16(high + NEAR))
                keys[code + step] = min(high, np.uint16(low + NEAR))
        step *= 2


@compiled
def _fillers(tokens: Array, order: Array, keys: Array, ends: Array, occupied: int, fillers: Array, rows: Array) -> int:
    """The first token of each slot that fills a block becomes a row; returns how many rows there are now."""
    used = occupied
    fillers[:occupied] = -1
    for key in keys:
        slot = key & (NEAR - 1)
        if key >= NEAR and fillers[slot] < 0:
            start = ends[slot - 1] if slot else 0
            if ends[slot] - start == 1:
                fillers[slot] = slot
            else:
                fillers[slot] = used
                rows[used] = tokens[order[start]]
                used += 1
    return used


@compiled
def _project(rows: Array, count: int, panels: Array, products: Array) -> None:
    dim, width = rows.shape[1], products.shape[1]
    for first in range(0, count, ROWS):
        for panel in range(len(panels)):
            product_tile(
                rows.ctypes.data + first * dim * 4,
                dim * 4,
                count - 1 - first,
                panels.ctypes.data + panel * dim * LANES * 4,
                dim,
                products.ctypes.data + (first * width + panel * LANES) * 4,
                width * 4,
            )


@compiled
def _write(products: Array, keys: Array, ends: Array, fillers: Array, places: Array, average: bool, fde: Array) -> None:
    """`fde` float32 [blocks, dproj] of one repetition."""
    for code in range(len(keys)):
        key, place = keys[code], places[code]
        if key >= NEVER:
            fde[place] = 0
            continue
        row, scale = np.int64(key), np.float32(1)
        if key >= NEAR:
            row = fillers[key & (NEAR - 1)]
        elif average:
            scale = np.float32(1 / (ends[row] - (ends[row - 1] if row else 0)))
        for j in range(fde.shape[1]):
            fde[place, j] = products[row, j] * scale


@compiled
def _sketch(full: Array, packed: Packed, fde: Array) -> None:
    fde[:] = 0
    for i in range(len(full)):
        fde[packed.columns[i]] += packed.signs[i] * full[i]


@compiled
def _to_unit_norm(fde: Array) -> None:
    norm = _norm(fde)
    if norm > 0:
        scale = 1 / norm
        for j in range(len(fde)):
            fde[j] = np.float32(fde[j] * scale)
