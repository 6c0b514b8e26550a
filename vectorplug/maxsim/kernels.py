"""Which kernels there are: what each reads, the shape of its tile, and how the query is laid out for it."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "KERNELS", "PATHS", "Kernel", "StoredDtype"]

BLOCK = 32  # query tokens that one tile compares with

Path = Literal["amx", "vnni", "avx512", "avx2", "plain"]
StoredDtype = Literal["float32", "float16", "bfloat16", "int8", "int4"]
BITS: dict[StoredDtype, int] = {"float32": 32, "float16": 16, "bfloat16": 16, "int8": 8, "int4": 4}

# Those whose whole numbers are multiplied first and scaled then, where there are instructions for it.
SCALED: tuple[StoredDtype, ...] = ("int8", "int4")

# From the newest instructions to none in particular.
PATHS: tuple[Path, ...] = ("amx", "vnni", "avx512", "avx2", "plain")


class Kernel(NamedTuple):
    """One kernel for documents of dtype `stored`.

    `numbers` is what the tile multiplies: documents of another dtype are turned into it, a strip of some tokens at a
    time, which stays in the first cache. A step is what one instruction takes of a token: `step` numbers. Tiles are
    `tall` tokens high while a document has so many left, `short` at its end, `least` in a document of fewer still;
    `lanes` sums go into one register. `rate` is about how many times float32's multiply-adds it does in a second.
    A document's number is the sum of so many `pieces`.
    """

    path: Path
    stored: StoredDtype
    numbers: Literal["float32", "int16", "bfloat16", "int8"]
    step: int
    lanes: int
    tall: int
    short: int
    least: int
    rate: int = 1
    pieces: int = 1

    @property
    def number_type(self) -> npt.DTypeLike:
        """Of the numbers as the compiled code holds them: numba knows no bfloat16."""
        return np.uint16 if self.numbers == "bfloat16" else np.dtype(self.numbers)

    @property
    def step_bytes(self) -> int:
        """Of one token."""
        return self.step * np.dtype(self.number_type).itemsize

    def share(self, height: int) -> int:
        """Bytes of `height` stored tokens that belong to one step."""
        return height * self.step * BITS[self.stored] // 8


# As many sums as stay in registers beside what feeds them: 12 x 2 of 32 zmm; 2 x 4 of 16 ymm (3 x 4 spill). "plain"
# needs only what LLVM offers on every CPU: 2 x 8 of the 32 registers that an ARM core has.


def _plain(stored: StoredDtype) -> Kernel:
    return Kernel("plain", stored, "float32", step=1, lanes=4, tall=2, short=1, least=1)


def _float_kernels(stored: StoredDtype) -> list[Kernel]:
    return [
        Kernel("avx512", stored, "float32", step=1, lanes=16, tall=12, short=4, least=1),
        Kernel("avx2", stored, "float32", step=1, lanes=8, tall=2, short=1, least=1),
        _plain(stored),
    ]


def _scaled_kernels(stored: StoredDtype) -> list[Kernel]:
    return [
        Kernel("amx", stored, "int8", step=64, lanes=16, tall=32, short=16, least=16, rate=8),
        Kernel("vnni", stored, "int16", step=2, lanes=16, tall=12, short=4, least=1, rate=2),
        Kernel("avx512", stored, "int16", step=2, lanes=16, tall=12, short=4, least=1),
        Kernel("avx2", stored, "int16", step=2, lanes=8, tall=2, short=1, least=1),
        _plain(stored),
    ]


KERNELS: dict[tuple[Path, StoredDtype], Kernel] = {
    (kernel.path, kernel.stored): kernel
    for kernel in [
        *_float_kernels("float32"),
        *_float_kernels("float16"),
        *_float_kernels("bfloat16"),
        *_scaled_kernels("int8"),
        *_scaled_kernels("int4"),
        Kernel("amx", "float16", "bfloat16", step=32, lanes=16, tall=32, short=16, least=16, rate=4, pieces=2),
        Kernel("amx", "bfloat16", "bfloat16", step=32, lanes=16, tall=32, short=16, least=16, rate=8),
    ]
}
