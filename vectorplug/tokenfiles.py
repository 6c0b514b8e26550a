"""Arrays of a safetensors file as views into its bytes, and the checksum that is written beside them."""

import json
import zlib
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError

__all__ = ["checksum", "parsed"]

# safetensors' own NumPy reader copies, and knows no bfloat16.
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "I64": np.dtype(np.int64),
}


def checksum(arrays: dict[str, npt.NDArray[Any]]) -> str:
    """CRC-32 of C-contiguous arrays in the order of their names, eight hexadecimal digits."""
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].view(np.uint8).data, crc)
    return f"{crc:08x}"


def parsed(
    buffer: npt.NDArray[np.uint8], source: str, formats: Sequence[str]
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Views of `buffer` uint8 [bytes], whose header holds dtype, shape and byte range of each array, and its metadata.

    InputError, which names `source`, for a "format" that is none of `formats`, and for what is no whole file.
    """
    try:
        length = int.from_bytes(buffer[:8].tobytes(), "little")
        header = json.loads(buffer[8 : 8 + length].tobytes())
        metadata = header.pop("__metadata__", {})
        if metadata.get("format") not in formats:
            raise InputError(f"{source} has format {metadata.get('format')!r}, expected {formats[0]!r}.")
        arrays = {}
        for name, entry in header.items():
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            arrays[name] = buffer[begin:end].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{source}: not a whole file of MultiVectors ({error}).") from error
    return arrays, metadata
