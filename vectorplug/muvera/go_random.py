"""Go's math/rand/v2 PCG generator, as far as Weaviate draws from it."""

import numpy as np
import numpy.typing as npt

__all__ = ["GoPcg"]

MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
INCREMENT = 0x5851F42D4C957F2D14057B7EF767814F
CHEAP_MULTIPLIER = 0xDA942042E4DD58B5
MASK_64 = (1 << 64) - 1
MASK_128 = (1 << 128) - 1


class GoPcg:
    """`rand.New(rand.NewPCG(high, low))`: PCG with the DXSM output function over the full 128-bit multiplier.

    numpy's PCG64DXSM steps with the 64-bit multiplier and so gives other numbers.
    """

    def __init__(self, high: int, low: int) -> None:
        self._state = high << 64 | low

    def uint64(self, count: int) -> npt.NDArray[np.uint64]:
        """uint64 [count]: the next numbers of the stream."""
        state = self._state
        numbers = np.empty(count, np.uint64)
        for i in range(count):
            state = (state * MULTIPLIER + INCREMENT) & MASK_128
            high = state >> 64
            high ^= high >> 32
            high = high * CHEAP_MULTIPLIER & MASK_64
            high ^= high >> 48
            numbers[i] = high * (state & MASK_64 | 1) & MASK_64
        self._state = state
        return numbers

    def float64(self, count: int) -> npt.NDArray[np.float64]:
        """float64 [count] in [0, 1): the low 53 bits of each number, as `Float64` takes them."""
        return (self.uint64(count) & np.uint64((1 << 53) - 1)).astype(np.float64) * 2.0**-53

    def signs(self, count: int) -> npt.NDArray[np.float64]:
        """float64 [count] of -1 and 1: `IntN(2)*2 - 1`, the lowest bit of each number."""
        return (self.uint64(count) & np.uint64(1)).astype(np.float64) * 2 - 1
