"""The compiled walk over documents: strip by strip into the first cache where it must be, tile by tile, summed."""

from functools import cache
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from vectorplug import emit
from vectorplug.compiling import digest_of, kept
from vectorplug.emit import ADDRESS
from vectorplug.maxsim import amx, registers, staging
from vectorplug.maxsim.kernels import BLOCK, KERNELS, Kernel

__all__ = ["compiled"]

# Bytes of a strip, documents in another dtype than the tile's. It is read again at once, so smaller is better.
STRIP = 6 << 10

# All that the machine code follows from.
PARTS = ("amx", "kernels", "nibbles", "registers", "staging", "walk")
DIGEST = digest_of("vectorplug.emit", "vectorplug.quantizing", *(f"vectorplug.maxsim.{part}" for part in PARTS))


@intrinsic
def _tile(_: Any, kernel: Any, height: Any, place: Any) -> Any:
    """The tile `height` tokens high of the kernel named `kernel` at `place`, a tuple of int64: see registers.Place."""
    if not all(isinstance(literal, types.Literal) for literal in (kernel, height)):
        return None  # numba asks again, with the literals
    chosen = _kernel(kernel)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        numbers = emit.cgutils.unpack_tuple(builder, arguments[2])
        tile = amx.generate if chosen.path == "amx" else registers.generate
        tile(builder, chosen, height.literal_value, registers.Place(*numbers))
        return context.get_dummy_value()

    return types.void(kernel, height, place), generate


@intrinsic
def _ready(_: Any, kernel: Any, on: Any, saved: Any) -> Any:
    """Shape this thread's tile registers, or give them back, with 64 bytes at `saved`; nothing but for AMX."""
    if not all(isinstance(literal, types.Literal) for literal in (kernel, on)):
        return None
    chosen = _kernel(kernel)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if chosen.path == "amx":
            (amx.configure if on.literal_value else amx.restore)(builder, arguments[2])
        return context.get_dummy_value()

    return types.void(kernel, on, saved), generate


@intrinsic
def _stage(_: Any, kernel: Any, source: Any, dim: Any, scale: Any, target: Any) -> Any:
    """One token at the address `source` becomes the kernel's numbers at `target`: see staging.py."""
    if not isinstance(kernel, types.Literal):
        return None
    chosen = _kernel(kernel)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        staging.generate(builder, chosen, *arguments[1:])
        return context.get_dummy_value()

    return types.void(kernel, source, dim, scale, target), generate


@njit(inline="always")
def address_of(array: Any) -> Any:
    """int64: where the first number lies."""
    return np.int64(array.ctypes.data)


