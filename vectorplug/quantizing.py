"""Token vectors in 8 or in 4 bits a number, with one float32 scale a token.

int8: the largest number of a token becomes 127. int4: a token is turned by a fixed rotation first, after which the
numbers of any encoder's tokens lie about as those of a normal distribution do, and each becomes the nearest of the 16
levels that are best for one. Inner products stay what they are if the query is turned, too, so nothing is turned back
for MaxSim. Source of the levels: Lloyd, Least squares quantization in PCM, 1982; Max, 1960.

Of exact MaxSim's best 10, found again by int4 among its best 100 (docs/databases.md): 0.955 to 0.977 for 128
numbers, where the same bytes without rotation and levels find 0.924 to 0.958.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = ["LEVELS", "floats_of_int4", "floats_of_int8", "rotated", "to_int4", "to_int8"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# What a code 0 to 15 stands for, times the token's scale: the Lloyd-Max levels of a normal distribution, of which
# A_DEVIATION is one standard deviation, as whole numbers, which int8 arithmetic multiplies exactly.
LEVELS = np.array([-104, -79, -62, -48, -36, -25, -15, -5, 5, 15, 25, 36, 48, 62, 79, 104], np.int8)
A_DEVIATION = 38.17
# Levels and scale depend on each other: each round takes the best of the one for the other. More gain next to nothing.
ROUNDS = 2
# Tokens at a time, so that what is computed on the way stays in cache.
BLOCK = 512


def to_int8(floats: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """int8 [tokens, dim] and float32 [tokens] of `floats` [tokens, dim], finite."""
    scales = np.abs(floats).max(axis=1, initial=0.0) / np.float32(127)
    # Below float32's normal numbers a scale is too coarse to divide by: such a token becomes zeros.
    scales[scales < np.finfo(np.float32).tiny] = 1
    return np.rint(floats / scales[:, None]).astype(np.int8), scales


def floats_of_int8(values: npt.NDArray[np.int8], scales: Floats) -> Floats:
    """float32 [tokens, dim]."""
    return values.astype(np.float32) * scales[:, None]


def to_int4(floats: Floats) -> tuple[npt.NDArray[np.uint8], Floats]:
    """uint8 [tokens, dim / 2] and float32 [tokens] of `floats` [tokens, dim], finite, of an even dim.

    Byte j holds the codes of the rotated numbers j, in its low four bits, and j + dim / 2. The scale of a token is the
    one with which its codes are nearest to it; zero for a token of zeros.
    """
    tokens, dim = floats.shape
    packed, scales = np.empty((tokens, dim // 2), np.uint8), np.empty(tokens, np.float32)
    for start in range(0, tokens, BLOCK):
        rows = slice(start, start + BLOCK)
        codes, scales[rows] = _nearest(_turned(floats[rows]))
        packed[rows] = codes[:, : dim // 2] | codes[:, dim // 2 :] << 4
    return packed, scales


def floats_of_int4(packed: npt.NDArray[np.uint8], scales: Floats) -> Floats:
    """float32 [tokens, dim], turned back: what `to_int4` was given, about."""
    tokens, dim = len(packed), 2 * packed.shape[1]
    floats = np.empty((tokens, dim), np.float32)
    largest = np.finfo(np.float32).max
    for start in range(0, tokens, BLOCK):
        rows = slice(start, start + BLOCK)
        numbers = LEVELS[np.hstack([packed[rows] & 15, packed[rows] >> 4])].astype(np.float64)
        floats[rows] = np.clip(_turned_back(numbers * scales[rows, None]), -largest, largest)
    return floats


def rotated(floats: Floats) -> Floats:
    """float32 [tokens, dim] of an even dim, in the space of int4's codes, where inner products are the same."""
    return _turned(floats).astype(np.float32)


def _turned(floats: Floats) -> Doubles:
    """float64 [tokens, dim]: signs of chance, then a Fourier transform, whose real and imaginary parts are the numbers.

    Orthogonal, and the same wherever it is made and however many tokens there are (no BLAS). It belongs to what is
    stored: files of int4 name it (multivectors.py).
    """
    half = floats.shape[1] // 2
    spectrum = np.fft.rfft(floats.astype(np.float64) * _signs(2 * half), norm="ortho")
    # The parts that occur twice in the whole spectrum, as numbers and their conjugates, count twice.
    spectrum[:, 1:half] *= np.sqrt(2)
    return np.hstack([spectrum.real, spectrum.imag[:, 1:half]])


def _turned_back(numbers: Doubles) -> Doubles:
    """What `_turned` was given."""
    half = numbers.shape[1] // 2
    spectrum = numbers[:, : half + 1].astype(np.complex128)
    spectrum[:, 1:half] = (spectrum[:, 1:half] + 1j * numbers[:, half + 1 :]) / np.sqrt(2)
    return np.fft.irfft(spectrum, 2 * half, norm="ortho") * _signs(2 * half)


@lru_cache(maxsize=8)
def _signs(dim: int) -> Doubles:
    # The raw numbers of PCG64 are its definition; what NumPy makes of them may change.
    return 1 - 2 * (np.random.PCG64(dim).random_raw(dim) >> 63).astype(np.float64)


def _nearest(turned: Doubles) -> tuple[npt.NDArray[np.uint8], Doubles]:
    """uint8 [tokens, dim], from 0 to 15, and float64 [tokens]."""
    levels = LEVELS.astype(np.float64)
    borders = (levels[1:] + levels[:-1]) / 2
    scales = np.sqrt(np.mean(turned**2, axis=1)) / A_DEVIATION
    for _ in range(ROUNDS):
        codes = np.zeros(turned.shape, np.uint8)
        for border in borders:
            codes += turned > (border * scales)[:, None]
        chosen = levels[codes]
        scales = np.maximum(np.einsum("td,td->t", turned, chosen) / np.einsum("td,td->t", chosen, chosen), 0)
    return codes, scales
