"""The two int4 codes of a byte as the levels that they stand for, in registers."""

from typing import Any

from vectorplug.emit import call
from vectorplug.maxsim.kernels import Path
from vectorplug.quantizing import LEVELS

__all__ = ["WIDTHS", "levels"]

# Bytes at once. The look-up is an instruction of its own for these widths on x86; elsewhere LLVM makes it of selects.
WIDTHS: dict[Path, tuple[int, ...]] = {
    "amx": (64, 16),
    "vnni": (64, 16),
    "avx512": (64, 16),
    "avx2": (32, 16),
    "plain": (16,),
}
LOOK_UPS = {16: "llvm.x86.ssse3.pshuf.b.128", 32: "llvm.x86.avx2.pshuf.b", 64: "llvm.x86.avx512.pshuf.b.512"}


def levels(builder: Any, path: Path, packed: Any) -> list[Any]:
    """Two vectors of int8: the levels of the low and of the high four bits of `packed`, a vector of bytes.

    byte j      high . low
                  |     |          code -> level by one table of 16 bytes, which stays in a register
    number  j + dim/2   j          (repeated in each 16 bytes of a wider one: no look-up crosses them)
    """
    kind = packed.type
    codes = [
        builder.and_(packed, kind([15] * kind.count)),
        builder.lshr(packed, kind([4] * kind.count)),
    ]
    if path == "plain" or kind.count not in LOOK_UPS:
        return [_selected(builder, code) for code in codes]
    table = kind([int(level) for level in LEVELS] * (kind.count // len(LEVELS)))
    return [call(builder, LOOK_UPS[kind.count], kind, table, code) for code in codes]


def _selected(builder: Any, codes: Any) -> Any:
    """The levels by what every CPU has: each bit of the code halves the table, the lowest first."""
    kind = codes.type
    table = [kind([int(level)] * kind.count) for level in LEVELS]
    for bit in range(4):
        here = builder.and_(codes, kind([1 << bit] * kind.count))
        is_set = builder.icmp_unsigned("!=", here, kind(None))
        table = [builder.select(is_set, odd, even) for even, odd in zip(table[::2], table[1::2], strict=True)]
    return table[0]