@intrinsic
def _claim(_: Any, counter: Any) -> Any:
    """What stands in `counter` int64 [1], which one indivisible step raises by one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, ADDRESS(1), "monotonic")

    return types.int64(counter), generate


def _kernel(literal: Any) -> Kernel:
    path, stored = literal.literal_value.split("/")
    return KERNELS[path, stored]


# numba types an intrinsic as it is defined, with the typing context that its callers never pass.
tile: Any = _tile
ready: Any = _ready
stage: Any = _stage
claim: Any = _claim


@cache
def compiled(kernel: Kernel) -> Any:
    """`score_pieces` for one kernel: compiled in a few seconds at first use ever, then read from numba's cache."""
    name = f"{kernel.path}/{kernel.stored}"
    step, cut_into, number_type = kernel.step, kernel.pieces, kernel.number_type
    step_bytes = cut_into * kernel.step_bytes
    tall, short, least = kernel.tall, kernel.short, kernel.least
    always_staged = kernel.numbers != kernel.stored
    # AMX pads documents of a few tokens with their last one, whose scale has to stand beside it. The halves of an int4
    # token come apart.
    flat = least == 1 and not (kernel.stored == "int4" or (kernel.stored == "int8" and kernel.numbers == "float32"))
    in_a_value = 2 if kernel.stored == "int4" else 1
    on, off = True, False

    def score_pieces(
        values: Any,
        scales: Any,
        starts: Any,
        stops: Any,
        packed: Any,
        query_scales: Any,
        steps: Any,
        pieces: Any,
        query_offsets: Any,
        bounds: Any,
        counter: Any,
        scores: Any,
    ) -> None:
        """Claim pieces of the documents and score them, until none is left; any number of threads do so at once.

        values [total, dim], of uint16 for both kinds of 16 bits, of int4 uint8 [total, dim / 2]; scales float32 [total]
        or [0]; starts, stops int64 [n]: the rows of each document; packed uint8 [blocks, bytes], query_scales float32
        [query tokens], steps, pieces: packing.Packed; query_offsets int64 [queries + 1]; bounds int64 [pieces of work
        + 1]: piece p is documents bounds[p] to bounds[p + 1]; counter int64 [1]: the next piece, zero at first, shared
        by the threads; scores float32 [queries, n], written.
        """
        blocks, dim, last = len(packed), values.shape[1] * in_a_value, len(starts) - 1
        address, stored_bytes, strip_bytes = address_of(values), values.shape[1] * values.itemsize, steps * step_bytes
        uneven = dim % step != 0
        maxima = np.empty(blocks * BLOCK, np.float32)
        saved = np.empty(64, np.uint8)
        room = max(STRIP // strip_bytes // tall * tall, tall)
        strip = np.zeros((room, cut_into * steps * step), number_type)
        strip_scales = np.empty(room, np.float32)
        ready(name, on, address_of(saved))
        piece = claim(counter)
        while piece < len(bounds) - 1:
            for i in range(bounds[piece], bounds[piece + 1]):
                start, stop = starts[i], stops[i]
                # What lies ahead of a document's end is the document that is scored next, wherever that begins.
                jump = starts[min(i + 1, last)] - stop
                maxima[:] = -np.inf
                staged = always_staged or (least > 1 and (uneven or stop - start < least))
                first = start
                while first < stop:
                    if staged:
                        rows = min(room, stop - first)
                        # Rows without a gap are staged like one long one.
                        if flat and not uneven:
                            source = address + first * stored_bytes
                            stage(name, source, rows * dim, np.float32(1), address_of(strip))
                            token_scales = address_of(scales) + first * 4
                        else:
                            for row in range(max(rows, least)):
                                token = first + min(row, rows - 1)
                                scale = scales[token] if len(scales) else np.float32(1)
                                source, target = address + token * stored_bytes, address_of(strip) + row * strip_bytes
                                stage(name, source, dim, scale, target)
                                strip_scales[row] = scale
                            token_scales = address_of(strip_scales)
                        tokens, row_bytes = address_of(strip), strip_bytes
                        lead = first + rows
                    else:
                        rows = stop - first
                        tokens, row_bytes = address + first * stored_bytes, stored_bytes
                        token_scales = address_of(scales) + first * 4
                        lead = first + tall * (1 if least > 1 else 2)
                    first += rows
                    rows = max(rows, least)
                    for block in range(blocks):
                        query = address_of(packed) + block * packed.shape[1]
                        block_maxima = address_of(maxima) + block * BLOCK * 4
                        row = 0
                        while row < rows:
                            # The end goes by short tiles; the last steps back onto tokens that were seen, which
                            # changes no maximum and reads nothing past the end. What is shorter goes one by one.
                            height = tall if row + tall <= rows else short if rows >= short else least
                            row = min(row, rows - height)
                            ahead = lead + row
                            if ahead >= stop:
                                ahead += jump
                            place = (
                                tokens + row * row_bytes,
                                row_bytes,
                                token_scales + row * 4,
                                address + ahead * stored_bytes,
                                query,
                                steps,
                                pieces,
                                block_maxima,
                            )
                            if height == tall:
                                tile(name, tall, place)
                            elif height == short:
                                tile(name, short, place)
                            else:
                                tile(name, least, place)
                            row += height
                for query_number in range(len(query_offsets) - 1):
                    total = np.float32(0)
                    for column in range(query_offsets[query_number], query_offsets[query_number + 1]):
                        total += maxima[column] * query_scales[column]
                    scores[query_number, i] = total
            piece = claim(counter)
        ready(name, off, address_of(saved))

    def argument(dtype: Any, ndim: int) -> Any:
        # A caller's array may be read-only or, in a mapped file, unaligned: one machine code takes them all.
        return types.Array(dtype, ndim, "C", readonly=True, aligned=False)

    stored = {
        "float32": types.float32,
        "float16": types.uint16,
        "bfloat16": types.uint16,
        "int8": types.int8,
        "int4": types.uint8,
    }
    signature = types.void(
        argument(stored[kernel.stored], 2),
        argument(types.float32, 1),
        argument(types.int64, 1),
        argument(types.int64, 1),
        argument(types.uint8, 2),
        argument(types.float32, 1),
        types.int64,
        types.int64,
        argument(types.int64, 1),
        argument(types.int64, 1),
        types.Array(types.int64, 1, "C"),
        types.Array(types.float32, 2, "A"),
    )
    return kept(score_pieces, signature, digest=DIGEST)
