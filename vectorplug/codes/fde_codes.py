"""Document FDEs in 8 bits or 1 bit a number, scored against queries that stay in float32."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from vectorplug.errors import ConfigurationError, InputError

__all__ = ["FdeCodes"]

# Documents are coded so many float32 at a time, which stay in cache; decoded for BLAS they are more, or it idles.
NUMBERS_AT_ONCE = 2**17
DECODED_AT_ONCE = 2**20


@dataclass(frozen=True, eq=False)
class FdeCodes:
    """n FDEs of `size` numbers, each with one float32 scale; number j of document i stands for scales[i] x its code.

    kind "int8"  values int8 [n, size], from -127 to 127: the largest number of a document is exact
    kind "bit"   values uint8 [n, ceil(size / 8)], as np.packbits packs (number > 0): 1 for set bits, -1 for others;
                 the scale is the mean absolute number, the best in least squares

    A bit cannot say zero: encode with `fill` where most blocks would be empty. ConfigurationError for another kind,
    InputError for arrays of other shapes or dtypes; they may be read-only and memory-mapped.
    """

    kind: Literal["int8", "bit"]
    size: int
    values: npt.NDArray[Any]
    scales: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        # Compiled code reads these arrays by their addresses: nothing may be smaller than it says.
        width, dtype = _layout(self.kind, self.size)
        values, scales = np.shape(self.values), np.shape(self.scales)
        if len(values) != 2 or values[1] != width:
            raise InputError(
                f"values have shape {values}, expected [n, {width}]: {self.kind!r} codes of {self.size} numbers."
            )
        if scales != values[:1]:
            raise InputError(f"scales have shape {scales}, expected [{values[0]}], one a document.")
        for name, array, expected in (("values", self.values, dtype), ("scales", self.scales, np.dtype(np.float32))):
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            if found != expected:
                raise InputError(f"{name} are {found}, expected a NumPy array of {expected}.")

    @classmethod
    def of(cls, fdes: npt.ArrayLike, kind: Literal["int8", "bit"]) -> Self:
        """Of `fdes` float [n, size]; ConfigurationError for another kind, InputError for another shape."""
        numbers = np.asarray(fdes, np.float32)
        if numbers.ndim != 2:
            raise InputError(f"FDEs have shape {numbers.shape}, expected [n, size].")
        n, size = numbers.shape
        width, dtype = _layout(kind, size)
        values = np.empty((n, width), dtype)
        scales = np.empty(n, np.float32)
        for part in _parts(n, size, NUMBERS_AT_ONCE):
            magnitudes = np.abs(numbers[part])
            if kind == "bit":
                values[part] = np.packbits(numbers[part] > 0, axis=1)
                scales[part] = magnitudes.mean(axis=1) if size else 0
                continue
            scales[part] = magnitudes.max(axis=1, initial=0) / np.float32(127)
            # A document of zeros has codes of zero under any scale.
            divisors = np.where(scales[part] == 0, np.float32(1), scales[part])
            np.rint(numbers[part] / divisors[:, None], out=values[part], casting="unsafe")
        return cls(kind, size, values, scales)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes of values and scales."""
        return self.values.nbytes + self.scales.nbytes

    def decode(self) -> npt.NDArray[np.float32]:
        """float32 [n, size]: the FDEs as they are scored."""
        return self._units(slice(None)) * self.scales[:, None]

    def scores(self, queries: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Inner products of `queries` float [size] -> float32 [n], or [q, size] -> [q, n]; InputError for another size.

        About repetitions x MaxSim, as those of the FDEs themselves. Codes are read where they lie, summed in float32.
        Uses as many threads as threads.py allows, and may be called from several.
        """
        wanted = np.asarray(queries, np.float32)
        if wanted.ndim not in (1, 2) or wanted.shape[-1] != self.size:
            raise InputError(f"queries have shape {wanted.shape}, expected [{self.size}] or [q, {self.size}].")
        from vectorplug.codes.cpu import decoded_from, scan  # and numba: an import of vectorplug stays quick

        scores = np.empty((*wanted.shape[:-1], len(self)), np.float32)
        rows, asked = np.atleast_2d(scores), np.atleast_2d(wanted)
        if len(asked) < decoded_from(self.kind):
            scan(self.kind, self.values, self.scales, asked, rows)
            return scores
        for part in _parts(len(self), self.size, DECODED_AT_ONCE):
            rows[:, part] = asked @ self._units(part).T * self.scales[part]
        return scores

    def _units(self, part: slice) -> npt.NDArray[np.float32]:
        if self.kind == "int8":
            return self.values[part].astype(np.float32)
        bits = np.unpackbits(self.values[part], axis=1, count=self.size)
        return bits * np.float32(2) - np.float32(1)


def _layout(kind: str, size: int) -> tuple[int, np.dtype[Any]]:
    """Columns and dtype of `values`."""
    if kind not in ("int8", "bit"):
        raise ConfigurationError(f"kind {kind!r} is unknown; FDE codes are 'int8' or 'bit'.")
    return (size, np.dtype(np.int8)) if kind == "int8" else (-(-size // 8), np.dtype(np.uint8))


def _parts(n: int, size: int, numbers: int) -> Iterator[slice]:
    step = max(1, numbers // max(1, size))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
